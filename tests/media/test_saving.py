"""avits.save: what a search returns becomes a file."""

import jax.numpy as jnp
import numpy as np
import pytest

import avits_jax as avits
from avits_jax.types import Media

RATES = {"fps": 8.0, "sample_rate": 16_000}


@pytest.fixture
def clip():
    """Half a second that grows brighter, with a tone."""
    grey = jnp.linspace(0.2, 0.8, 4)[:, None, None, None]
    tone = 0.5 * jnp.sin(2 * jnp.pi * 440 * jnp.arange(8000) / 16_000)
    return Media(jnp.broadcast_to(grey, (4, 32, 32, 3)), tone)


def test_a_clip_comes_back(clip, tmp_path):
    path = avits.save(clip, tmp_path / "new" / "best.mp4", **RATES)
    found = avits.media.read_clip(path)
    # Pictures are repeated so that players show all of them.
    levels = found.video[:: len(found.video) // 4].mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(levels, [0.2, 0.4, 0.6, 0.8], atol=0.02)
    assert found.sample_rate == 16_000
    assert np.abs(found.audio[0, 1000:7000]).max() == pytest.approx(0.5, abs=0.05)


def test_what_is_no_clip_is_refused(clip, tmp_path):
    with pytest.raises(ValueError, match=r"path must end in \.mp4, got .*best\.wav"):
        avits.save(clip, tmp_path / "best.wav", **RATES)
    several = Media(jnp.stack([clip.video] * 3), jnp.stack([clip.audio] * 3))
    with pytest.raises(ValueError, match="clip must be one, got 3; save output.best"):
        avits.save(several, tmp_path / "best.mp4", **RATES)
    with pytest.raises(ValueError, match="path must be on this machine, got gs://b/"):
        avits.save(clip, "gs://b/best.mp4", **RATES)
    avits.save(tuple(clip), tmp_path / "pair.mp4", **RATES).unlink()
    broken = clip._replace(audio=clip.audio.at[0].set(jnp.nan))
    with pytest.raises(ValueError, match="audio holds NaN"):
        avits.save(broken, tmp_path / "best.mp4", **RATES)
    assert not list(tmp_path.iterdir())
