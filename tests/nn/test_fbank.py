"""Log-mel front ends by known signals; their exact numbers are in the goldens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.nn.fbank import kaldi_fbank, slaney_filters, stft_power


def test_kaldi_frames_lie_inside_the_signal():
    audio = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32_000)))
    out = jax.jit(lambda x: kaldi_fbank(x, sample_rate=16_000, num_mels=40))(audio)
    assert out.shape == (2, 198, 40)
    alone = kaldi_fbank(audio[1], sample_rate=16_000, num_mels=40)
    np.testing.assert_allclose(out[1], alone, atol=1e-3)


def test_kaldi_ignores_a_constant_and_floors_silence():
    audio = jnp.full(800, 0.3)
    out = kaldi_fbank(audio, sample_rate=16_000, num_mels=8)
    np.testing.assert_allclose(out, np.log(np.finfo(np.float32).eps), rtol=1e-6)


def test_a_signal_shorter_than_a_frame_is_refused():
    with pytest.raises(ValueError, match="at least 400 samples .* got 399"):
        kaldi_fbank(jnp.zeros(399), sample_rate=16_000, num_mels=8)


def test_slaney_filters_have_unit_area():
    filters = slaney_filters(40, 2048, 16_000, 0.0, 8_000.0)
    area = filters.sum(0) * 16_000 / 2048
    np.testing.assert_allclose(area[10:], 1.0, atol=0.1)


@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_a_spectrum_peaks_where_its_tone_is(mode):
    wave = jnp.asarray(np.cos(2 * np.pi * 2000 * np.arange(8000) / 16_000))
    power = stft_power(wave, 512, 160, pad_mode=mode)
    assert power.shape == (51, 257)
    assert (np.asarray(power).argmax(1)[3:-3] == 64).all()
