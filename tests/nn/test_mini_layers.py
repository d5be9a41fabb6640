"""Layers of nn/ that mini uses, against independent references."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from flax import nnx

from avits_jax.nn.audio import griffin_lim, istft, mel_filters, stft
from avits_jax.nn.conv import Conv


@pytest.mark.parametrize(
    ("shape", "size", "stride"),
    [
        ((2, 8, 8, 3), (3, 3), 1),
        ((2, 8, 8, 3), (3, 3), 2),
        ((1, 32, 32, 3), (4, 4), 4),
        ((2, 16, 5), (3,), 1),
        ((2, 16, 5), (5,), 2),
    ],
)
def test_conv_equals_lax_convolution(shape, size, stride):
    conv = Conv(shape[-1], 7, size, stride, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), shape)
    space = "HW"[: len(size)]
    want = jax.lax.conv_general_dilated(
        x,
        conv.kernel[...],
        (stride,) * len(size),
        "SAME",
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
    )
    np.testing.assert_allclose(conv(x), want + conv.bias[...], atol=1e-5)


def test_istft_inverts_stft():
    audio = jax.random.normal(jax.random.key(0), (2, 4000))
    back = istft(stft(audio, 512, 250), 512, 250, 4000)
    np.testing.assert_allclose(back[:, :3800], audio[:, :3800], atol=1e-4)


def test_stft_equals_scipy():
    audio = np.asarray(jax.random.normal(jax.random.key(0), (3000,)))
    window = scipy.signal.get_window("hann", 512)
    padded = np.pad(audio, (256, 512))
    want = [
        np.fft.rfft(window * padded[t * 250 + 125 :][:512]) for t in range(3000 // 250)
    ]
    np.testing.assert_allclose(stft(jnp.asarray(audio), 512, 250), want, atol=2e-3)


def test_griffin_lim_recovers_a_tone():
    time = jnp.arange(8000) / 16_000
    tone = jnp.sin(2 * jnp.pi * 880 * time) * jnp.exp(-time / 0.2)
    magnitude = jnp.abs(stft(tone, 512, 250))[None]
    phase = jax.random.uniform(jax.random.key(0), magnitude.shape[1:], maxval=6.28)
    found = griffin_lim(magnitude, phase, 512, 250, 8000, 24)
    rebuilt = jnp.abs(stft(found, 512, 250))
    error = jnp.linalg.norm(rebuilt - magnitude) / jnp.linalg.norm(magnitude)
    assert error < 0.15


def test_mel_filters_cover_the_spectrum():
    filters = mel_filters(40, 512, 16_000)
    assert filters.shape == (257, 40) and filters.min() >= 0
    assert np.all(filters.max(0) > 0.3)
