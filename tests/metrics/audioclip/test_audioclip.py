"""AudioCLIP's rescaling, frames, filters and pooling; its sizes.

What it computes is compared with its goldens in test_bench_networks.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.metrics.audioclip import parts
from avits_jax.metrics.audioclip.config import AudioClipConfig
from avits_jax.metrics.audioclip.modeling import adaptive_max
from avits_jax.metrics.audioclip.spectrogram import Filters, frames_of, rescaled


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, lambda f: jax.jit(jax.vmap(f))])
def test_sound_in_one_is_left_with_eight_bits(wrap):
    wave = np.linspace(-1, 1, 9000, dtype=np.float32).reshape(3, 3000)
    one = np.float32(1)
    wanted = (wave + np.float32(32_768)) * np.float32(2) / np.float32(65_535) - one
    scaled = np.asarray(wrap(rescaled)(jnp.asarray(wave)))
    np.testing.assert_array_equal(scaled, wanted)
    # Steps of 1/256 above 0 and of 1/512 below, or twice that.
    assert len(np.unique(scaled)) <= 256 + 512 + 1 < wave.size / 10


@pytest.mark.parametrize(
    ("samples", "frames", "front"), [(5, 1, 2), (10, 1, 0), (11, 2, 1), (14, 2, 0)]
)
def test_zeros_complete_the_last_frame_on_both_sides(samples, frames, front):
    wave = jnp.arange(1.0, samples + 1)
    cut = np.asarray(frames_of(wave, 10, 4))
    assert cut.shape == (frames, 10)
    assert not cut[0, :front].any() and cut[0, front] == 1
    line = np.concatenate([cut[0], *cut[1:, -4:]])
    np.testing.assert_array_equal(line[front : front + samples], wave)
    assert not line[front + samples :].any()


def test_untrained_filters_are_plain_waves():
    filters = Filters(9, 16)
    time = np.pi * np.linspace(-1, 1, 16)
    angle = np.arange(9)[:, None] * time
    wanted = np.stack([np.cos(angle), -np.sin(angle)]) / 4
    np.testing.assert_allclose(filters(), wanted, atol=1e-6)


def test_filters_of_any_order_are_powers_of_a_complex_number():
    order, width = np.array([1.2, 1.7, 3.0]), np.array([2.5, 2.5, 3.5])
    filters = Filters(3, 64)
    filters.order[...] = jnp.asarray(order, jnp.float32)
    filters.bandwidth[...] = jnp.asarray(width, jnp.float32)
    time = np.pi * np.linspace(-1, 1, 64)
    angle = width[:, None] * time / order[:, None]
    sinc = (np.sin(angle) / angle).astype(complex)
    assert np.any(sinc.real < 0)
    wave = np.exp(-1j * np.arange(3)[:, None] * time)
    wanted = np.sqrt(width)[:, None] * sinc ** order[:, None] * wave / 8
    ours = np.asarray(filters())
    np.testing.assert_allclose(ours[0] + 1j * ours[1], wanted, atol=2e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (4, 9), (7, 9)])
def test_adaptive_windows_cover_a_map(size):
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 3)).astype(np.float32)
    ours = adaptive_max(jnp.asarray(x), size)
    assert ours.shape == (2, *size, 3)
    for i in range(size[0]):
        for j in range(size[1]):
            rows = slice(i * 7 // size[0], -(-(i + 1) * 7 // size[0]))
            columns = slice(j * 9 // size[1], -(-(j + 1) * 9 // size[1]))
            wanted = x[:, rows, columns].max((1, 2))
            np.testing.assert_array_equal(ours[:, i, j], wanted)


def test_silence_and_the_shortest_sound_have_embeddings():
    apply, params = parts.load(tiny=True, mode="bench")
    for sound in (jnp.zeros((1, 2000)), jnp.ones((1, 1))):
        assert np.isfinite(apply(params, sound)).all()
    with pytest.raises(ValueError, match="at least one sample, got none"):
        apply(params, jnp.zeros((1, 0)))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"layers": (1, 1)}, "layers must have 4 entries, got 2"),
        ({"win_length": 2049}, "win_length must be at most n_fft 2048, got 2049"),
        ({"width": 8, "width_per_group": 1}, "no network has sizes as small as"),
    ],
)
def test_sizes_that_make_no_head_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        AudioClipConfig(**sizes)
