"""Audiobox's verifiers on clips: rates, windows, failures, searches, JavisBench."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import avits_jax as avits
from avits_jax import verifiers
from avits_jax.cli import main
from avits_jax.media import write_clip
from avits_jax.nn.resample import resample
from avits_jax.types import Media
from avits_jax.verifiers.audiobox.bench import audio_quality
from avits_jax.verifiers.audiobox.config import AXES, TINY, WINDOW
from avits_jax.verifiers.audiobox.params import build
from avits_jax.verifiers.audiobox.scores import sound_scores
from avits_jax.verifiers.audiobox.verifier import NAMES, audiobox_pass

RATE = 16_000
TINY_NAMES = [f"{name}@tiny" for name in NAMES]


@pytest.fixture(scope="module")
def params():
    return verifiers.load(TINY_NAMES, fps=8, sample_rate=RATE)[1][0]


@pytest.fixture(scope="module")
def run(params):
    """Rewards ``[N, 4]`` of sounds, by mode and rate."""
    compiled = {}

    def rewards(audio, rate=RATE, mode="default", batch=8):
        place = rate, mode, batch
        if place not in compiled:
            shared = audiobox_pass(
                TINY, sample_rate=rate, mode=mode, candidate_batch=batch
            )
            compiled[place] = jax.jit(shared.rewards)
        found = compiled[place](params, Media(jnp.zeros(()), jnp.asarray(audio)), ())
        assert list(found) == list(NAMES)
        return np.stack(list(found.values()), -1)

    return rewards


def noise(*shape, seed=0):
    """Noise of a loudness that rises and falls."""
    rng = np.random.default_rng(seed)
    envelope = 0.02 + np.sin(np.arange(shape[-1]) / 3000) ** 2
    return (0.2 * rng.normal(size=shape) * envelope).astype(np.float32)


@pytest.mark.parametrize("mode", ["default", "bench"])
def test_clips_are_scored_alone_and_a_broken_one_fails_alone(run, mode):
    audio = noise(3, 30_000) * np.float32([[1.0], [0.3], [0.03]])
    whole = run(audio, mode=mode, batch=2)
    assert whole.shape == (3, 4) and whole.dtype == np.float32
    assert np.isfinite(whole).all() and (np.ptp(whole, 0) > 1e-4).all()
    turned = audio[[2, 0, 1]]
    turned[1, -1] = np.nan
    other = run(turned, mode=mode, batch=2)
    np.testing.assert_allclose(other[[0, 2]], whole[[2, 1]], atol=1e-4)
    assert np.isnan(other[1]).all()
    np.testing.assert_allclose(run(audio, mode=mode, batch=8), whole, atol=1e-4)


def test_another_rate_is_resampled_and_channels_are_mixed(run):
    audio = noise(2, 2, 36_000)
    low = resample(jnp.asarray(audio.mean(1)), 24_000, RATE)
    found = run(audio, rate=24_000)
    np.testing.assert_allclose(found, run(low), atol=1e-4)
    slow = run(audio.mean(1) * np.float32(0.66), mode="bench")
    bench = run(audio, rate=24_000, mode="bench")
    np.testing.assert_allclose(bench, slow, atol=1e-4)
    assert np.abs(bench - found).max() > 1e-3


def test_the_benchmark_hears_four_seconds_and_adds_silence(run):
    audio = noise(1, 80_000)
    first = run(audio[:, :64_000])
    np.testing.assert_allclose(run(audio, mode="bench"), first, atol=1e-4)
    unheard = audio.copy()
    unheard[0, -1] = np.inf
    assert np.isnan(run(unheard, mode="bench")).all()
    short = np.pad(audio[:, :20_000], ((0, 0), (0, 44_000)))
    silent = run(audio[:, :20_000], mode="bench")
    np.testing.assert_allclose(silent, run(short), atol=1e-4)
    assert np.abs(silent - run(audio[:, :20_000])).max() > 1e-3


def test_windows_count_by_the_sound_in_them(params):
    graph, _ = build(TINY)
    model = nnx.merge(graph, params)
    sound = jnp.asarray(noise(2, 2 * WINDOW + 40_000))
    parts = jnp.split(sound, [WINDOW, 2 * WINDOW], axis=1)
    shares = (1.0, 1.0, 0.25)

    @jax.jit
    def run(parts):
        raw = sum(w * model(part) for w, part in zip(shares, parts, strict=True))
        found = sound_scores(model, jnp.concatenate(parts, 1), 3)
        return found, raw / sum(shares)

    found, raw = run(parts)
    wanted = raw * np.float32(TINY.stds) + np.float32(TINY.means)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_program_gives_what_single_operations_give(params, run):
    graph, _ = build(TINY)
    sound = noise(1, 3_000)
    eager = sound_scores(nnx.merge(graph, params), jnp.asarray(sound))
    np.testing.assert_allclose(eager, run(sound), atol=1e-4)


def test_audio_quality_is_the_mean_of_the_axes_of_the_mode(params, run):
    graph, _ = build(TINY)
    audio = jnp.asarray(noise(2, 36_000))

    def quality(**options):
        def program(params, audio):
            model = nnx.merge(graph, params)
            return audio_quality(model, audio, sample_rate=24_000, **options)

        return jax.jit(program)(params, audio)

    found = quality()
    assert set(found) == {"audio_quality", *AXES}
    axes = run(audio, rate=24_000, mode="bench")
    for i, axis in enumerate(AXES):
        np.testing.assert_allclose(found[axis], axes[:, i], atol=1e-4)
    np.testing.assert_allclose(found["audio_quality"], axes.mean(1), atol=1e-4)
    true = quality(mode="default")["audio_quality"]
    np.testing.assert_allclose(true, run(audio, rate=24_000).mean(1), atol=1e-4)
    cut = quality(mode="default", seconds=1.0)["audio_quality"]
    half = run(resample(audio, 24_000, RATE)[:, :RATE]).mean(1)
    np.testing.assert_allclose(cut, half, atol=1e-4)
    with pytest.raises(ValueError, match="Audiobox must be one of default, bench, go"):
        quality(mode="its")
    with pytest.raises(ValueError, match="audio_quality: .* 1 sample of sound, got 0"):
        audio_quality(nnx.merge(graph, params), audio[:, :0], sample_rate=RATE)


def test_bad_input_is_refused(params):
    with pytest.raises(ValueError, match="Audiobox must be one of default, bench, go"):
        verifiers.load(["audiobox_pq@tiny:its"], fps=8, sample_rate=RATE)
    shared = audiobox_pass(TINY, sample_rate=RATE)
    with pytest.raises(ValueError, match="audiobox_pq.* at least 1 sample of sound"):
        shared.rewards(params, Media(jnp.zeros(()), jnp.zeros((2, 0))), ())


def test_published_figures_are_priors():
    mean, std = verifiers.priors(["audiobox_pq@tiny", "audiobox_pc@tiny"])
    assert mean == [6.57505, 3.18591] and std == [1.51466, 1.86637]


def test_axes_share_a_pass_and_lead_a_search():
    generator, weights = avits.generators.load("mini", num_steps=2)
    chosen, vparams = verifiers.load(
        TINY_NAMES[3:] + TINY_NAMES[:1],
        fps=generator.fps,
        sample_rate=generator.sample_rate,
    )
    assert chosen[0].shared_pass is chosen[1].shared_pass is not None
    cond = avits.encode_prompt(
        "a red circle bounces twice with a bell", generator, chosen
    )
    traced = []

    def bound(params, key, cond):
        traced.append(1)
        return avits.best_of_n(
            params,
            key,
            cond,
            generator=generator,
            verifiers=chosen,
            aggregator=avits.weighted([1.0, 0.0]),
            num_candidates=4,
            candidate_batch=2,
        )

    search = jax.jit(bound)
    params = avits.Params(weights, vparams)
    for seed in (0, 1):
        output = search(params, jax.random.key(seed), cond)
        assert len(traced) == 1
        assert output.rewards.shape == (4, 2) and np.isfinite(output.rewards).all()
        assert output.best_index == np.argmax(output.rewards[:, 0])
        won = Media(output.best.video[None], output.best.audio[None])
        shared = functools.partial(chosen[0].score, vparams[0])
        again = jax.jit(shared)(won, ())
        np.testing.assert_allclose(
            again[0], output.rewards[output.best_index, 0], atol=1e-4
        )


def test_a_clip_is_verified(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    video = np.zeros((8, 16, 16, 3), np.float32)
    audio = noise(24_000)
    write_clip("clip.mp4", video, audio, fps=8.0, sample_rate=24_000, scale=1)
    flags = ["--verifiers", "audiobox_pq@tiny,audiobox_pc@tiny:bench", "--json"]
    flags += ["--no-compilation-cache"]
    assert main(["verify", "clip.mp4", "a red circle bounces", *flags]) == 0
    rewards = json.loads(capsys.readouterr().out)["rewards"]
    assert set(rewards) == {"audiobox_pq@tiny", "audiobox_pc@tiny:bench"}
    assert all(np.isfinite(list(rewards.values())))
