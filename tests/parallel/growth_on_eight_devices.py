"""Cost grows as it should; test_eight_devices.py runs this file.

Operations, bytes and memory of compiled searches, counted by tools/count_search.py: of
a small network, and of mini where slow tests are asked for. Ratios, no sizes: what N,
chunks, steps, prompts and devices make of one another.
"""

import functools

import goldens  # noqa: F401  (makes tools importable)
import jax
import jax.numpy as jnp
import pytest

from avits_jax.sampling import euler, linear_sigmas, noise_like
from avits_jax.types import Candidates, Generator, Media, Verifier
from tools import count_search
from tools.count_search import Case
from tools.full_size import Part

# A clip is far larger than its latents, as everywhere.
DEPTH, TOKENS, CHANNELS, WIDTH = 3, 4, 8, 64
FRAME = 32 * 32 * 3
ROUNDING = 0.01  # of what is the same but for a few scalars


def small(steps):
    """A network of three layers, and a verifier that looks at every pixel."""
    sigmas = linear_sigmas(steps)

    def init(params, keys, cond):
        return Candidates(noise_like(keys, jnp.zeros((len(keys), TOKENS, CHANNELS))))

    def predict(params, candidates, i, cond):
        def layer(x, kernel):
            return jnp.tanh(x @ kernel) @ kernel.T, None

        return jax.lax.scan(layer, candidates.latents + cond, params["layers"])[0]

    def decode(params, candidates):
        pixels = jax.nn.sigmoid(candidates.latents @ params["frames"])
        sound = jnp.tanh(candidates.latents.mean(1) @ params["sound"])
        return Media(pixels.reshape(-1, TOKENS, 32, 32, 3), sound)

    def score(params, media, cond):
        frames = media.video.reshape(len(media.video), TOKENS, FRAME)
        return jnp.tanh(frames @ params).mean((1, 2)) + media.audio.mean(1)

    def array(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    weights = {
        "layers": array(DEPTH, CHANNELS, WIDTH),
        "frames": array(CHANNELS, FRAME),
        "sound": array(CHANNELS, 800),
    }
    generator = Generator(init, euler(predict, sigmas), decode, predict, sigmas)
    judge = Part(Verifier("small", score), array(FRAME, WIDTH), ())
    return Part(generator, weights, array(CHANNELS)), [judge]


@pytest.fixture(
    scope="module",
    params=[small, pytest.param(count_search.mini, marks=pytest.mark.slow)],
    ids=["small", "mini"],
)
def count(request):
    """Return counts of a case; each is compiled once."""
    return functools.cache(functools.partial(count_search.count, make=request.param))


def same(value):
    """The number, but for some scalars."""
    return pytest.approx(value, rel=ROUNDING)


def test_candidates_cost_in_proportion(count):
    few, many = count(Case(4)), count(Case(16))
    assert many.flops == same(4 * few.flops)
    assert many.moved <= 4 * (1 + ROUNDING) * few.moved
    assert many.temporaries <= 4 * 1.05 * few.temporaries
    assert many.kernels <= 1.05 * few.kernels


def test_memory_is_of_what_is_worked_on_at_once(count):
    few, many = count(Case(16, 4)), count(Case(64, 4))
    assert many.temporaries <= 1.1 * few.temporaries
    assert many.temporaries <= 1.25 * count(Case(4)).temporaries
    assert many.flops <= 4 * few.flops
    # The winner is decoded again, weights are read for every chunk.
    whole = count(Case(16))
    assert few.flops <= 1.1 * whole.flops and few.moved <= 1.4 * whole.moved


def test_steps_cost_alike_and_hold_nothing(count):
    four, eight, more = (count(Case(steps=steps)) for steps in (4, 8, 24))
    assert more.flops - four.flops == same(5 * (eight.flops - four.flops))
    assert more.moved - four.moved == same(5 * (eight.moved - four.moved))
    assert more.temporaries <= (1 + ROUNDING) * four.temporaries
    assert more.kernels == eight.kernels == four.kernels


def test_prompts_cost_in_proportion(count):
    one, two = count(Case()), count(Case(prompts=2))
    assert two.flops == same(2 * one.flops)
    assert two.moved <= 2 * (1 + ROUNDING) * one.moved
    assert two.temporaries <= 2.1 * one.temporaries
    assert two.kernels <= 1.1 * one.kernels


def test_devices_do_their_own_candidates_and_send_no_more(count):
    one, two, eight = (count(Case(4 * n, devices=n)) for n in (1, 2, 8))
    for each in (two, eight):
        assert each.flops == same(one.flops)
        # And the winner's clip, which is read and written to be sent.
        assert each.moved <= one.moved + 2.1 * each.network
        assert each.temporaries <= (1 + ROUNDING) * one.temporaries
    assert one.network == 0 < two.network
    # Eight bytes for each device: its best score, and where it lies.
    assert eight.network == two.network + 8 * (8 - 2)
