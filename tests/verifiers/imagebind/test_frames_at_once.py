"""How many frames go through ImageBind's trunk at once, by device."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from avits_jax.networks.imagebind.config import TINY
from avits_jax.networks.imagebind.params import build
from avits_jax.sampling.chunks import even_batch, in_batches
from avits_jax.verifiers.imagebind import passes

NUM = 10
TOKENS = jax.ShapeDtypeStruct((NUM, 5, TINY.vision.width), jnp.float32)


def _text(function, platform: str) -> str:
    """Return a function of weights and tokens, lowered for a platform."""
    traced = jax.jit(function).trace(build(TINY)[1], TOKENS)
    return traced.lower(lowering_platforms=(platform,)).as_text()


def _own(params, tokens, frame_batch=64):
    model = nnx.merge(build(TINY)[0], params)
    return passes._embed(model, tokens, frame_batch)


def _plain(params, tokens, most):
    model = nnx.merge(build(TINY)[0], params)
    return in_batches(model.vision.embed, tokens, even_batch(NUM, most))


def _loops(text: str) -> int:
    return text.count("stablehlo.while")


@pytest.mark.parametrize(("platform", "most"), [("cpu", 4), ("tpu", 64), ("cuda", 64)])
def test_a_cpu_takes_few_frames_at_once_and_accelerators_all(platform, most):
    own = _text(_own, platform)
    assert own.count("dot_general") == _text(
        lambda p, x: _plain(p, x, most), platform
    ).count("dot_general")
    assert _loops(own) == _loops(_text(lambda p, x: _plain(p, x, most), platform))
    assert f"<{even_batch(NUM, most)}x5x{TINY.vision.width}xf32>" in own
    # All ten at once are the input, and nothing else.
    assert (own.count(f"<{NUM}x5x{4 * TINY.vision.width}xf32>") > 0) == (most > NUM)


def test_a_smaller_batch_that_is_asked_for_holds():
    text = _text(lambda p, x: _own(p, x, 2), "cpu")
    assert f"<2x5x{4 * TINY.vision.width}xf32>" in text
    assert f"<4x5x{4 * TINY.vision.width}xf32>" not in text
