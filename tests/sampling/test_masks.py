"""Given frames and masks, in terms of noise levels."""

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.sampling.masks import (
    Given,
    active_frames,
    enter_frames,
    masked_update,
    previous_level,
    settle,
    start_from,
)


def _frames(value, count=3):
    return jnp.full((1, count, 2), value)


def test_a_frame_takes_part_from_its_own_level_on():
    masks = {"a": jnp.asarray([[0.0, 0.4, 1.0]]), "b": jnp.asarray([[0.4]])}
    at = active_frames(masks, 0.5)
    assert at["a"].tolist() == [[False, False, True]] and not at["b"].any()
    apart = active_frames(masks, {"a": 0.5, "b": 0.4})
    assert apart["a"].tolist() == [[False, False, True]] and apart["b"].all()


def test_entering_frames_are_brought_to_the_level_of_their_part():
    masks = {"a": jnp.asarray([[0.0, 0.4, 1.0]]), "b": jnp.asarray([[0.8, 0.4, 1.0]])}
    latents = {"a": _frames(1.0), "b": _frames(1.0)}
    noise = {"a": _frames(3.0), "b": _frames(3.0)}
    entered = enter_frames(
        latents, noise, masks, {"a": 0.25, "b": 0.75}, {"a": 0.5, "b": 1.0}
    )
    np.testing.assert_allclose(entered["a"][0, :, 0], [1, 0.75 + 0.25 * 3, 1])
    np.testing.assert_allclose(entered["b"][0, :, 0], [0.25 + 0.75 * 3, 1, 1])


def test_given_frames_start_and_stay_as_given():
    given = Given(jnp.full((3, 2), 5.0), jnp.asarray([0.0, 0.6, 1.0]))
    start = start_from(given, jnp.ones((2, 3, 2)))
    np.testing.assert_array_equal(start[:, :, 0], [[5, 5, 1]] * 2)
    spoilt, noise = jnp.full((2, 3, 2), 9.0), jnp.full((2, 3, 2), 2.0)
    frames = settle(given, spoilt, 0.5, 0.75, noise)
    np.testing.assert_array_equal(frames.settled[0, :, 0], [5, 5, 9])
    np.testing.assert_allclose(frames.entered[0, :, 0], [5, 0.5 * 5 + 0.5 * 2, 9])
    assert frames.active[0].tolist() == [False, True, True]
    stepped = masked_update(frames.settled, frames.entered - 1, frames.active)
    np.testing.assert_allclose(stepped[0, :, 0], [5, 2.5, 8])
    # Without noise nothing enters.
    ahead = settle(given, spoilt, 0.5, 0.75, None)
    assert ahead.active[0].tolist() == [False, False, True]
    np.testing.assert_array_equal(ahead.entered, ahead.settled)


def test_the_level_before_the_first_step_is_one():
    sigmas = ({"a": 0.9, "b": 1.0}, {"a": 0.5, "b": 0.25}, {"a": 0.0, "b": 0.0})
    found = [jax.jit(lambda i: previous_level(sigmas, i))(i) for i in range(3)]
    assert [{k: float(v) for k, v in row.items()} for row in found] == [
        {"a": 1.0, "b": 1.0},
        {"a": np.float32(0.9), "b": 1.0},
        {"a": 0.5, "b": 0.25},
    ]
