"""Cnn14, VGGish and PaSST: goldens, published keys, full size, one sound among others.

Operations are compared with those of the reference modules.
"""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import assert_golden, golden_cases
from network_helpers import with_dtype

from avits_jax.metrics.cnn14 import parts as cnn14
from avits_jax.metrics.passt import parts as passt
from avits_jax.metrics.passt import preprocess as passt_input
from avits_jax.metrics.passt.config import PasstConfig
from avits_jax.metrics.vggish import parts as vggish
from avits_jax.metrics.vggish import preprocess as vggish_input
from avits_jax.metrics.vggish.config import VggishConfig
from avits_jax.parallel.flops import count_flops
from tools.absent_gpu import absent_gpu


class Case(NamedTuple):
    """A network, and what it must be at full size.

    Attributes:
        parts: its module.
        samples: of the sound that its operations are stated for.
        gigaflops: of the reference modules.
        shapes: of everything it finds in two such sounds.
        least: the shortest sound that it hears.
    """

    parts: Any
    samples: int
    gigaflops: float
    shapes: list[tuple[int, ...]]
    least: int


CASES = [
    Case(cnn14, 64_000, 16.0, [(2, 2048), (2, 527)], 4_960),
    Case(vggish, 15_600, 1.7, [(2, 1, 128)], 15_600),
    Case(passt, 320_000, 255.0, [(2, 768), (2, 527)], 1),
]
each_network = pytest.mark.parametrize(
    "case", CASES, ids=[each.parts.MODEL.name for each in CASES]
)
GOLDENS = [
    case
    for name in ("panns_", "vggish_", "passt_")
    for prefix in (name, f"manifest_{name}")
    for case in golden_cases("benchmarks", prefix)
]


@pytest.fixture(scope="module")
def sounds():
    """Two seconds of three sounds at a network's rate, the second one broken."""
    rng = np.random.default_rng(0)
    time = np.arange(32_000) / 16_000
    tones = np.sin(2 * np.pi * np.array([[220.0], [440.0], [900.0]]) * time)
    waves = 0.3 * tones + 0.02 * rng.normal(size=tones.shape)
    waves[1, 31_999] = np.nan
    return jnp.asarray(waves, jnp.float32)


@pytest.mark.parametrize("golden", GOLDENS)
def test_golden(golden):
    assert_golden(golden)


@each_network
def test_operations_are_those_of_the_reference(case):
    (part,) = case.parts.MODEL.parts
    wave = jax.ShapeDtypeStruct((1, case.samples), jnp.float32)
    apply = case.parts.make(part.config)
    traced = jax.jit(apply).trace(part.build(part.config)[1], wave)
    assert 0.95 < count_flops(traced.jaxpr) / (1e9 * case.gigaflops) < 1.05


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@each_network
def test_full_size_is_lowered_for_a_gpu_and_answers_in_float32(case, dtype):
    (part,) = case.parts.MODEL.parts
    params = with_dtype(part.build(part.config)[1], dtype)
    waves = jax.ShapeDtypeStruct((2, case.samples), jnp.float32)
    with absent_gpu():
        traced = jax.jit(case.parts.make(part.config)).trace(params, waves)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    found = jax.tree.leaves(traced.out_info)
    assert [each.shape for each in found] == case.shapes
    assert {each.dtype for each in found} == {jnp.dtype(jnp.float32)}
    narrow = dtype == jnp.bfloat16
    heavy = re.findall(r"stablehlo\.convolution.*-> tensor<[\dx]*(\w+)>", text)
    assert heavy and set(heavy) == {"bf16" if narrow else "f32"}
    assert ("fmhaSoftmax" in text) == (narrow and case.parts is passt)
    assert "fmhaScaleBias" not in text


@each_network
def test_a_sound_is_heard_alone_and_a_broken_one_is_nan(case, sounds):
    apply, params = case.parts.load(tiny=True)
    together = jax.tree.leaves(jax.jit(apply)(params, sounds))
    alone = jax.tree.leaves(apply(params, sounds[2:]))
    for several, one in zip(together, alone, strict=True):
        assert np.isnan(several[1]).all()
        assert np.isfinite(several[0]).all()
        np.testing.assert_allclose(several[2], one[0], rtol=1e-4, atol=1e-5)
        assert np.abs(several[2] - several[0]).max() > 1e-3


@each_network
def test_the_shortest_sound_is_heard_and_a_shorter_one_refused(case):
    config = case.parts.MODEL.reduced[""]
    (part,) = case.parts.MODEL.parts
    apply, like = case.parts.make(config), part.build(config)[1]

    def heard(samples):
        waves = jax.ShapeDtypeStruct((1, samples), jnp.float32)
        return jax.tree.leaves(jax.eval_shape(apply, like, waves))

    assert all(each.size for each in heard(case.least))
    with pytest.raises(ValueError, match=f"at least {case.least} samples, got"):
        heard(case.least - 1)


def test_weights_come_from_one_place():
    with pytest.raises(ValueError, match="exactly one of folder.*got none"):
        cnn14.load()
    with pytest.raises(ValueError, match="exactly one.*got random_weights, tiny"):
        vggish.load(random_weights=True, tiny=True)


def test_vggish_drops_what_is_no_whole_piece():
    waves = jax.random.normal(jax.random.key(0), (128_000,))
    whole = vggish_input.pieces(waves)
    assert whole.shape == (8, 96, 64)
    # Frame 96 begins the second piece.
    later = vggish_input.pieces(waves[96 * 160 :])
    np.testing.assert_array_equal(later, whole[1:])
    silence = vggish_input.pieces(jnp.zeros(15_600))
    np.testing.assert_allclose(silence, np.log(0.01), rtol=1e-6)


def test_passt_hears_ten_seconds(sounds):
    filled = passt_input.fit_length(sounds)
    assert filled.shape == (3, 320_000) and not filled[0, 32_000:].any()
    longer = jnp.tile(sounds, (1, 11))[:, 5:]
    np.testing.assert_array_equal(passt_input.fit_length(longer), longer[:, :320_000])
    assert passt_input.log_mel(filled, 128).shape == (3, 128, 1000)


def test_passt_refuses_more_columns_than_it_has_positions():
    config = PasstConfig(mel_frames=500, width=8, depth=1, heads=2)
    like = passt.build(config)[1]
    waves = jax.ShapeDtypeStruct((1, 1000), jnp.float32)
    with pytest.raises(ValueError, match="at most 50 columns of patches, got 99"):
        jax.eval_shape(passt.make(config), like, waves)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PasstConfig(heads=5), "heads must divide width 768, got 5"),
        (lambda: PasstConfig(stride=(8, 10)), "15 rows of patches and 16 positions"),
        (lambda: VggishConfig(stages=((4,),) * 7), "stages must be at most 6, got 7"),
    ],
)
def test_sizes_that_make_no_network_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
