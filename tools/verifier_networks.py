"""Small verifiers to compare settings on: with the goldens' weights, and deep ones.

A golden's network has two layers of some 20 to 50 features. A deep one has as many
layers as the published one, so that rounding adds up as there, but is narrow. All
weights are random, so none of them judges anything.
"""

import argparse
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.networks.imagebind import config as imagebind_config
from avits_jax.networks.imagebind import params as imagebind_params
from avits_jax.networks.t5.modeling import T5Config
from avits_jax.nn.pictures import normalise, to_levels
from avits_jax.text.dummy import dummy
from avits_jax.types import Media, PyTree, Scores
from avits_jax.verifiers.clap import config as clap_config
from avits_jax.verifiers.clap import features
from avits_jax.verifiers.clap import params as clap_params
from avits_jax.verifiers.clap import program as clap_program
from avits_jax.verifiers.desync import config as desync_config
from avits_jax.verifiers.desync import params as desync_params
from avits_jax.verifiers.desync import scores as desync_scores
from avits_jax.verifiers.imagebind import program as imagebind_program
from avits_jax.verifiers.video_reward import config as reward_config
from avits_jax.verifiers.video_reward import params as reward_params
from avits_jax.verifiers.video_reward import preprocess
from avits_jax.verifiers.video_reward.scores import named_rewards
from avits_jax.verifiers.vqa_score import config as vqa_config
from avits_jax.verifiers.vqa_score import params as vqa_params
from avits_jax.verifiers.vqa_score import preprocess as vqa_preprocess
from avits_jax.verifiers.vqa_score import scores as vqa_scores
from avits_jax.weights import name_map as weights
from avits_jax.weights.network import random_weights
from tools.parity import clap, desync, imagebind, video_reward, vqa_score
from tools.parity.golden import Golden
from tools.verifier_clips import PROMPT, SAMPLE_RATE

NETWORKS = ("golden", "deep")
GOLDENS = Path(__file__).resolve().parents[1] / "tests" / "golden" / "verifiers"
_BATCH = 4
_CLAP_HOP = 480
_TYPICAL_VARIANCE = 400.0
_PUBLISHED_PATCH = reward_config.VisionConfig().patch_size

Score = Callable[..., dict[str, Scores]]


class Family(NamedTuple):
    """One kind of verifier network.

    Attributes:
        golden: name of its golden.
        published: its sizes.
        deep: sizes of a narrow network of the published depth.
        small: golden -> its sizes.
        build: sizes -> (graph, shapes of the weights).
        load: (golden, shapes) -> weights.
        score: ``(model, config, media, fps, **settings) -> {output: [N]}``.
    """

    golden: str
    published: Any
    deep: Any
    small: Callable[[Golden], Any]
    build: Callable[[Any], tuple[Any, PyTree]]
    load: Callable[[Golden, PyTree], PyTree]
    score: Score

    def program(self, config: Any, fps: float, **settings: Any) -> Callable:
        """``(params, media) -> {output: [N]}``, pure."""
        graph, _ = self.build(config)

        def run(params: PyTree, media: Media) -> dict[str, Scores]:
            model = nnx.merge(graph, params)
            return self.score(model, config, media, fps, **settings)

        return run

    def of(self, network: str) -> tuple[Any, PyTree]:
        """Sizes and weights of one of `NETWORKS`."""
        return self._golden() if network == "golden" else self._deep()

    def _golden(self) -> tuple[Any, PyTree]:
        golden = Golden(GOLDENS, self.golden)
        config = self.small(golden)
        loaded = self.load(golden, self.build(config)[1])
        return config, jax.tree.map(jnp.asarray, loaded)

    def _deep(self) -> tuple[Any, PyTree]:
        params = random_weights(self.build(self.deep)[1])
        return self.deep, jax.tree_util.tree_map_with_path(_variance, params)


def _variance(path: Any, leaf: Array) -> Array:
    """Statistics of a spectrogram in dB must not be drawn: some would be negative."""
    name = jax.tree_util.keystr(path[-1:], simple=True)
    return jnp.full_like(leaf, _TYPICAL_VARIANCE) if name == "variance" else leaf


def _imagebind(
    model,
    config,
    media,
    fps,
    outputs=imagebind_program.OUTPUTS,
    frame_share=None,
    **settings,
) -> dict[str, Scores]:
    """``frame_share`` of the frames are looked at."""
    end = config.vocab_size - 1
    ids = np.zeros(config.context_length, np.int32)
    ids[:9] = [end - 1, 5, 17, 8, 33, 21, 9, 44, end]
    rate = None if frame_share is None else frame_share * fps
    reading = imagebind_program.Reading(fps, SAMPLE_RATE, frame_rate=rate, **settings)
    return imagebind_program.score_clips(
        model,
        media,
        jnp.asarray(ids),
        config=config,
        reading=reading,
        outputs=outputs,
    )


def _clap(model, config, media, fps, **settings) -> dict[str, Scores]:
    del fps
    ids = jnp.asarray(dummy("roberta", config.text.vocab_size)(PROMPT))
    # A golden's encoder hears less than 10 s.
    most = (config.audio.folds * config.audio.image_size - 1) * _CLAP_HOP
    score = clap_program.score_clips(
        model,
        media,
        ids,
        jnp.ones(ids.shape, bool),
        sample_rate=SAMPLE_RATE,
        num_mels=config.audio.mel_bins,
        wave=lambda *sound: features.default_wave(*sound)[:, :most],
        **settings,
    )
    return {"clap": score}


def _desync(model, config, media, fps, **settings) -> dict[str, Scores]:
    del config
    settings = {"candidate_batch": _BATCH, **settings}
    return desync_scores.score_clips(
        model, media, fps=fps, sample_rate=SAMPLE_RATE, **settings
    )


def _vqa(model, config, media, fps, **settings) -> dict[str, Scores]:
    del fps
    tokenize = dummy("t5", config.t5.vocab_size)
    question = vqa_preprocess.question_ids(tokenize, PROMPT, config.image_token)
    ids, answer = map(jnp.asarray, question)
    settings = {"frame_batch": _BATCH, **settings}
    score = vqa_scores.score_clips(model, media.video, ids, answer, **settings)
    return {"vqa_score": score}


def _patches(
    levels: Float[Array, "N F H W 3"], vision: reward_config.VisionConfig
) -> tuple[Float[Array, "N T P K"], int, int]:
    """Patches of frames; small networks see the pixels as they are."""
    if vision.patch_size == _PUBLISHED_PATCH:
        return preprocess.prepare_frames(levels, vision)
    rows, columns = preprocess.grid_of(levels.shape[2], levels.shape[3], vision)
    return preprocess.cut_patches(normalise(levels), vision), rows, columns


def _video_reward(
    model, config, media, fps, num_frames=None, num_ids=0
) -> dict[str, Scores]:
    """A short prompt in place of the real one, whose length is ``num_ids``."""
    count = media.video.shape[1]
    chosen = preprocess.sample_frames(count, fps)
    if num_frames is not None:
        chosen = np.round(np.linspace(0, count - 1, num_frames)).astype(np.int32)
    levels = to_levels(media.video[:, chosen])
    patches, rows, columns = _patches(levels, config.vision)
    tokens = patches.shape[1] * rows * columns // config.vision.merge_size**2
    quality, motion, alignment = config.reward_tokens
    caption = dummy("qwen2", config.vocab_size)(PROMPT)
    caption += [0] * (num_ids - len(caption) - 3)
    ids = [*[config.video_token] * tokens, quality, motion, *caption, alignment]
    prompts = jnp.broadcast_to(jnp.asarray(ids), (len(levels), len(ids)))
    return named_rewards(model(patches, prompts, rows, columns))


def _load(rules, ignored) -> Callable[[Golden, PyTree], PyTree]:
    return lambda golden, like: weights.load(golden.weights, like, rules, ignored)


def _reward_config(golden: Golden) -> reward_config.VideoRewardConfig:
    sizes = golden.info
    return video_reward.config_of(sizes["constructor"], sizes["special_token_ids"])


FAMILIES = {
    "imagebind": Family(
        golden="imagebind_tiny",
        published=imagebind_config.ImageBindConfig(),
        deep=imagebind_config.ImageBindConfig(
            vision=imagebind_config.EncoderConfig(96, 32, 4),
            audio=imagebind_config.EncoderConfig(96, 12, 4, extra_key=True),
            text=imagebind_config.EncoderConfig(96, 24, 4),
            embed_dim=64,
            image_size=56,
            vocab_size=97,
        ),
        small=lambda golden: imagebind.config_of(golden.info["constructor"]),
        build=imagebind_params.build,
        load=_load(imagebind_params.RULES, imagebind_params.IGNORED),
        score=_imagebind,
    ),
    "video_reward": Family(
        golden="videoreward_tiny",
        published=reward_config.VideoRewardConfig(),
        deep=reward_config.VideoRewardConfig(
            vision=reward_config.VisionConfig(width=96, num_heads=4, patch_size=8),
            vocab_size=120,
            hidden_size=96,
            intermediate_size=256,
            num_attention_heads=4,
            num_key_value_heads=2,
            video_token=116,
            reward_tokens=(117, 118, 119),
        ),
        small=_reward_config,
        build=reward_params.build,
        load=_load(reward_params.video_reward_rules(), None),
        score=_video_reward,
    ),
    "clap": Family(
        golden="clap_tiny",
        published=clap_config.ClapConfig(),
        deep=clap_config.ClapConfig(
            text=clap_config.TextConfig(
                vocab_size=83, width=96, heads=4, hidden=256, max_positions=34
            ),
            audio=clap_config.AudioConfig(width=16, heads=(1, 2, 4, 8)),
            embed_dim=64,
        ),
        small=lambda golden: clap.config_of(golden.info),
        build=clap_params.build,
        load=_load(clap_params.RULES, clap_params.IGNORED),
        score=_clap,
    ),
    "vqa_score": Family(
        golden="vqascore_tiny",
        published=vqa_config.VQAScoreConfig(),
        deep=vqa_config.VQAScoreConfig(
            T5Config(vocab_size=96, d_model=96, d_kv=24, d_ff=256, num_heads=4),
            replace(
                vqa_config.ClipVisionConfig(),
                hidden_size=96,
                intermediate_size=256,
                num_attention_heads=4,
                image_size=56,
            ),
        ),
        small=lambda golden: vqa_score.config_of(golden.info["constructor"]),
        build=vqa_params.build,
        load=lambda golden, like: weights.load(
            golden.weights,
            like,
            vqa_params.vqa_score_rules(),
            vqa_params.vqa_score_ignored(
                vqa_score.config_of(golden.info["constructor"])
            ),
        ),
        score=_vqa,
    ),
    "desync": Family(
        golden="synchformer_tiny",
        published=desync_config.SynchformerConfig(),
        deep=desync_config.SynchformerConfig(
            width=96,
            image_size=48,
            video_heads=4,
            video_hidden=256,
            audio_heads=4,
            audio_hidden=256,
            head_heads=4,
            head_hidden=256,
        ),
        small=lambda golden: desync.config_of(golden.info["constructor"]),
        build=desync_params.build,
        load=_load(desync_params.SYNCHFORMER_RULES, desync_params.SYNCHFORMER_IGNORED),
        score=_desync,
    ),
}


def chosen_clips(
    description: str, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Read the command line of a comparison on clips, and print where it runs."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--scale", type=int, default=2, help="of 32x32 pixels")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    chosen = parser.parse_args(arguments)
    print(
        f"{jax.devices()[0].device_kind}, jax {jax.__version__}, Python "
        f"{platform.python_version()}; {chosen.clips} clips\n"
    )
    return chosen
