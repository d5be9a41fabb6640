"""The verifier CLIP: which frames, which pixels, scores of a population."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import golden_cases
from network_helpers import random_params

from avits_jax import verifiers
from avits_jax.networks.clip.config import TINY, ClipConfig
from avits_jax.networks.clip.params import build
from avits_jax.parallel.flops import count_flops
from avits_jax.text.clip_bpe import END
from avits_jax.types import Media
from avits_jax.verifiers.clip.modes import MODES
from avits_jax.verifiers.clip.scores import frame_cosines, score_clips
from avits_jax.verifiers.clip.verifier import clip_pass, encode_prompt, make
from avits_jax.weights.network import Weights, as_dtype

PICTURES = golden_cases("benchmarks", "pre_clip")[0].values[0]
RATES = {"fps": 24.0, "sample_rate": 16_000}
# Of the published program, for clips of so many frames.
PUBLISHED = {
    24: [frame for frame in range(24) for _ in range(2)],
    48: [*range(48)],
    96: [*range(0, 48, 2), *range(49, 97, 2)],
}


@pytest.mark.parametrize("num_frames", PUBLISHED)
def test_bench_reads_the_published_frames(num_frames):
    found = MODES["bench"].frames(num_frames, 5)
    assert found.tolist() == PUBLISHED[num_frames]


def test_default_reads_each_frame_once():
    frames = MODES["default"].frames
    assert frames(24, 48).tolist() == [*range(24)]
    assert frames(1, 48).tolist() == [0]
    found = frames(102, 48)
    assert len(set(found.tolist())) == 48 and found[[0, -1]].tolist() == [0, 101]
    np.testing.assert_array_equal(found, MODES["bench"].frames(102, 48))
    assert frames(102, 3).tolist() == [0, 50, 101]


@pytest.mark.parametrize("number", [0, 1])
def test_default_pictures_are_the_published_ones_up_to_rounding(number):
    levels = jnp.asarray(PICTURES.arrays[f"in.frame{number}"], jnp.float32)
    found = MODES["default"].pictures(levels / 255.0, 224)
    found = jnp.moveaxis(found, -1, 0)[:, ::8, ::8]
    wanted = PICTURES.arrays[f"out.correct{number}_sub8"]
    off = np.abs(found - wanted) * 255 * 0.26  # in levels
    # PIL clips what the kernel overshoots after each axis.
    assert np.mean(off > 1.5) < 5e-3 and off.max() < 8
    swapped = PICTURES.arrays[f"out.bench{number}_sub8"]
    assert np.abs(found - swapped).max() > 0.2


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(jnp.asarray, random_params(build(TINY)[1]))


@pytest.fixture(scope="module")
def video():
    """Five clips of six frames, of colours of their own."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(size=(5, 6, 40, 52, 3)) * rng.uniform(size=(5, 1, 1, 1, 3))
    return jnp.asarray(noise, jnp.float32)


IDS = jnp.asarray(encode_prompt("a dog barks at the sea", 77))


def scorer(params, mode="default", **options):
    """``video -> scores``, compiled."""
    shared = clip_pass(TINY, mode=mode, **options)
    run = jax.jit(shared.rewards)
    silent = jnp.zeros((1, 0))
    return lambda video: run(params, Media(video, silent), IDS)["clip_score"]


@pytest.fixture(scope="module")
def scores(params, video):
    return scorer(params)(video)


def test_a_score_is_the_mean_of_cosines(params, video, scores):
    model = nnx.merge(build(TINY)[0], params)
    text = model.embed_texts(IDS[None])[0]
    for clip, score in zip(video, scores, strict=True):
        pictures = MODES["default"].pictures(clip, TINY.vision.image_size)
        embedded = np.asarray(model.embed_images(pictures), np.float64)
        lengths = np.linalg.norm(embedded, axis=-1) * np.linalg.norm(text)
        np.testing.assert_allclose(score, np.mean(embedded @ text / lengths), atol=1e-5)
    assert scores.dtype == jnp.float32 and np.ptp(scores) > 1e-3


def test_the_mean_of_cosines_is_not_the_cosine_of_the_mean():
    images = jnp.asarray([[[1.0, 0.0], [0.0, 5.0]]])
    found = frame_cosines(images, jnp.asarray([[0.0, 2.0]]))
    np.testing.assert_allclose(found, [[0.0, 1.0]])


@pytest.mark.parametrize("mode", MODES)
def test_eager_and_single_and_batched_are_the_same(params, video, mode):
    together = scorer(params, mode)(video)
    two = scorer(params, mode, candidate_batch=2)
    np.testing.assert_allclose(two(video), together, atol=1e-5)
    eager = score_clips(
        nnx.merge(build(TINY)[0], params),
        video[:1],
        IDS,
        side=TINY.vision.image_size,
        mode=MODES[mode],
    )
    np.testing.assert_allclose(eager, together[:1], atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_a_broken_clip_fails_alone(params, video, mode):
    score = scorer(params, mode, candidate_batch=2)
    # In a frame that ``num_frames`` would leave out as well.
    broken = video.at[1, 2, 0, 0, 0].set(jnp.inf).at[4, 5].set(jnp.nan)
    found = score(broken)
    np.testing.assert_array_equal(np.isnan(found), [False, True, False, False, True])
    np.testing.assert_allclose(
        found[jnp.array([0, 2, 3])], score(video)[jnp.array([0, 2, 3])], atol=1e-5
    )


def test_a_broken_frame_that_is_not_read_fails_the_clip(params, video):
    score = scorer(params, num_frames=2)
    found = score(video.at[1, 2, 0, 0, 0].set(jnp.nan))
    np.testing.assert_array_equal(np.isnan(found), [False, True, False, False, False])
    changed = score(video.at[:, 2].set(0.5))
    np.testing.assert_array_equal(changed, score(video))


def test_bench_sees_red_as_blue(params, video, scores):
    levels = jnp.round(255 * video) / 255
    swapped = scorer(params)(levels[..., ::-1])
    bench = scorer(params, "bench")(video[:, jnp.arange(48) // 8])
    np.testing.assert_allclose(bench, swapped, atol=1e-3)
    assert np.abs(bench - scores).max() > 1e-2


def test_memory_does_not_grow_with_the_population():
    shared, like = clip_pass(TINY, candidate_batch=2), build(TINY)[1]

    def needed(count):
        video = jax.ShapeDtypeStruct((count, 8, 64, 64, 3), jnp.float32)
        media = Media(video, jax.ShapeDtypeStruct((count, 0), jnp.float32))
        compiled = jax.jit(shared.rewards).lower(like, media, IDS).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert needed(16) < 1.1 * needed(4)


def test_default_has_gradients(params, video):
    shared = clip_pass(TINY)

    def total(video):
        media = Media(video, jnp.zeros((1, 0)))
        return jnp.sum(shared.rewards(params, media, IDS)["clip_score"])

    slope = jax.jit(jax.grad(total))(0.1 + 0.8 * video)
    assert np.isfinite(slope).all() and np.abs(slope).max() > 1e-6


def test_a_long_prompt_keeps_its_end_token():
    with pytest.warns(UserWarning, match="CLIP reads at most 77 tokens .* has 482"):
        ids = encode_prompt("a dog barks at the sea and " * 60, 77)
    assert ids.shape == (77,) and ids[76] == END and np.all(ids[:76] < END)


def test_a_mode_that_it_lacks_is_refused():
    with pytest.raises(ValueError, match="mode of CLIP must be one of default, bench,"):
        clip_pass(TINY, mode="its")


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"num_frames": 0}, (2, 6, 8, 8, 3), "num_frames must be at least 1, got 0"),
        ({}, (2, 0, 8, 8, 3), "clip_score needs at least one frame with pixels"),
        ({"candidate_batch": -1}, (2, 6, 8, 8, 3), "size must be at least 1, got -1"),
    ],
)
def test_bad_input_is_refused(options, shape, message):
    shared, like = clip_pass(TINY, **options), build(TINY)[1]
    media = Media(jax.ShapeDtypeStruct(shape, jnp.float32), jnp.zeros((2, 0)))
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(shared.rewards, like, media, IDS)


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (7, 7)])
@pytest.mark.parametrize("mode", MODES)
def test_odd_pictures_are_read(size, mode):
    shared, like = clip_pass(TINY, mode=mode), build(TINY)[1]
    video = jax.ShapeDtypeStruct((2, 3, *size, 3), jnp.float32)
    media = Media(video, jnp.zeros((2, 0)))
    found = jax.eval_shape(shared.rewards, like, media, IDS)["clip_score"]
    assert found.shape == (2,) and found.dtype == jnp.float32


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_work_at_full_size(mode, dtype):
    config = ClipConfig()
    (verifier,) = make(["clip_score"], config, Weights(None), mode=mode, **RATES)
    like = as_dtype(build(config)[1], dtype)
    video = jax.ShapeDtypeStruct((2, 102, 240, 426, 3), jnp.float32)
    media = Media(video, jax.ShapeDtypeStruct((2, 68_000), jnp.float32))
    traced = jax.jit(verifier.score).trace(like, media, IDS)
    assert traced.out_info.shape == (2,) and traced.out_info.dtype == jnp.float32
    needed = 2 * 48 * 8.8e9 + 5.9e9
    assert 0.95 < count_flops(traced.jaxpr) / needed < 1.05


def test_it_is_loaded_by_name_and_shares_its_weights_between_modes():
    names = ["clip_score@tiny", "clip_score@tiny:bench"]
    made, trees = verifiers.load(names, num_frames=3, **RATES)
    assert [each.name for each in made] == names and trees[0] is trees[1]
    conds = [each.encode("a dog barks at the sea") for each in made]
    rng = np.random.default_rng(0)
    video = jnp.asarray(rng.uniform(size=(3, 5, 20, 24, 3)), jnp.float32)
    media = Media(video, jnp.zeros((3, 100)))
    rewards = np.asarray(jax.jit(verifiers.stack(made))(trees, media, conds))
    assert np.all(np.abs(rewards) <= 1) and np.all(np.ptp(rewards, 0) > 1e-5)
