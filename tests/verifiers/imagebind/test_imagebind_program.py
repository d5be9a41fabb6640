"""All ImageBind scores in one pass, against the same steps taken one clip at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import random_network

from avits_jax.networks.imagebind.config import EncoderConfig, ImageBindConfig
from avits_jax.networks.imagebind.modeling import ImageBind
from avits_jax.types import Media
from avits_jax.verifiers.imagebind import modes, scores, sound
from avits_jax.verifiers.imagebind.program import Reading, score_clips

TINY = ImageBindConfig(
    vision=EncoderConfig(16, 1, 2),
    audio=EncoderConfig(12, 1, 3, extra_key=True),
    text=EncoderConfig(8, 1, 2),
    embed_dim=6,
    image_size=28,
    mel_bins=26,
    vocab_size=50,
    context_length=9,
)
FPS, RATE = 4.0, 16_000
IDS = jnp.asarray([40, 3, 7, 49, 0, 0, 0, 0, 0])


@pytest.fixture(scope="module")
def network():
    return random_network(lambda rngs: ImageBind(TINY, rngs=rngs))


@pytest.fixture(scope="module")
def media() -> Media:
    """Three clips of 3 s."""
    rng = np.random.default_rng(0)
    video = rng.uniform(size=(3, 12, 20, 30, 3))
    audio = 0.2 * rng.normal(size=(3, 3 * RATE)) + 0.05
    return Media(jnp.asarray(video, jnp.float32), jnp.asarray(audio, jnp.float32))


def program(graph, mode):
    def run(params, media):
        model = nnx.merge(graph, params)
        return score_clips(
            model,
            media,
            IDS,
            config=TINY,
            reading=Reading(FPS, RATE, mode, frame_batch=7),
        )

    return jax.jit(run)


@pytest.mark.parametrize("name", ["DEFAULT", "BENCH", "ITS"])
def test_a_candidate_is_scored_as_if_alone_and_a_broken_one_fails_alone(
    network, media, name
):
    graph, params = network
    run = program(graph, getattr(modes, name))
    whole = run(params, media)
    order = jnp.asarray([2, 0, 1])
    moved = Media(media.video[order], media.audio[order])
    broken = Media(moved.video.at[1].set(jnp.nan), moved.audio)
    others = run(params, broken)
    for name, ours in whole.items():
        other = others[name]
        assert ours.shape == (3,) and (np.abs(ours) <= 1 + 1e-6).all()
        np.testing.assert_allclose(ours[order][0], other[0], atol=1e-4)
        np.testing.assert_allclose(ours[order][2], other[2], atol=1e-4)
    sighted = {name for name, score in others.items() if np.isnan(score[1])}
    assert sighted == set(others) - {"ta_ib"}


def test_scores_equal_the_steps_one_by_one(network, media):
    graph, params = network
    ours = program(graph, modes.DEFAULT)(params, media)

    @jax.jit
    def steps(params, video, audio):
        model = nnx.merge(graph, params)
        levels = 255.0 * video[None]
        frames = model.vision(modes.DEFAULT.frames(levels, 28)[0][:, None])

        def hear(start):
            clip = audio[None, start : start + 2 * RATE]
            picture = sound.mel_pictures(clip[None], ((0, 2 * RATE),), 26, 204)
            return model.audio(picture[0])[0]

        whole = (hear(0) + hear(RATE // 2) + hear(RATE)) / 3
        windows = jnp.stack([hear(0), hear(RATE // 2), hear(RATE)])
        spans = ((0, 8), (2, 10), (4, 12))
        text = model.text(IDS[None])[0]
        return (
            scores.javis_score(frames, windows, spans),
            scores.avh_score(frames, whole),
            scores.cosine(text, whole),
        )

    expected = steps(params, media.video[1], media.audio[1])
    actual = [ours[name][1] for name in ("javis_score", "avh_score", "ta_ib")]
    np.testing.assert_allclose(actual, expected, atol=1e-4)
