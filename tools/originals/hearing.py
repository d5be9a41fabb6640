"""Synchformer and Audiobox beside their originals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax.verifiers.audiobox import params as audiobox_names
from avits_jax.verifiers.audiobox.config import AXES, SAMPLE_RATE, AudioboxConfig
from avits_jax.verifiers.audiobox.modeling import Audiobox
from avits_jax.verifiers.desync import params as desync_names
from avits_jax.verifiers.desync.config import SynchformerConfig
from avits_jax.verifiers.desync.modeling import Synchformer
from tools.originals.importing import package, source
from tools.originals.pairs import Net, Pair, draw, program, settle, torch_program

_DEPTH = 2
_TRAINING = ("timm.data", "timm.models.resnet", "timm.models.registry")


def audiobox(folder: Path | None) -> Pair:
    """Four axes of a sound of 4 s."""
    torch = package("torch")
    theirs = source(
        folder,
        "audiobox-aesthetics",
        "audiobox_aesthetics.model.aes",
        bare=("audiobox_aesthetics", "audiobox_aesthetics.model"),
    )
    published = AudioboxConfig()
    config = replace(published, encoder=replace(published.encoder, depth=_DEPTH))
    theirs.DEFAULT_AUDIO_CFG.encoder_layers = _DEPTH
    model = theirs.AesMultiOutput(
        proj_num_layer=config.head_depth, proj_ln=True, nth_layer=_DEPTH + 1
    )
    settle(torch, model)
    net = Net(
        *audiobox_names.build(config), audiobox_names.RULES, audiobox_names.IGNORED
    )
    sound = draw(1, 1, 4 * SAMPLE_RATE)

    def original(sound: Any) -> Any:
        found = model({"wav": sound})
        return torch.stack([found[axis] for axis in AXES], -1)

    def ours(model: Audiobox, sound: Any) -> Any:
        return model(sound[:, 0], sound.shape[-1])

    return Pair(
        program(net, model, ours, sound),
        torch_program(torch, original, sound),
        np.asarray,
    )


def synchformer(folder: Path | None) -> Pair:
    """Logits of the offsets of one segment of picture and sound."""
    torch, omegaconf = package("torch"), package("omegaconf")
    # Of earlier releases of transformers; called where heads are cut off.
    shared = package("transformers.pytorch_utils")
    vars(shared).setdefault("find_pruneable_heads_and_indices", None)
    theirs = source(folder, "Synchformer", "model.sync_model", stand_ins=_TRAINING)
    root = Path(theirs.__file__).parents[1]
    for inner in ("visual.motionformer", "audio.ast"):
        source(
            folder,
            "Synchformer",
            f"model.modules.feat_extractors.{inner}",
            stand_ins=_TRAINING,
        )
    published = SynchformerConfig()
    config = replace(published, video_depth=_DEPTH, audio_depth=_DEPTH, num_segments=1)
    sizes = omegaconf.OmegaConf.load(root / "configs" / "sync.yaml").model.params
    length = 2 + config.video_steps + config.audio_steps
    sizes.transformer.params.pos_emb_cfg.params.block_shape = [length]
    sizes.transformer.params.off_head_cfg.params.out_features = config.num_classes
    model = theirs.Synchformer(**sizes)
    seen, heard = model.vfeat_extractor, model.afeat_extractor.ast.encoder
    seen.blocks, heard.layer = seen.blocks[:_DEPTH], heard.layer[:_DEPTH]
    type(model.afeat_extractor.ast).get_head_mask = lambda _, mask, count: (
        [mask] * count
    )
    settle(torch, model)
    net = Net(
        *desync_names.build(config),
        desync_names.SYNCHFORMER_RULES,
        desync_names.SYNCHFORMER_IGNORED,
    )
    frames = draw(1, 1, config.num_frames, 3, config.image_size, config.image_size)
    mel = draw(1, 1, 1, config.mel_bins, config.mel_frames)

    def ours(model: Synchformer, frames: Any, mel: Any) -> Any:
        video = model.video_features(jnp.moveaxis(frames, 3, -1))
        return model.compare(video, model.audio_features(mel[:, :, 0]))

    return Pair(
        program(net, model, ours, frames, mel),
        torch_program(torch, lambda *given: model(*given)[1], frames, mel),
        np.asarray,
    )
