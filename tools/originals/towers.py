"""Text and picture towers beside their originals from transformers."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax.networks.clip import params as clip_names
from avits_jax.networks.clip.config import ClipConfig
from avits_jax.networks.clip.modeling import Clip
from avits_jax.networks.gemma3 import params as gemma_names
from avits_jax.networks.gemma3.config import Gemma3Config
from avits_jax.networks.gemma3.modeling import Gemma3
from avits_jax.networks.t5.modeling import T5Config, T5Encoder
from avits_jax.networks.t5.params import encoder_rules
from avits_jax.nn.abstract import abstract
from avits_jax.verifiers.video_reward import params as reward_names
from avits_jax.verifiers.video_reward.config import VideoRewardConfig
from avits_jax.verifiers.video_reward.modeling import VideoReward
from avits_jax.verifiers.vqa_score import params as vqa_names
from avits_jax.verifiers.vqa_score.config import VQAScoreConfig
from avits_jax.verifiers.vqa_score.modeling import VQAScore
from tools.originals.importing import package
from tools.originals.pairs import (
    Net,
    Pair,
    draw,
    draw_ids,
    first_axis_last,
    program,
    settle,
    torch_program,
)

_DEPTH = 2
_VOCABULARY = 1000  # rows of embeddings are read, not worked on
_PROMPT = 128


def _t5_options(config: T5Config) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "d_kv": config.d_kv,
        "d_ff": config.d_ff,
        "num_layers": config.num_layers,
        "num_decoder_layers": config.num_decoder_layers,
        "num_heads": config.num_heads,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }


def t5_encoder(folder: Path | None) -> Pair:
    """JavisDiT's text encoder on a prompt."""
    del folder
    torch, transformers = package("torch"), package("transformers")
    config = T5Config(vocab_size=_VOCABULARY, num_layers=1)
    model = transformers.T5EncoderModel(transformers.T5Config(**_t5_options(config)))
    settle(torch, model)
    graph, like = abstract(lambda rngs: T5Encoder(config, rngs=rngs))
    ids = draw_ids(_VOCABULARY, 1, _PROMPT)
    mask = np.ones(ids.shape, bool)
    return Pair(
        program(
            Net(graph, like, encoder_rules()), model, T5Encoder.__call__, ids, mask
        ),
        torch_program(
            torch,
            lambda ids, mask: model(ids, attention_mask=mask).last_hidden_state,
            ids,
            mask,
        ),
        np.asarray,
    )


def gemma(folder: Path | None) -> Pair:
    """LTX-2's text tower on a prompt, all hidden states kept."""
    del folder
    torch, transformers = package("torch"), package("transformers")
    config = Gemma3Config(vocab_size=_VOCABULARY, num_hidden_layers=1)
    kinds = {False: "sliding_attention", True: "full_attention"}
    model = transformers.Gemma3TextModel(
        transformers.Gemma3TextConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            query_pre_attn_scalar=config.query_pre_attn_scalar,
            sliding_window=config.sliding_window,
            layer_types=[kinds[each] for each in config.is_full],
            rope_parameters={
                "full_attention": {
                    "rope_type": "linear",
                    "rope_theta": config.rope_theta,
                    "factor": config.rope_factor,
                },
                "sliding_attention": {
                    "rope_type": "default",
                    "rope_theta": config.local_rope_theta,
                },
            },
        )
    )
    settle(torch, model)
    net = Net(*gemma_names.build(config), gemma_names.RULES, gemma_names.IGNORED)
    ids = draw_ids(_VOCABULARY, 1, _PROMPT)
    mask = np.ones(ids.shape, bool)

    def original(ids: Any, mask: Any) -> Any:
        found = model(
            ids, attention_mask=mask, output_hidden_states=True, use_cache=False
        )
        return torch.stack(found.hidden_states)

    return Pair(
        program(net, model, Gemma3.__call__, ids, mask),
        torch_program(torch, original, ids, mask),
        np.asarray,
    )


def _clip(picture: bool) -> Pair:
    torch, transformers = package("torch"), package("transformers")
    published = ClipConfig()
    config = replace(
        published,
        vision=replace(published.vision, depth=_DEPTH),
        text=replace(published.text, depth=_DEPTH),
    )
    vision, text = config.vision, config.text
    end = text.vocab_size - 1
    model = transformers.CLIPModel(
        transformers.CLIPConfig(
            vision_config={
                "hidden_size": vision.width,
                "num_hidden_layers": vision.depth,
                "num_attention_heads": vision.heads,
                "intermediate_size": vision.hidden,
                "image_size": vision.image_size,
                "patch_size": vision.patch_size,
            },
            text_config={
                "hidden_size": text.width,
                "num_hidden_layers": text.depth,
                "num_attention_heads": text.heads,
                "intermediate_size": text.hidden,
                "eos_token_id": end,
            },
            projection_dim=config.embed_dim,
        )
    )
    settle(torch, model)
    net = Net(*clip_names.build(config), clip_names.RULES, clip_names.IGNORED)

    def of(function: Any) -> Any:
        return lambda array: getattr(found := function(array), "pooler_output", found)

    ours: Callable[..., Any]
    if picture:
        array = draw(4, 3, vision.image_size, vision.image_size)
        given, ours = first_axis_last(array), Clip.embed_images
        original = of(model.get_image_features)
    else:
        array = given = draw_ids(end, 1, text.context_length)
        array[:, -1] = end
        ours, original = Clip.embed_texts, of(model.get_text_features)
    return Pair(
        program(net, model, ours, given),
        torch_program(torch, original, array),
        np.asarray,
    )


def clip_vision(folder: Path | None) -> Pair:
    """Four pictures."""
    del folder
    return _clip(picture=True)


def clip_text(folder: Path | None) -> Pair:
    """A text of full length."""
    del folder
    return _clip(picture=False)


def video_reward(folder: Path | None) -> Pair:
    """Qwen2-VL's picture encoder and language model on two frames and a prompt.

    The original is transformers' model of both; positions count tokens one by one, as
    the reward model's own code has them.
    """
    del folder
    torch, transformers = package("torch"), package("transformers")
    published = VideoRewardConfig()
    config = replace(
        published,
        vision=replace(published.vision, depth=_DEPTH),
        vocab_size=_VOCABULARY,
        num_hidden_layers=_DEPTH,
        video_token=_VOCABULARY - 4,
        reward_tokens=(_VOCABULARY - 3, _VOCABULARY - 2, _VOCABULARY - 1),
    )
    vision = config.vision
    model = transformers.Qwen2VLModel(
        transformers.Qwen2VLConfig(
            vision_config={
                "depth": vision.depth,
                "embed_dim": vision.width,
                "hidden_size": config.hidden_size,
                "num_heads": vision.num_heads,
                "mlp_ratio": vision.mlp_ratio,
                "patch_size": vision.patch_size,
                "temporal_patch_size": vision.temporal_patch_size,
                "spatial_merge_size": vision.merge_size,
            },
            text_config={
                "vocab_size": config.vocab_size,
                "hidden_size": config.hidden_size,
                "intermediate_size": config.intermediate_size,
                "num_hidden_layers": config.num_hidden_layers,
                "num_attention_heads": config.num_attention_heads,
                "num_key_value_heads": config.num_key_value_heads,
                "rms_norm_eps": config.epsilon,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": config.rope_theta,
                    "mrope_section": [16, 24, 24],
                },
            },
            video_token_id=config.video_token,
        )
    )
    model.rm_head = torch.nn.Linear(config.hidden_size, 1, bias=False)
    settle(torch, model)
    net = Net(
        *reward_names.build(config),
        reward_names.video_reward_rules(),
        translate=_reward_names,
    )
    rows = columns = 16
    patches = draw(rows * columns, vision.patch_values)
    tokens = rows * columns // vision.merge_size**2
    ids = np.concatenate(
        [
            np.full((1, tokens), config.video_token, np.int32),
            draw_ids(config.video_token, 1, 60),
            np.array([config.reward_tokens], np.int32),
        ],
        1,
    )
    grid = np.array([[1, rows, columns]])

    def original(patches: Any, ids: Any, grid: Any) -> Any:
        places = torch.arange(ids.shape[1]).expand(3, 1, -1)
        states = model(
            input_ids=ids,
            pixel_values_videos=patches,
            video_grid_thw=grid,
            position_ids=places,
            use_cache=False,
            mm_token_type_ids=2 * (ids == config.video_token).int(),
        ).last_hidden_state
        return model.rm_head(states[:, -len(config.reward_tokens) :])[..., 0]

    def ours(model: VideoReward, patches: Any, ids: Any) -> Any:
        return model(patches[None, None], ids, rows, columns)

    return Pair(
        program(net, model, ours, patches, ids),
        torch_program(torch, original, patches, ids, grid),
        np.asarray,
    )


def _reward_names(state: dict[str, Any]) -> dict[str, Any]:
    """Return transformers' names now as those of the published layout."""
    return {
        key.replace("language_model.", "model."): value for key, value in state.items()
    }


def vqa_score(folder: Path | None) -> Pair:
    """CLIP-FlanT5 on a picture and a question, its parts those of transformers."""
    del folder
    torch, transformers = package("torch"), package("transformers")
    published = VQAScoreConfig()
    config = replace(
        published,
        t5=replace(
            published.t5, vocab_size=_VOCABULARY, num_layers=1, num_decoder_layers=1
        ),
        clip=replace(published.clip, num_hidden_layers=_DEPTH + 1),
    )
    clip = config.clip
    model = transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            **_t5_options(config.t5),
            pad_token_id=config.pad_token,
            decoder_start_token_id=config.pad_token,
        )
    )
    tower = transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(
            hidden_size=clip.hidden_size,
            num_hidden_layers=clip.num_hidden_layers - 1,
            num_attention_heads=clip.num_attention_heads,
            intermediate_size=clip.intermediate_size,
            image_size=clip.image_size,
            patch_size=clip.patch_size,
        )
    )
    model.vision_tower = tower
    model.mm_projector = torch.nn.Sequential(
        torch.nn.Linear(clip.hidden_size, config.t5.d_model),
        torch.nn.GELU(),
        torch.nn.Linear(config.t5.d_model, config.t5.d_model),
    )
    settle(torch, model)
    net = Net(
        *vqa_names.build(config),
        vqa_names.vqa_score_rules(),
        vqa_names.vqa_score_ignored(config),
        _vqa_names,
    )
    images = draw(1, 3, clip.image_size, clip.image_size)
    ids, answer = draw_ids(_VOCABULARY, 1, 40), draw_ids(_VOCABULARY, 1, 2)
    ids[:, 20] = config.image_token

    def original(images: Any, ids: Any, answer: Any) -> Any:
        states = tower(images, output_hidden_states=True).hidden_states[-1]
        seen = model.mm_projector(states[:, 1:])
        before, after = (model.shared(part) for part in (ids[:, :20], ids[:, 21:]))
        return model(
            inputs_embeds=torch.cat([before, seen, after], 1),
            labels=answer.long(),
            use_cache=False,
        ).logits

    def ours(model: VQAScore, images: Any, ids: Any, answer: Any) -> Any:
        return model(jnp.moveaxis(images, 1, -1), ids, answer)

    return Pair(
        program(net, model, ours, images, ids, answer),
        torch_program(torch, original, images, ids, answer),
        np.asarray,
    )


def _vqa_names(state: dict[str, Any]) -> dict[str, Any]:
    """Return the names of the published layout, whose tower is further inside."""
    ours = "vision_tower.vision_tower.vision_model."
    found = re.compile(r"^vision_tower\.(vision_model\.)?")
    return {found.sub(ours, key): value for key, value in state.items()}
