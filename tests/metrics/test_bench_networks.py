"""I3D, AudioCLIP and CAVP: goldens, full size, one clip among others, conversion."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import assert_golden, golden_cases
from torch_files import tensors, write_torch

from avits_jax.converting import conversion
from avits_jax.metrics.audioclip import parts as audioclip
from avits_jax.metrics.audioclip.config import AudioClipConfig
from avits_jax.metrics.cavp import parts as cavp
from avits_jax.metrics.i3d import parts as i3d
from avits_jax.parallel.flops import count_flops
from avits_jax.weights import name_map
from avits_jax.weights.checkpoint import CheckpointError
from avits_jax.weights.config import config_values
from avits_jax.weights.network import as_dtype
from tools.absent_gpu import absent_gpu
from tools.parity import cavp as cavp_runner
from tools.parity import i3d as i3d_runner
from tools.parity.recipes import draw_state, published


class Case(NamedTuple):
    """A network, and what it must be.

    Attributes:
        parts: its module.
        make: ``config -> apply``.
        clip: shapes and dtypes of one clip that its operations are stated for.
        gigaflops: of the reference modules.
        width: of what it finds in a clip; () for one number.
        small: of the reduced network's clips, shapes.
        reduced: sizes of a small network, and its keys and tensors as they are
            published.
    """

    parts: Any
    make: Callable[[Any], Any]
    clip: tuple[tuple[tuple[int, ...], str], ...]
    gigaflops: float
    width: tuple[int, ...]
    small: tuple[tuple[int, ...], ...]
    reduced: Callable[[], tuple[Any, dict[str, np.ndarray]]]


def _golden(name):
    (case,) = golden_cases("benchmarks", name)
    return case.values[0]


def _small_i3d():
    golden = _golden("i3d_tiny")
    return i3d_runner.config_of(golden.info["constructor"]), golden.weights


def _small_audioclip():
    """All published keys; the channels of what is used are divided by eight."""
    entries = published("manifest_audioclip_full_training")
    shapes = {
        key: [side // 8 if side >= 64 else side for side in shape]
        if key.startswith("audio.") and "fbsp" not in key
        else shape[:1]
        for key, (shape, _) in entries.items()
    }
    state = draw_state(0, {key: [shape, "float32"] for key, shape in shapes.items()})
    config = AudioClipConfig(width=8, width_per_group=32, groups=4, embed_dim=128)
    return config, state


def _small_cavp():
    golden = _golden("cavp_tiny")
    state = {
        f"module.{key.replace('encoder.', 'encoder.module.')}": value
        for key, value in golden.weights.items()
    }
    return cavp_runner.config_of(golden.info["constructor"]), state


CASES = [
    Case(
        i3d,
        lambda config: i3d.make(config, "bench"),
        (((24, 126, 224, 3), "uint8"),),
        83.0,
        (400,),
        ((9, 60, 40, 3),),
        _small_i3d,
    ),
    Case(
        audioclip,
        lambda config: audioclip.make(config, "bench"),
        (((64_000,), "float32"),),
        8.8,
        (1024,),
        ((16_000,),),
        _small_audioclip,
    ),
    Case(
        cavp,
        cavp.make,
        (((16, 224, 224, 3), "uint8"), ((64_000,), "float32")),
        191.0,
        (),
        ((4, 60, 40, 3), (12_000,)),
        _small_cavp,
    ),
]
each_network = pytest.mark.parametrize(
    "case", CASES, ids=[each.parts.MODEL.name for each in CASES]
)
GOLDENS = [
    pytest.param(golden, marks=pytest.mark.slow, id=golden.name)
    if golden.name.startswith("i3d_full")  # tens of seconds
    else pytest.param(golden, id=golden.name)
    for prefix in (
        "i3d_",
        "fad_audioclip_",
        "manifest_audioclip_",
        "cavp_",
        "manifest_cavp",
        "pre_cavp",
    )
    for (golden,) in (each.values for each in golden_cases("benchmarks", prefix))
]


def clips(case, count=3):
    """Clips of a reduced network; the second one is broken."""
    rng = np.random.default_rng(0)
    found = []
    for shape in case.small:
        low, high = (0, 255) if len(shape) > 1 else (-0.5, 0.5)
        values = rng.uniform(low, high, (count, *shape)).astype(np.float32)
        values[1].flat[-1] = np.nan
        found.append(jnp.asarray(values))
    return found


@pytest.mark.parametrize("golden", GOLDENS)
def test_bench_network_golden(golden):
    assert_golden(golden)


@each_network
def test_operations_are_those_of_the_reference(case):
    (part,) = case.parts.MODEL.parts
    clip = [jax.ShapeDtypeStruct((1, *shape), kind) for shape, kind in case.clip]
    traced = jax.jit(case.make(part.config)).trace(part.build(part.config)[1], *clip)
    assert 0.95 < count_flops(traced.jaxpr) / (1e9 * case.gigaflops) < 1.05


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@each_network
def test_full_size_is_lowered_for_a_gpu_and_answers_in_float32(case, dtype):
    (part,) = case.parts.MODEL.parts
    params = as_dtype(part.build(part.config)[1], dtype, part.float32)
    clip = [jax.ShapeDtypeStruct((2, *shape), kind) for shape, kind in case.clip]
    with absent_gpu():
        traced = jax.jit(case.make(part.config)).trace(params, *clip)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert traced.out_info.shape == (2, *case.width)
    assert traced.out_info.dtype == jnp.float32
    kinds = set(re.findall(r"stablehlo\.convolution.*-> tensor<[\dx]*(\w+)>", text))
    assert kinds == {"bf16" if dtype == "bfloat16" else "f32"}


@each_network
def test_a_clip_is_judged_alone_and_a_broken_one_is_nan(case):
    _, params = case.parts.load(tiny=True)
    apply = case.make(case.parts.MODEL.reduced[""])
    several = clips(case)
    together = np.asarray(jax.jit(apply)(params, *several))
    alone = np.asarray(apply(params, *(each[2:] for each in several)))
    assert np.isnan(together[1]).all() and np.isfinite(together[[0, 2]]).all()
    largest = np.abs(alone).max()
    np.testing.assert_allclose(together[2], alone[0], rtol=1e-3, atol=1e-4 * largest)
    assert np.abs(together[2] - together[0]).max() > 1e-3 * largest


@each_network
def test_published_files_are_converted_and_loaded(tmp_path, case):
    model, (config, state) = case.parts.MODEL, case.reduced()
    (part,) = model.parts
    file = tmp_path / "published.pt"
    write_torch(file, {"state_dict": tensors(state)})
    ready = conversion.prepare(model, file, sizes=config_values(config))
    conversion.convert(model, ready, tmp_path / "out")
    _, params = case.parts.load(tmp_path / "out")
    plain = {key.replace("module.", ""): value for key, value in state.items()}
    like = part.build(config)[1]
    wanted = name_map.load(plain, like, part.rules, part.ignored(config))
    assert jax.tree.structure(params) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, params, wanted)
    with pytest.raises(CheckpointError, match="is a checkpoint of"):
        (cavp if case.parts is i3d else i3d).load(tmp_path / "out")


def test_a_key_with_and_without_its_wrapper_is_refused(tmp_path):
    file = tmp_path / "published.pt"
    write_torch(file, tensors({"module.a.bias": np.ones(1), "a.bias": np.ones(1)}))
    with pytest.raises(name_map.WeightsError, match="a.bias is there with and without"):
        conversion.prepare(cavp.MODEL, file)


@each_network
def test_weights_come_from_one_place(case):
    with pytest.raises(ValueError, match="exactly one of folder.*got none"):
        case.parts.load()
    with pytest.raises(ValueError, match="exactly one.*got random_weights, tiny"):
        case.parts.load(random_weights=True, tiny=True)


@pytest.mark.parametrize("parts", [i3d, audioclip])
def test_unknown_modes_are_refused(parts):
    with pytest.raises(ValueError, match="must be one of default, bench, got 'its'"):
        parts.load(tiny=True, mode="its")
    with pytest.raises(ValueError, match="must be one of default, bench, got 'its'"):
        parts.make(parts.MODEL.reduced[""], "its")


def test_modes_of_i3d_and_audioclip_differ():
    for parts, several in ((i3d, clips(CASES[0], 2)), (audioclip, clips(CASES[1], 2))):
        found = []
        for mode in ("default", "bench"):
            apply, params = parts.load(tiny=True, mode=mode)
            found.append(np.asarray(jax.jit(apply)(params, *several))[0])
        assert np.abs(found[0] - found[1]).max() > 1e-3 * np.abs(found[0]).max()
