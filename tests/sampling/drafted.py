"""What the tests of drafts share."""

from functools import partial

import jax
import numpy as np

from avits_jax.sampling import denoise


def run(generator, keys, cond):
    """Sample candidates from start to end; return latents and clips."""

    @jax.jit
    def sample(keys, cond):
        start = generator.init((), keys, cond)
        final, _ = denoise((), keys, start, cond, generator=generator)
        return final.latents, generator.decode((), final)

    return sample(keys, cond)


def close(found, wanted, atol=1e-5, rtol=1e-5):
    """Compare trees, leaf by leaf."""
    check = partial(np.testing.assert_allclose, atol=atol, rtol=rtol)
    jax.tree.map(check, found, wanted)
