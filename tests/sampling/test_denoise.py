"""The denoising scan: pieces, captures, keys, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.sampling import denoise, noise_like, step_keys
from avits_jax.types import Candidates

pytestmark = pytest.mark.usefixtures("strict_core")


def _start(toy, num=4):
    keys = jax.random.split(jax.random.key(0), num)
    params, cond = toy.params.generator, toy.cond.generator
    return params, keys, toy.generator.init(params, keys, cond), cond


def _equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_scan_equals_a_python_loop(toy_extra):
    params, keys, candidates, cond = _start(toy_extra)
    final, _ = denoise(params, keys, candidates, cond, generator=toy_extra.generator)
    looped = candidates
    for i in range(toy_extra.generator.num_steps):
        looped = toy_extra.generator.step(params, keys, looped, i, cond)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), final, looped
    )


def test_pieces_and_captures_equal_the_whole(toy):
    params, keys, candidates, cond = _start(toy)
    generator = toy.generator
    final, captured = denoise(
        params, keys, candidates, cond, generator=generator, captures=(0, 2, 6)
    )
    first, _ = denoise(params, keys, candidates, cond, generator=generator, stop=2)
    second, _ = denoise(params, keys, first, cond, generator=generator, start=2)
    _equal(captured, (candidates, first, final))
    _equal(second, final)
    nothing, same = denoise(
        params, keys, final, cond, generator=generator, start=6, captures=(6,)
    )
    _equal((nothing, same), (final, (final,)))


def test_a_stochastic_step_sees_its_own_key_each_time(toy):
    """A generator that only adds noise shows which keys the scan hands out."""

    def step(params, keys, candidates, i, cond):
        noise = noise_like(keys, candidates.latents)
        return Candidates(candidates.latents + noise)

    generator = toy.generator._replace(step=step)
    keys = jax.random.split(jax.random.key(0), 2)
    start = Candidates(jnp.zeros((2, 3)))
    final, _ = denoise((), keys, start, (), generator=generator, start=1, stop=4)
    wanted = sum(noise_like(step_keys(keys, i), start.latents) for i in (1, 2, 3))
    np.testing.assert_allclose(final.latents, wanted, rtol=1e-6)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 2), (0, 7)])
def test_steps_out_of_range_are_refused(toy, start, stop):
    params, keys, candidates, cond = _start(toy)
    with pytest.raises(ValueError, match="0 <= start <= stop <= 6"):
        denoise(
            params,
            keys,
            candidates,
            cond,
            generator=toy.generator,
            start=start,
            stop=stop,
        )


def test_captures_out_of_range_are_refused(toy):
    params, keys, candidates, cond = _start(toy)
    with pytest.raises(ValueError, match="captures must lie in"):
        denoise(params, keys, candidates, cond, generator=toy.generator, captures=(7,))
