"""LTX-2's sound autoencoder and vocoders."""

import dataclasses
import math

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AbstractMesh
from network_helpers import jitted, random_network

from avits_jax.generators.ltx2.audio_vae import params as audio_names
from avits_jax.generators.ltx2.audio_vae.config import AudioVaeConfig
from avits_jax.generators.ltx2.audio_vae.modeling import (
    AudioDecoder,
    AudioEncoder,
    log_mel,
)
from avits_jax.generators.ltx2.audio_vae.sharding import RULES as AUDIO_SPLIT
from avits_jax.generators.ltx2.vocoder import params as vocoder_names
from avits_jax.generators.ltx2.vocoder.config import LTX_2_0, VocoderConfig
from avits_jax.generators.ltx2.vocoder.constants import (
    fourier_basis,
    mel_filters,
    with_constants,
)
from avits_jax.generators.ltx2.vocoder.modeling import CausalMel, Vocoder
from avits_jax.generators.ltx2.vocoder.sharding import RULES as VOCODER_SPLIT
from avits_jax.nn.abstract import abstract
from avits_jax.nn.snake import low_pass
from avits_jax.parallel.flops import count_flops
from avits_jax.parallel.sharding import param_shardings
from avits_jax.weights.network import as_dtype

CASES = [
    *goldens.golden_cases("ltx2", "audio_vae"),
    *goldens.golden_cases("ltx2", "vocoder"),
]
SMALL_VAE = AudioVaeConfig(num_mels=8, width=4, multipliers=(1, 2), latent_channels=3)
_SMALL = {
    "num_mels": 8,
    "channels": 8,
    "resblock_kernels": (3,),
    "resblock_dilations": ((1, 3),),
}
SMALL_VOCODER = VocoderConfig(
    base=dataclasses.replace(
        VocoderConfig().base,
        sample_rate=800,
        upsample_rates=(2, 4),
        upsample_kernels=(5, 8),
        **_SMALL,
    ),
    extension=dataclasses.replace(
        VocoderConfig().extension,
        sample_rate=1600,
        upsample_rates=(4, 2),
        upsample_kernels=(8, 4),
        **_SMALL,
    ),
    n_fft=16,
    hop=4,
)


@pytest.mark.parametrize("golden", CASES)
def test_golden(golden):
    goldens.assert_golden(golden)


def test_constants_are_those_of_the_checkpoint(vocoder):
    golden = next(case.values[0] for case in CASES if case.id == "vocoder_2_3")
    stored = golden.weights
    basis = stored["mel_stft.stft_fn.forward_basis"][:, 0].T
    np.testing.assert_allclose(fourier_basis(len(basis)), basis, atol=1e-6)
    filters = [array[0, 0] for key, array in stored.items() if key.endswith(".filter")]
    np.testing.assert_allclose(filters, np.tile(low_pass(), (400, 1)), atol=1e-6)

    settled = vocoder[1]
    own = settled["base"]["blocks"][1]["before_plain"]["down_filter"]
    np.testing.assert_array_equal(own, np.tile(low_pass(), (2, 1)))
    np.testing.assert_array_equal(settled["mel"]["basis"], fourier_basis(16))
    np.testing.assert_array_equal(settled["mel"]["filters"], mel_filters(4, 16, 800))
    assert settled["base"]["conv_in"]["kernel"].std() > 0


# Full size ------------------------------------------------------------------

FULL = {
    "decoder": (
        lambda rngs: AudioDecoder(AudioVaeConfig(), rngs=rngs),
        AudioDecoder.decode,
        (1, 126, 128),
        (1, 2, 501, 64),
        audio_names.FLOAT32,
        AUDIO_SPLIT,
    ),
    "encoder": (
        lambda rngs: AudioEncoder(AudioVaeConfig(), rngs=rngs),
        lambda model, audio: model.encode(audio, 48_000),
        (1, 2, 240_480),
        (1, 126, 128),
        audio_names.FLOAT32,
        AUDIO_SPLIT,
    ),
    "vocoder 2.3": (
        lambda rngs: Vocoder(VocoderConfig(), rngs=rngs),
        Vocoder.__call__,
        (1, 2, 501, 64),
        (1, 2, 240_480),
        vocoder_names.FLOAT32,
        VOCODER_SPLIT,
    ),
    "vocoder 2.0": (
        lambda rngs: Vocoder(LTX_2_0, rngs=rngs),
        Vocoder.__call__,
        (1, 2, 501, 64),
        (1, 2, 120_240),
        (),
        VOCODER_SPLIT,
    ),
}
# Published numbers of parameters, without constants, and trillions of operations.
COSTS = {
    "decoder": (31_915_138 + 256, 0.31),
    "encoder": (21_333_264, 0.15),
    "vocoder 2.3": (128_537_448, 1.13),
    "vocoder 2.0": (55_592_802, 0.70),
}


@pytest.mark.parametrize("name", FULL)
def test_full_size_in_bfloat16(name):
    make, call, shape, expected, float32, split = FULL[name]
    graph, like = abstract(make)
    like = as_dtype(like, "bfloat16", float32)
    paths, leaves = zip(*jax.tree_util.tree_flatten_with_path(like)[0], strict=True)
    names = [jax.tree_util.keystr(p, simple=True, separator="/") for p in paths]
    learned = [
        leaf
        for path, leaf in zip(names, leaves, strict=True)
        if not (path.startswith("mel") or path.endswith("_filter"))
    ]
    parameters, operations = COSTS[name]
    assert sum(math.prod(leaf.shape) for leaf in learned) == parameters
    constant = [p for p, x in zip(names, leaves, strict=True) if x.dtype == "float32"]
    assert all(p.startswith(("mel/", "statistics")) or "_filter" in p for p in constant)
    assert bool(constant) == bool(float32)

    traced = jax.jit(lambda p, x: call(nnx.merge(graph, p), x)).trace(
        like, jax.ShapeDtypeStruct(shape, jnp.float32)
    )
    assert (traced.out_info.shape, traced.out_info.dtype) == (expected, jnp.float32)
    assert count_flops(traced.jaxpr) / 1e12 == pytest.approx(operations, rel=0.02)
    placed = param_shardings(like, AbstractMesh((1, 16), ("data", "model")), split)
    share = sum(
        math.prod(sharding.shard_shape(leaf.shape))
        for leaf, sharding in zip(leaves, jax.tree.leaves(placed), strict=True)
    )
    assert share < sum(math.prod(leaf.shape) for leaf in leaves) / 6


def test_lengths_of_a_clip():
    vae = AudioVaeConfig()
    assert (vae.features, vae.latents_per_second) == (128, 25)
    assert vae.mel_rows(126) == 501
    assert [vae.latent_rows(rows) for rows in (1, 25, 26, 501)] == [1, 7, 7, 126]
    assert VocoderConfig().num_samples(501) == 240_480
    assert LTX_2_0.num_samples(501) == 120_240
    assert (VocoderConfig().sample_rate, LTX_2_0.sample_rate) == (48_000, 24_000)


# Small networks -------------------------------------------------------------


def draw(*shape, seed=1):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.fixture(scope="module")
def vocoder():
    graph, params = random_network(lambda rngs: Vocoder(SMALL_VOCODER, rngs=rngs))
    # Fast waves of large numbers would make rounding grow.
    return graph, with_constants(jax.tree.map(lambda w: 0.4 * w, params), 800)


@pytest.fixture(scope="module")
def small(vocoder):
    """Of every network: graph, weights, the compiled call, and an input of two rows."""
    decoder = random_network(lambda rngs: AudioDecoder(SMALL_VAE, rngs=rngs))
    encoder = random_network(lambda rngs: AudioEncoder(SMALL_VAE, rngs=rngs))
    encoder[1]["statistics"]["std"] = 1 + encoder[1]["statistics"]["std"] ** 2
    return {
        "decoder": (*decoder, AudioDecoder.decode, draw(2, 5, 12)),
        "encoder": (*encoder, AudioEncoder.encode_mel, draw(2, 2, 6, 8)),
        "vocoder": (*vocoder, Vocoder.__call__, draw(2, 2, 5, 4)),
    }


@pytest.mark.parametrize("name", ["decoder", "encoder", "vocoder"])
def test_rows_are_independent_and_bfloat16_is_near(small, name):
    graph, params, call, x = small[name]
    run = jitted(graph, call)
    both = run(params, x)
    other = run(params, x.at[1].set(0))
    np.testing.assert_array_equal(both[0], other[0])
    assert np.abs(both[1] - other[1]).max() > 1e-3
    narrow = jax.tree.map(lambda w: w.astype(jnp.bfloat16), params)
    got = run(narrow, x)
    assert got.dtype == jnp.float32
    rms = np.sqrt(np.mean(np.square(got - both)) / np.mean(np.square(both)))
    assert 0 < rms < 0.03


def test_eager_is_jit(small):
    graph, params, call, x = small["decoder"]
    eager = call(nnx.merge(graph, params), x)
    np.testing.assert_allclose(jitted(graph, call)(params, x), eager, atol=1e-5)


def test_no_row_hears_what_comes_later(small):
    graph, params, call, x = small["decoder"]
    run = jitted(graph, call)
    later = run(params, x) - run(params, x.at[:, 3].add(1.0))
    rows = np.abs(later).max((0, 1, 3))
    # Token 3 is decoded to rows 5 and 6 of 9.
    assert np.all(rows[:5] == 0) and rows[5] > 0

    graph, params, call, x = small["encoder"]
    run = jitted(graph, call)
    later = run(params, x) - run(params, x.at[:, :, 3].add(1.0))
    tokens = np.abs(later).max((0, 2))
    assert np.all(tokens[:2] == 0) and tokens[2] > 0


def test_a_row_of_the_own_spectrogram_ends_with_its_samples():
    mel = CausalMel(4, 16, 4, 800)
    audio = draw(1, 2, 24)
    changed = np.abs(mel(audio) - mel(audio.at[..., 12].add(1.0))).max((0, 1, 3))
    assert mel(audio).shape == (1, 2, 6, 4)
    assert np.all(changed[:3] == 0) and np.all(changed[3:] > 0)
    silent = jax.grad(lambda x: mel(x).sum())(jnp.zeros((1, 2, 24)))
    assert np.all(np.isfinite(silent))


def test_clamping_the_base_matters_where_it_is_loud(vocoder):
    graph, params = vocoder
    free = abstract(
        lambda rngs: Vocoder(dataclasses.replace(SMALL_VOCODER, clamp=False), rngs=rngs)
    )[0]
    mel = draw(1, 2, 3, 4)
    stages = [jitted(each, Vocoder.stages) for each in (graph, free)]
    loud, whole = (run(params, 300 * mel) for run in stages)
    assert np.abs(whole.low).max() > 1.5
    np.testing.assert_array_equal(loud.low, np.clip(whole.low, -1, 1))
    assert np.abs(loud.mel - whole.mel).max() > 0.1
    params = {**params, "base": jax.tree.map(lambda w: 0.1 * w, params["base"])}
    quiet, same = (run(params, mel) for run in stages)
    np.testing.assert_array_equal(quiet.waveform, same.waveform)
    assert np.abs(loud.waveform).max() <= 1 and np.abs(whole.waveform).max() <= 1


def test_a_waveform_that_ends_inside_a_row_is_filled_up_and_cut():
    base = dataclasses.replace(
        SMALL_VOCODER.base, upsample_rates=(3,), upsample_kernels=(3,)
    )
    config = dataclasses.replace(SMALL_VOCODER, base=base)
    graph, params = random_network(lambda rngs: Vocoder(config, rngs=rngs))
    found = jitted(graph, Vocoder.stages)(params, draw(1, 2, 3, 4))
    assert found.low.shape == (1, 2, 9) and found.mel.shape == (1, 2, 3, 4)
    assert found.skip.shape == (1, 2, 24)
    assert found.waveform.shape == (1, 2, config.num_samples(3)) == (1, 2, 18)


def test_a_tone_lies_in_its_mel_band():
    config = AudioVaeConfig()
    time = np.arange(4800) / 48_000
    tone = jnp.asarray(np.sin(2 * np.pi * 1000 * time), jnp.float32)
    mel = log_mel(jnp.stack([tone, 0 * tone])[None], 48_000, config)
    assert mel.shape == (1, 2, config.num_rows(1600), 64)
    # 1000 Hz is the 15th of 45.2 mel in all, hence near the 65 / 3-rd of 64 bands.
    assert set(np.argmax(mel[0, 0, 2:-2], -1).tolist()) <= {20, 21}
    np.testing.assert_allclose(mel[0, 1], np.log(1e-5), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AudioVaeConfig(num_mels=6), "num_mels must be a multiple of 4, got 6"),
        (
            lambda: log_mel(jnp.zeros((1, 2, 512)), 16_000, AudioVaeConfig()),
            "audio has 512 samples at 16000 Hz, expected at least 513",
        ),
        (
            lambda: dataclasses.replace(SMALL_VOCODER, hop=8),
            "extension makes 8 samples of a row, expected 16",
        ),
        (
            lambda: dataclasses.replace(SMALL_VOCODER.base, activation="relu"),
            "activation must be one of .* got 'relu'",
        ),
    ],
)
def test_sizes_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_inputs_of_other_sizes_are_refused(small):
    graph, params, call, _ = small["decoder"]
    with pytest.raises(ValueError, match="tokens of 11 numbers, expected 12"):
        call(nnx.merge(graph, params), jnp.zeros((1, 5, 11)))
    graph, params, call, _ = small["vocoder"]
    with pytest.raises(ValueError, match="mel has 1 channels of 8 bands, expected 2"):
        call(nnx.merge(graph, params), jnp.zeros((1, 1, 5, 8)))
    graph, params, call, _ = small["encoder"]
    with pytest.raises(ValueError, match="mel has 2 channels of 4 bands, expected 2"):
        call(nnx.merge(graph, params), jnp.zeros((1, 2, 5, 4)))
    with pytest.raises(ValueError, match="audio has 1 channels, expected 2"):
        nnx.merge(graph, params).encode(jnp.zeros((1, 1, 5000)), 16_000)
