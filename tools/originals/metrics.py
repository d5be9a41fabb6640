"""Networks of metrics beside their originals, behind the spectrograms of most.

AudioCLIP's spectrogram, of learned filters, is a part of the network.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.metrics.audioclip import params as audioclip_names
from avits_jax.metrics.audioclip.config import SAMPLE_RATE, AudioClipConfig
from avits_jax.metrics.audioclip.modeling import AudioHead
from avits_jax.metrics.cavp import params as cavp_names
from avits_jax.metrics.cavp.config import CavpConfig
from avits_jax.metrics.cavp.modeling import Cavp
from avits_jax.metrics.cnn14 import params as cnn14_names
from avits_jax.metrics.cnn14.config import NUM_MELS, Cnn14Config
from avits_jax.metrics.cnn14.modeling import Cnn14
from avits_jax.metrics.i3d import params as i3d_names
from avits_jax.metrics.i3d.config import SIDE, I3dConfig
from avits_jax.metrics.i3d.modeling import I3d
from avits_jax.metrics.passt import params as passt_names
from avits_jax.metrics.passt.config import PasstConfig
from avits_jax.metrics.passt.modeling import Passt
from avits_jax.metrics.vggish import params as vggish_names
from avits_jax.metrics.vggish.config import NUM_FRAMES, VggishConfig
from avits_jax.metrics.vggish.modeling import Vggish
from tools.originals.importing import package, source
from tools.originals.pairs import (
    Net,
    Pair,
    draw,
    program,
    settle,
    torch_program,
)
from tools.originals.stand_ins import StandIn

_DEPTH = 2
_BENCH = "eval.javisbench.src"


def _with_statistics(torch: Any, model: Any, run: Callable[[], Any]) -> None:
    """Let batch norms divide by the size of what they see in a run.

    As they begin, they would let most of these networks' signals fade away. They take
    off a tenth of the means; with all of them, rounding would grow from layer to layer.
    """
    kind = torch.nn.modules.batchnorm._BatchNorm
    norms = [each for each in model.modules() if isinstance(each, kind)]
    for norm in norms:
        norm.train().momentum = None  # the mean over runs, of which there is one
    run()
    for norm in norms:
        norm.eval()
        norm.running_var += norm.running_mean.square()
        norm.running_mean /= 10


def _pair(
    net: Net,
    model: Any,
    functions: tuple[Any, Any],
    *arrays: np.ndarray,
    statistics: bool = True,
) -> Pair:
    """Return both networks, ready to run.

    Args:
        net: ours.
        model: the original's module.
        functions: ours, of our network and arrays; the original's, of tensors.
        arrays: the same for both.
        statistics: whether batch norms get those of the arrays.
    """
    torch = package("torch")
    ours, original = functions
    theirs = torch_program(torch, original, *arrays)
    settle(torch, model)
    if statistics:
        _with_statistics(torch, model, theirs)
    return Pair(
        program(net, model, ours, *arrays),
        theirs,
        lambda found: jax.tree.map(np.asarray, found),
    )


def i3d(folder: Path | None) -> Pair:
    """Logits of a clip, averaged over time."""
    package("torch")
    theirs = source(
        folder, "JavisDiT", f"{_BENCH}.fvd.pytorch_i3d", stand_ins=("torchvision",)
    )
    model = theirs.InceptionI3d()
    net = Net(*i3d_names.build(I3dConfig()), i3d_names.RULES, i3d_names.IGNORED)

    def ours(model: I3d, clip: Any) -> Any:
        return jnp.mean(model(jnp.moveaxis(clip, 1, -1)), 1)

    return _pair(net, model, (ours, model), draw(1, 3, 16, SIDE, SIDE))


def audioclip(folder: Path | None) -> Pair:
    """Embeddings of two sounds of 2 s, in 16-bit numbers."""
    package("torch")
    theirs = source(
        folder,
        "AudioCLIP",
        "model.esresnet.fbsp",
        bare=("model", "utils"),
        stand_ins=(
            "ignite_trainer._trainer",
            "ignite_trainer._utils",
            "termcolor",
            "torchvision",
        ),
        own=("ignite_trainer", "model", "utils"),
    )
    config = AudioClipConfig()
    model = theirs.ESResNeXtFBSP(
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        win_length=config.win_length,
        window="blackmanharris",
        normalized=True,
        spec_height=-1,
        spec_width=-1,
        num_classes=config.embed_dim,
        apply_attention=True,
    )
    net = Net(
        *audioclip_names.build(config),
        audioclip_names.HEAD_RULES,
        audioclip_names.HEAD_IGNORED,
    )
    sounds = 1000 * draw(2, 2 * SAMPLE_RATE)
    # It begins with weights that keep a signal's size; statistics would make more of
    # the rounding of the decibels of nearly silent frequencies.
    functions = AudioHead.__call__, model
    return _pair(net, model, functions, sounds, statistics=False)


def _cavp(folder: Path | None, ours: Any, encoder: str, array: np.ndarray) -> Pair:
    package("torch")
    theirs = source(folder, "JavisDiT", f"{_BENCH}.cavp.cavp_model")
    config = CavpConfig()
    model = theirs.CAVP_Inference("Slowonly_pool", "cnn14_pool", config.embed_dim)
    net = Net(*cavp_names.build(config), cavp_names.RULES, cavp_names.IGNORED)

    def original(array: Any) -> Any:
        return getattr(model, encoder)(array, normalize=True, pool=False)

    return _pair(net, model, (ours, original), array)


def cavp_video(folder: Path | None) -> Pair:
    """Features of one second of frames."""

    def ours(model: Cavp, frames: Any) -> Any:
        return model.video_features(jnp.moveaxis(frames, 2, -1))

    return _cavp(folder, ours, "encode_video", draw(1, 4, 3, SIDE, SIDE))


def cavp_audio(folder: Path | None) -> Pair:
    """Features of four seconds of sound."""
    mel = draw(1, CavpConfig().mel_bins, 4 * 64)
    return _cavp(folder, Cavp.sound_features, "encode_spec", mel)


def cnn14(folder: Path | None) -> Pair:
    """Features and logits of a sound of 4 s."""
    torch = package("torch")
    theirs = source(
        folder,
        "av-benchmark",
        "av_bench.panns.models",
        stand_ins=("torchlibrosa", "torchlibrosa.augmentation", "torchlibrosa.stft"),
    )
    theirs.os = StandIn("os")  # it would download weights
    config = Cnn14Config()
    names = ("features_list", "sample_rate", "window_size", "hop_size", "mel_bins")
    model = theirs.Cnn14(
        **dict.fromkeys((*names, "fmin", "fmax")), classes_num=config.num_classes
    )
    model.spectrogram_extractor = model.logmel_extractor = torch.nn.Identity()
    net = Net(*cnn14_names.build(config), cnn14_names.RULES, cnn14_names.IGNORED)

    def original(mel: Any) -> Any:
        found = model(mel)
        return found["2048"], found["logits"]

    def ours(model: Cnn14, mel: Any) -> Any:
        return model(mel[:, 0])

    return _pair(net, model, (ours, original), draw(1, 1, 401, NUM_MELS))


def vggish(folder: Path | None) -> Pair:
    """Features of four pieces of sound."""
    package("torch")
    theirs = source(
        folder, "av-benchmark", "av_bench.vggish.vggish", stand_ins=("resampy",)
    )
    model = theirs.VGGish("cpu", pretrained=False, preprocess=False, postprocess=False)
    net = Net(
        *vggish_names.build(VggishConfig()), vggish_names.RULES, vggish_names.IGNORED
    )
    pieces = draw(1, 4, NUM_FRAMES, NUM_MELS)
    return _pair(net, model, (Vggish.__call__, model), pieces)


def passt(folder: Path | None) -> Pair:
    """Features and logits of a sound of 10 s."""
    package("torch")
    theirs = source(
        folder,
        "passt_hear21",
        "hear21passt.models.passt",
        stand_ins=("timm.models.hub",),
    )
    theirs.first_RUN = False  # it would print
    config = replace(PasstConfig(), depth=_DEPTH)
    model = theirs.PaSST(
        img_size=(config.mel_bins, config.mel_frames),
        patch_size=config.patch_size,
        stride=config.stride,
        num_classes=config.num_classes,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.heads,
        distilled=True,
    )
    net = Net(*passt_names.build(config), passt_names.RULES, passt_names.IGNORED)
    mel = draw(1, 1, config.mel_bins, config.mel_frames)

    def original(mel: Any) -> Any:
        logits, features = model(mel)
        return features, logits

    def ours(model: Passt, mel: Any) -> Any:
        return model(mel[:, 0])

    return _pair(net, model, (ours, original), mel)
