"""CAVP's score, its frames and sound, videos of more than ten seconds; its sizes.

What it computes is compared with its goldens in test_bench_networks.py.
"""

from fractions import Fraction

import av
import av.filter
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import jitted
from PIL import Image

from avits_jax.metrics.cavp import parts
from avits_jax.metrics.cavp.config import TINY, CavpConfig
from avits_jax.metrics.cavp.params import build
from avits_jax.metrics.cavp.preprocess import quarter_frames, spectrogram, squashed
from avits_jax.metrics.cavp.scores import cavp_score

GRAY = "gray"


def test_score_is_the_mean_cosine_of_quarter_seconds():
    video = jnp.asarray([[[3.0, 4.0], [1.0, 0.0]], [[0.0, 2.0], [0.0, 0.0]]])
    sound = jnp.asarray([[[4.0, 3.0], [-5.0, 0.0]], [[0.0, 1.0], [1.0, 1.0]]])
    wanted = [(24 / 25 - 1) / 2, 0.5]
    for score in (cavp_score, jax.jit(cavp_score), jax.vmap(cavp_score)):
        np.testing.assert_allclose(score(video, sound), wanted, atol=1e-6)


def test_as_many_features_of_either_are_needed():
    with pytest.raises(ValueError, match=r"same shape, got \(8, 4\) and \(7, 4\)"):
        cavp_score(jnp.ones((8, 4)), jnp.ones((7, 4)))


def shown_by_ffmpeg(frames, fps, seconds):
    """Indices of the frames that FFmpeg's fps filter shows of some seconds."""
    graph = av.filter.Graph()
    clock = Fraction(1, fps)
    source = graph.add_buffer(width=16, height=16, format=GRAY, time_base=clock)
    source.link_to(rate := graph.add("fps", "fps=4"))
    rate.link_to(graph.add("buffersink"))
    graph.configure()
    shown = []
    for index in range(min(frames, seconds * fps)):
        frame = av.VideoFrame.from_ndarray(np.full((16, 16), index, np.uint8), GRAY)
        frame.pts, frame.time_base = index, clock
        graph.push(frame)
        shown += pulled(graph)
    graph.push(None)
    return shown + pulled(graph)


def pulled(graph):
    """Grey levels of all frames that a filter has ready."""
    levels = []
    while True:
        try:
            levels.append(int(graph.pull().to_ndarray()[0, 0]))
        except (av.error.BlockingIOError, av.error.EOFError):
            return levels


@pytest.mark.parametrize(
    ("frames", "fps"), [(96, 24), (102, 24), (16, 8), (25, 25), (90, 30)]
)
def test_frames_of_whole_seconds_are_those_that_ffmpeg_shows(frames, fps):
    seconds = frames // fps
    wanted = shown_by_ffmpeg(frames, fps, seconds)
    assert len(wanted) == 4 * seconds
    assert quarter_frames(frames, fps).tolist() == wanted


def test_a_clip_lasts_a_second_at_least():
    assert len(quarter_frames(24, 24_000 / 1001)) == 4
    with pytest.raises(ValueError, match="at least 1 s, got 23 frames at 24"):
        quarter_frames(23, 24)
    with pytest.raises(ValueError, match="fps must be positive, got 0"):
        quarter_frames(23, 0)
    apply = parts.make(TINY)
    for count in (0, 6):
        with pytest.raises(ValueError, match=f"whole seconds at 4 Hz, got {count} f"):
            apply({}, jnp.zeros((1, count, 8, 8, 3)), jnp.zeros((1, 100)))


def test_frames_are_squashed_as_pil_does():
    levels = np.random.default_rng(0).integers(0, 256, (300, 500, 3), np.uint8)
    image = Image.fromarray(levels).resize((224, 224), Image.Resampling.BILINEAR)
    ours = np.asarray(squashed(jnp.asarray(levels, jnp.float32)))
    off = np.abs(255 * ours - np.asarray(image))
    assert ours.shape == (224, 224, 3)
    assert off.max() < 1.01 and np.mean(off > 0.5) < 0.01


def test_sounds_are_cut_or_followed_by_silence():
    tone = 0.3 * jnp.sin(jnp.arange(40_000) * 0.2)
    assert spectrogram(tone, 2).shape == (128, 128)
    np.testing.assert_array_equal(spectrogram(tone, 2), spectrogram(tone[:32_000], 2))
    short = spectrogram(tone[:20_000], 2)
    assert not short[:, -40:].any() and short[:, 40].max() > 0.5


def test_frames_beyond_ten_seconds_are_another_clip():
    graph, _ = build(TINY)
    _, params = parts.load(tiny=True)
    video = jax.random.uniform(jax.random.key(0), (1, 44, 32, 32, 3))
    features = jitted(graph, lambda model, video: model.video_features(video))
    whole = np.asarray(features(params, video))
    np.testing.assert_allclose(
        whole[:, :40], features(params, video[:, :40]), atol=1e-5
    )
    np.testing.assert_allclose(
        whole[:, 40:], features(params, video[:, 40:]), atol=1e-5
    )
    changed = features(params, video.at[:, 40].set(0.0))
    np.testing.assert_allclose(whole[:, :40], changed[:, :40], atol=1e-5)
    assert np.abs(whole[:, 41] - changed[:, 41]).max() > 1e-4


def test_features_have_unit_length():
    graph, _ = build(TINY)
    _, params = parts.load(tiny=True)
    model = nnx.merge(graph, params)
    features = model.sound_features(jnp.ones((2, 128, 64)))
    assert features.shape == (2, 4, TINY.embed_dim)
    np.testing.assert_allclose(jnp.linalg.norm(features, axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"stage_blocks": (3, 4, 6)}, "stage_blocks must have 4 entries, got 3"),
        ({"widths": (4,) * 5}, "widths must have 6 entries, got 5"),
        ({"mel_bins": 31}, "mel_bins must be at least 32, got 31"),
    ],
)
def test_sizes_that_make_no_encoders_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        CavpConfig(**sizes)
