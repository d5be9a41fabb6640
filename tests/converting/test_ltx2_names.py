"""Keys of LTX-2's two layouts become the same module names, each of them once."""

import zipfile

import pytest
from ltx2_files import GOLDEN, diffusers, gemma, listed

from avits_jax.converting import ltx2_names as names
from tools.parity.golden import Golden
from tools.parity.ltx2_manifests import run_encoders, run_manifest


def by_home(homes, shapes):
    """Shapes by part and module name; every key has a home, and every home one key."""
    found = {}
    for key, home in homes.items():
        assert home is not None and not home.why, key
        for part in home.parts:
            assert (part, home.name) not in found, key
            found[part, home.name] = shapes[key]
    return found


def of_single_file(shapes):
    return by_home({key: names.single_file(key) for key in shapes}, shapes)


@pytest.mark.parametrize("release", ["2", "2.3"])
def test_both_layouts_hold_the_same(release):
    name = {"2": "ltx2_19b", "2.3": "ltx2_3_22b"}[release]
    groups = listed(f"{name}_original").values()
    original = of_single_file({k: s for group in groups for k, s in group.items()})
    published = {}
    for folder, shapes in diffusers(release).items():
        published |= by_home(names.diffusers(folder, shapes), shapes)
    assert published == original
    # Statistics are of two networks each.
    assert len(original) == sum(map(len, groups)) + 4


@pytest.mark.parametrize("release", ["2_0", "2_3"])
def test_the_encoder_of_video_in_both_layouts(release):
    shapes = listed("ltx2_vae_encoders")[f"video_vae_encoder_{release}"]
    original = of_single_file(shapes)
    published = {}
    for key, shape in shapes.items():
        rest = key.removeprefix("vae.").replace("res_blocks", "resnets")
        head, *tail = rest.split(".")
        if head == "encoder" and tail[0] == "down_blocks":
            block, odd = divmod(int(tail[1]), 2)
            place = f"down_blocks.{block}" + (".downsamplers.0" if odd else "")
            place = "mid_block" if tail[1] == "8" else place
            rest = ".".join(["encoder", place, *tail[2:]])
        rest = rest.replace("per_channel_statistics.mean-of-means", "latents_mean")
        rest = rest.replace("per_channel_statistics.std-of-means", "latents_std")
        published[rest] = shape
    assert by_home(names.diffusers("vae", published), published) == original


def test_a_prefix_is_taken_off_once():
    keys = ("vocoder.vocoder.conv_pre.bias", "vocoder.mel_stft.mel_basis")
    homes = [names.single_file(key) for key in keys]
    assert homes == [
        names.Home(("vocoder",), "vocoder.conv_pre.bias"),
        names.Home(("vocoder",), "mel_stft.mel_basis"),
    ]


def test_statistics_that_nothing_reads_are_dropped():
    home = names.single_file("vae.per_channel_statistics.mean-of-stds")
    assert home is not None and "statistic" in home.why


@pytest.mark.parametrize(
    "prefix", ["language_model.model.", "model.language_model.", "model.", ""]
)
def test_gemma_as_any_release_saves_it(prefix):
    for key in gemma():
        assert names.gemma(prefix + key) == names.Home(("text",), f"gemma.{key}")


@pytest.mark.parametrize(
    "key",
    [
        "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
        "model.vision_tower.vision_model.post_layernorm.bias",
        "model.multi_modal_projector.mm_soft_emb_norm.weight",
        "language_model.lm_head.weight",
        "lm_head.weight",
    ],
)
def test_what_else_gemma_has_is_dropped(key):
    home = names.gemma(key)
    assert home is not None and home.why


def test_keys_of_nothing_have_no_home():
    assert names.single_file("model.other.weight") is None
    assert names.gemma("score.weight") is None
    assert names.diffusers("vae", ["quant_conv.weight"]) == {"quant_conv.weight": None}


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("ltx2_19b_original", run_manifest),
        ("ltx2_3_22b_diffusers", run_manifest),
        ("ltx2_vae_encoders", run_encoders),
    ],
)
def test_every_key_is_read_once_and_every_weight_filled(tmp_path, name, run):
    """At full size, by the records of the published models."""
    with zipfile.ZipFile(GOLDEN / "manifests.zip") as archive:
        archive.extract(f"manifest_{name}.json", tmp_path)
    found = run(Golden(tmp_path, f"manifest_{name}"))
    assert len(found) == (3 if run is run_encoders else 5)
    assert all(each.actual == each.expected for each in found.values())
