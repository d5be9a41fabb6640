"""Latents to clips in pieces, and real clips to latents that are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import golden_cases
from tiny_javisdit import jit, tiny

from avits_jax.generators.javisdit import guidance, schedule
from avits_jax.generators.javisdit.given import given_clip
from avits_jax.generators.javisdit.guidance import Latents
from avits_jax.sampling.masks import Given, previous_level, settle
from avits_jax.types import Candidates
from tools.parity.modules import channels_last


def _normal(*shape):
    return jnp.asarray(
        np.random.default_rng(len(shape)).normal(size=shape), jnp.float32
    )


def _double(tree):
    return jax.tree.map(
        lambda x: np.asarray(x, np.float64 if x.dtype == np.float32 else x.dtype), tree
    )


def test_candidates_decoded_one_by_one_are_those_decoded_together():
    """In double precision, since a vocoder of random weights multiplies rounding."""
    clip = tiny().clip
    latents = Latents(_normal(2, *clip.video_latent), _normal(2, *clip.audio_latent))
    params, candidates = _double((tiny().params, Candidates(latents)))
    with jax.enable_x64(True):
        found, expected = (
            jit(tiny(decode_batch=size).generator.decode)(params, candidates)
            for size in (1, 2)
        )
    assert found.video.shape == (2, 5, 16, 24, 3)
    assert found.audio.shape == (2, clip.num_samples)
    assert found.video.min() >= 0 and found.video.max() <= 1
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_real_clip_becomes_its_latents():
    _, params, graphs, clip = tiny()
    video = jax.nn.sigmoid(_normal(5, 16, 24, 3))
    audio = 0.1 * _normal(3000)
    masks = jnp.zeros(clip.video_latent[0]), jnp.full(clip.audio_latent[0], 0.25)

    def run(params, video, audio):
        masked = {"video_mask": masks[0], "audio_mask": masks[1]}
        both = given_clip(params, graphs, clip, video, audio, **masked)
        return both, nnx.merge(graphs.video_vae, params.video_vae).encode(
            2 * video[None] - 1
        )

    given, encoded = jit(run)(params, video, audio)
    np.testing.assert_allclose(given.latents.video, encoded[0], atol=1e-5)
    np.testing.assert_array_equal(given.masks.video, masks[0])
    # Five latent steps of 640 samples hold the sound; behind it nothing is given.
    assert given.masks.audio.tolist() == [0.25] * 5 + [1.0] * (len(masks[1]) - 5)
    assert np.abs(given.latents.audio[:5]).max() > 0
    assert not given.latents.audio[5:].any()
    silent = given_clip(
        params, graphs, clip, None, None, video_mask=masks[0], audio_mask=masks[1]
    )
    assert all((mask == 1).all() for mask in silent.masks)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"video": jnp.ones((3, 16, 24, 3))}, "3 frames.*expected 5 frames"),
        ({"video": jnp.ones((5, 16, 16, 3))}, r"\[16, 16\]; expected"),
        ({"audio": jnp.ones(100)}, r"\(100,\).*1024"),
        ({"video_mask": jnp.ones(3)}, r"video_mask has shape \(3,\); expected \(2,\)"),
    ],
)
def test_clips_that_do_not_fit_are_refused(change, message):
    _, params, graphs, clip = tiny()
    masks = {
        "video_mask": jnp.ones(clip.video_latent[0]),
        "audio_mask": jnp.ones(clip.audio_latent[0]),
    }
    arguments = {"video": None, "audio": None} | masks | change
    with pytest.raises(ValueError, match=message):
        given_clip(params, graphs, clip, **arguments)


def test_what_a_search_does_to_given_frames_does_not_last():
    """Mutation and stochastic steps add noise to all latents."""
    clean = Latents(_normal(3, 1, 1, 2), _normal(2, 1, 2))
    masks = Latents(jnp.array([0.0, 0.4, 1.0]), jnp.array([0.7, 1.0]))
    spoilt = jax.tree.map(lambda x: jnp.stack([x + 1, x + 2]), clean)
    given, level, before = Given(clean, masks), jnp.float32(0.5), jnp.float32(0.8)
    noise = jax.tree.map(jnp.ones_like, spoilt)
    entered = settle(given, spoilt, level, before, noise)
    np.testing.assert_array_equal(entered.active.video[0], [False, False, True])
    np.testing.assert_array_equal(entered.active.audio[0], [True, True])
    np.testing.assert_array_equal(entered.entered.video[1, :2], clean.video[:2])
    np.testing.assert_array_equal(entered.entered.video[:, 2], spoilt.video[:, 2])
    half = 0.5 * clean.audio[0] + 0.5
    np.testing.assert_allclose(entered.entered.audio[1, 0], half, rtol=1e-6)
    # A look ahead draws nothing: what would enter is still given.
    ahead = settle(given, spoilt, level, before, None)
    np.testing.assert_array_equal(ahead.active.audio[0], [False, True])
    np.testing.assert_array_equal(ahead.entered.audio[1, 0], clean.audio[0])


def test_given_frames_go_through_the_steps_as_in_the_original():
    """The golden holds what the transformer got and gave at every step."""
    golden = golden_cases("javisdit", "sample4_n2_masked")[0].values[0]
    info = golden.info["sampler"]
    shape = [info[name] for name in ("height", "width", "num_frames")]
    levels = schedule.timesteps(info["num_sampling_steps"], *shape)
    sigmas = tuple(map(float, levels / schedule.NUM_TIMESTEPS))
    falls = schedule.step_sizes(levels)

    def stored(table, name, row):
        arrays = (table[name.format(stream)] for stream in Latents._fields)
        return Latents(*(channels_last(array[row : row + 1]) for array in arrays))

    for row in range(2):
        masks = [golden.inputs[f"{stream}_mask"][row] for stream in Latents._fields]
        latents = stored(golden.inputs, "{}_noise", row)
        first = jax.tree.map(lambda x: x[0], latents)
        given = Given(first, Latents(*map(jnp.asarray, masks)))
        for i, sigma in enumerate(sigmas):
            noise = stored(golden.inputs, f"add_noise.step{i}.{{}}", row)
            frames = settle(given, latents, sigma, previous_level(sigmas, i), noise)
            expected = stored(golden.outputs, f"step{i}.{{}}_in", row)
            for one, other in zip(frames.entered, expected, strict=True):
                np.testing.assert_allclose(one, other, atol=2e-3, rtol=1e-4)
            halves = [
                stored(golden.outputs, f"step{i}.{{}}_pred", half)
                for half in (row, row + 2)
            ]
            pairs = jax.tree.map(lambda *rows: jnp.concatenate(rows), *halves)
            latents = guidance.masked_update(
                frames.settled,
                frames.entered,
                guidance.guided_pair(pairs, info["cfg_scale"])[1],
                frames.active,
                jnp.float32(falls[i]),
                "reference",
            )
        final = stored(golden.outputs, "{}", row)
        for one, other in zip(latents, final, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3, rtol=1e-4)
