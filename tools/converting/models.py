"""Every model that can be converted: its networks, name maps, sizes and files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from avits_jax.types import PyTree
from avits_jax.weights import name_map as weights
from tools.converting.files import read_weights

State = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """Where the weights of a network, or of a part of it, are found.

    Attributes:
        folders: paths inside the source folder, the first that exists counts; none:
            the source itself.
        prefix: put before all its keys.
    """

    folders: tuple[str, ...] = ()
    prefix: str = ""

    def find(self, root: Path) -> Path | None:
        """The path under ``root``, None where there is none of them."""
        if not self.folders:
            return root
        found = (root / name for name in self.folders)
        return next((path for path in found if path.exists()), None)


@dataclass(frozen=True)
class Network:
    """How one network is converted.

    Attributes:
        config: its sizes.
        like: makes its parameters, as shapes, from the sizes.
        rules: name map.
        ignore: pattern of keys left out -> why, from the sizes.
        sources: where its weights are.
        read: reads them from one found path; a plain weight file or folder by default.
    """

    config: Any
    like: Callable[[Any], PyTree]
    rules: tuple[weights.Rule, ...]
    ignore: Callable[[Any], Mapping[str, str]] = lambda config: {}
    sources: tuple[Source, ...] = (Source(),)
    read: Callable[[Path], State] = read_weights


@dataclass(frozen=True)
class Model:
    """A model of one or several networks.

    Attributes:
        name: recorded in the checkpoint.
        networks: by name; a single one is called "".
        files: what to fetch, for messages.
    """

    name: str
    networks: Mapping[str, Network]
    files: tuple[str, ...] = field(default=())


def _single(
    name: str,
    config: Any,
    params: Any,
    rules: tuple[weights.Rule, ...],
    files: str,
    **rest: Any,
) -> Model:
    """A model of one network; ``params`` is the module that builds it."""
    network = Network(config, lambda config: params.build(config)[1], rules, **rest)
    return Model(name, {"": network}, (files,))


def _imagebind() -> Model:
    from avits_jax.networks.imagebind import config, params

    return _single(
        "imagebind",
        config.ImageBindConfig(),
        params,
        params.RULES,
        "imagebind_huge.pth of facebookresearch/ImageBind",
        ignore=lambda config: params.IGNORED,
    )


def _clap() -> Model:
    from avits_jax.verifiers.clap import config, params

    return _single(
        "clap",
        config.ClapConfig(),
        params,
        params.RULES,
        "laion/clap-htsat-unfused",
        ignore=lambda config: params.IGNORED,
    )


def _video_reward() -> Model:
    from avits_jax.verifiers.video_reward import config, params
    from tools.converting.lora import read_video_reward

    return _single(
        "video_reward",
        config.VideoRewardConfig(),
        params,
        params.video_reward_rules(),
        "KwaiVGI/VideoReward (model.pth; or adapter_model.safetensors and "
        "non_lora_state_dict.pth beside base/, which is Qwen/Qwen2-VL-2B-Instruct)",
        read=read_video_reward,
    )


def _vqa_score() -> Model:
    from avits_jax.verifiers.vqa_score import config, params

    return _single(
        "vqa_score",
        config.VQAScoreConfig(),
        params,
        params.vqa_score_rules(),
        "zhiqiulin/clip-flant5-xxl (tokenizer: google/flan-t5-xxl)",
        ignore=params.vqa_score_ignored,
    )


def _synchformer() -> Model:
    from avits_jax.verifiers.desync import config, params

    return _single(
        "synchformer",
        config.SynchformerConfig(),
        params,
        params.SYNCHFORMER_RULES,
        "synchformer_state_dict.pth of hkchengrex/MMAudio",
        ignore=lambda config: params.SYNCHFORMER_IGNORED,
    )


_DECODER = "the decoder of the full T5; only the encoder is used"
_T5_IGNORED = {
    "decoder.embed_tokens.weight": _DECODER,
    "decoder.final_layer_norm.weight": _DECODER,
    "decoder.block.{layer}.layer.{part}.layer_norm.weight": _DECODER,
    "decoder.block.{layer}.layer.{part}.{kind}.{name}.weight": _DECODER,
    "lm_head.weight": _DECODER,
}


@cache
def _shapes(kind: Any, config: Any) -> PyTree:
    """Parameters of a network; of the large ones that takes seconds."""
    from avits_jax.nn.abstract import abstract

    return abstract(lambda rngs: kind(config, rngs=rngs))[1]


def _javisdit() -> Model:
    from avits_jax.generators.javisdit import params
    from avits_jax.generators.javisdit.audio_vae import AudioVae, AudioVaeConfig
    from avits_jax.generators.javisdit.config import TransformerConfig
    from avits_jax.generators.javisdit.modeling import Transformer
    from avits_jax.generators.javisdit.prior import PriorConfig, PriorEncoder
    from avits_jax.generators.javisdit.video_vae import VideoVae, VideoVaeConfig
    from avits_jax.networks.t5.modeling import T5Config, T5Encoder
    from avits_jax.networks.t5.params import encoder_rules

    def network(kind, config, rules, *sources: Source, ignored=None) -> Network:
        return Network(
            config,
            lambda config: _shapes(kind, config),
            rules,
            lambda _: ignored or {},
            sources,
        )

    networks = {
        "transformer": network(
            Transformer,
            TransformerConfig(),
            params.TRANSFORMER_RULES,
            Source(("transformer", "JavisDiT-v0.1-jav-240p4s")),
        ),
        "t5": network(
            T5Encoder,
            T5Config(),
            encoder_rules(),
            Source(("t5", "t5-v1_1-xxl")),
            ignored=_T5_IGNORED,
        ),
        "prior": network(
            PriorEncoder,
            PriorConfig(),
            params.PRIOR_RULES,
            Source(("prior", "JavisDiT-v0.1-prior")),
            ignored=params.PRIOR_IGNORED,
        ),
        "video_vae": network(
            VideoVae,
            VideoVaeConfig(),
            params.VIDEO_VAE_RULES,
            Source(("video_vae", "OpenSora-VAE-v1.2")),
        ),
        "audio_vae": network(
            AudioVae,
            AudioVaeConfig(),
            params.AUDIO_VAE_RULES,
            Source(("audio_vae/vae", "audioldm2/vae"), "vae."),
            Source(("audio_vae/vocoder", "audioldm2/vocoder"), "vocoder."),
        ),
    }
    return Model("javisdit-v0.1", networks, _JAVISDIT_FILES)


_JAVISDIT_FILES = (
    "transformer/ from JavisVerse/JavisDiT-v0.1-jav-240p4s",
    "prior/ from JavisVerse/JavisDiT-v0.1-prior",
    "t5/ from DeepFloyd/t5-v1_1-xxl",
    "video_vae/ from hpcai-tech/OpenSora-VAE-v1.2",
    "audio_vae/vae/ and audio_vae/vocoder/ from cvssp/audioldm2",
)


MODELS: dict[str, Callable[[], Model]] = {
    "clap": _clap,
    "imagebind": _imagebind,
    "javisdit": _javisdit,
    "synchformer": _synchformer,
    "video-reward": _video_reward,
    "vqa-score": _vqa_score,
}
