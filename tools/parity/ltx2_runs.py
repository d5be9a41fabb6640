"""Whole runs of LTX-2's generator against goldens, with the goldens' noise."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.generators.ltx2 import conditioning, guidance, refiner, schedule
from avits_jax.generators.ltx2.condition import Prompt
from avits_jax.generators.ltx2.conditioning import Given
from avits_jax.generators.ltx2.config import Networks
from avits_jax.generators.ltx2.generator import Choices, ltx2
from avits_jax.generators.ltx2.networks import networks
from avits_jax.generators.ltx2.pictures import cover
from avits_jax.generators.ltx2.sizes import ClipSizes, clip_sizes
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.tiny import TINY
from avits_jax.generators.ltx2.transformer.config import TransformerConfig
from avits_jax.generators.ltx2.transformer.positions import (
    pack_audio,
    pack_video,
    unpack_audio,
    unpack_video,
    video_positions,
)
from avits_jax.sampling.steps import flow_step
from avits_jax.types import Candidates, PyTree
from tools.parity.checks import Expect, default_tolerance
from tools.parity.golden import Golden, strip_prefix
from tools.parity.ltx2_sampling import scales
from tools.parity.ltx2_transformer import RULES, Transformer, transformer_config
from tools.parity.ltx2_upsampler import load_upsampler
from tools.parity.modules import QUICK, channels_first, channels_last, load_module
from tools.parity.registry import register

_TRANSFORMER = "av_transformer_2_3.weights.safetensors"
_LORA = "lora.diffusion_model."
"""Put before a module's name among the golden's weights of a LoRA."""
_KINDS: dict[str, conditioning.KeyBounds] = {"key": "wide", "key1": "narrow"}


def _other(golden: Golden, file: str, weights: Mapping[str, Any] | None = None):
    """The golden that a file of weights is of, or one with other weights."""
    found = Golden(golden.folder, file.removesuffix(".weights.safetensors"))
    if weights is not None:
        found.__dict__["weights"] = weights
    return found


def _load(golden: Golden, perturbed: int) -> tuple[TransformerConfig, PyTree]:
    """Sizes of a transformer, and its weights."""
    config = transformer_config(golden.info["constructor"], perturbed)
    model = load_module(golden, lambda rngs: Transformer(config, rngs=rngs), RULES)
    return config, nnx.to_pure_dict(nnx.state(model))


class _Runs:
    """Runs of one golden: its inputs, its networks and its clip."""

    def __init__(self, golden: Golden, file: str = _TRANSFORMER):
        self.inputs, info = golden.inputs, golden.info
        self.scales = Streams(
            scales(info["guider_video"]), scales(info["guider_audio"])
        )
        (block,) = info["guider_video"]["stg_blocks"]
        self.source = _other(golden, file)
        sizes, weights = _load(self.source, block)
        blank = dict.fromkeys(Networks._fields, ())
        self.config = Networks(**blank)._replace(
            transformer=sizes, vocoder=TINY.vocoder
        )
        self.params = Networks(**blank)._replace(transformer=weights)
        _, frames, height, width, fps = info["pixel_shape"]
        self.clip = clip_sizes((height, width), frames, fps)
        self.texts = Streams(
            *(
                jnp.concatenate(
                    [self.inputs[f"context.{stream}_{sign}"] for sign in ("pos", "neg")]
                )
                for stream in Streams._fields
            )
        )

    def run(
        self,
        latents: Streams,
        sigmas: tuple[float, ...],
        guided: bool,
        *,
        clip: ClipSizes | None = None,
        given: Given | None = None,
        params: Networks | None = None,
        **choices: Any,
    ) -> tuple[dict[str, Any], Streams]:
        """What the golden may hold of a run, and where it ends."""
        generator = ltx2(
            self.config,
            clip or self.clip,
            sigmas,
            scales=self.scales if guided else guidance.NONE,
            choices=Choices(**choices),
        )
        params = params or self.params
        cond = Prompt(self.texts, jnp.full(2, self.texts.video.shape[1]), given)
        assert generator.prepare is not None
        cond = generator.prepare(params, cond)
        predict = jax.jit(generator.predict, compiler_options=QUICK)
        results = {}
        for i in range(generator.num_steps):
            clean = predict(params, Candidates(latents), i, cond)
            for stream in Streams._fields:
                named = f"step{i}.{stream}"
                results[f"{named}_latent_in"] = getattr(latents, stream)
                results[f"{named}_denoised"] = getattr(clean, stream)
            latents = flow_step(latents, clean, sigmas[i], sigmas[i + 1])
        return results | self.final(latents, clip or self.clip), latents

    def final(self, latents: Streams, clip: ClipSizes) -> dict[str, Any]:
        """The end of a run as the golden holds it."""
        return {
            "video_final": channels_first(unpack_video(latents.video, clip.grid)),
            "audio_final": latents.audio,
            "video_tokens_final": latents.video,
        }


def _held(
    golden: Golden, prefix: str, results: Mapping[str, Any], given: Given | None = None
) -> Iterator:
    """Results that a golden holds, by its names; sound is unpacked as it holds it.

    Its clean samples are those before given tokens are put in, which is done to them
    here: what is put in there has no effect.
    """
    for name, value in results.items():
        key = prefix + name
        if key not in golden.outputs:
            continue
        wanted = golden.outputs[key]
        if name == "audio_final":
            value = channels_first(unpack_audio(value, wanted.shape[-1]))
        if given is not None and name.endswith("video_denoised"):
            both = Streams(wanted, given.clean.audio[None])
            expected = conditioning.blended(given, both).video
            value = Expect(value, expected, *default_tolerance(golden, key))
        yield key, value


def _noise(inputs: Mapping[str, Any]) -> Streams:
    return Streams(inputs["video_noise"], inputs["audio_noise"])


@register("trajectory*", holds=("runs.*", "in.*.sigmas", "in.video_noise"))
def run_trajectory(golden: Golden) -> dict:
    """A guided run, and a distilled one."""
    runs, results = _Runs(golden), {}
    for name in golden.info["runs"]:
        sigmas = runs.inputs[f"{name}.sigmas"]
        guided = not name.startswith("distilled")
        levels = tuple(map(float, sigmas))
        if guided:
            levels = schedule.shifted_sigmas(len(sigmas) - 1)
            results[f"{name}.sigmas"] = Expect(np.array(levels), sigmas, 3e-5)
        found, _ = runs.run(_noise(runs.inputs), levels, guided)
        results |= dict(_held(golden, f"{name}.", found))
    return results


def _given(runs: _Runs, items: list) -> tuple[Given, np.ndarray]:
    """What a case gives, and where the tokens of its picture lie."""
    clip, sizes = runs.clip, runs.config.transformer
    given = conditioning.nothing_given(clip, sizes)
    places = [video_positions(clip.grid, clip.fps)]
    for kind, name, index, strength in items:
        latents = channels_last(runs.inputs[name])[0]
        if kind == "latent":
            given = conditioning.with_frames(
                given, clip, latents, latent_frame=index, strength=strength
            )
            continue
        where = {"frame": index, "strength": strength, "bounds": _KINDS[kind]}
        given = conditioning.with_keyframe(given, clip, sizes, latents, **where)
        places.append(
            conditioning.keyframe_positions(clip, len(latents), index, _KINDS[kind])
        )
    return given, np.concatenate(places)


@register("i2v_conditioning*", holds=("cases.*.items", "audio_cases", "in.first"))
def run_conditioning(golden: Golden) -> dict:
    """Pictures, frames and sound that are given."""
    runs = _Runs(golden, golden.info["weights_file"])
    results: dict[str, Any] = {}
    sigmas = tuple(map(float, runs.inputs["sigmas"]))
    for case, stated in golden.info["cases"].items():
        given, places = _given(runs, stated["items"])
        count = len(given.clean.video)
        noise = _noise(runs.inputs)
        noise = noise._replace(video=noise.video[:, :count])
        start = conditioning.start_from(given, noise)
        found, _ = runs.run(start, sigmas, stated["guided"], given=given)
        found |= {
            "positions": places.swapaxes(0, 1)[None],
            "denoise_mask": conditioning.token_masks(given).video[None],
            "clean_latent": given.clean.video[None],
            "noised_video": start.video,
        }
        results |= dict(_held(golden, f"{case}.", found, given))
        ruled = f"{case}.video_final_diffusers_rule"
        if ruled in golden.outputs:
            found, _ = runs.run(
                start, sigmas, stated["guided"], given=given, clean_rule="plain"
            )
            results[ruled] = found["video_final"]
    results |= _run_given_sound(golden, runs, sigmas)
    return results | _run_pictures(golden)


def _run_given_sound(golden: Golden, runs: _Runs, sigmas: tuple[float, ...]) -> dict:
    results: dict[str, Any] = {}
    tokens = pack_audio(jnp.moveaxis(runs.inputs["audio"], 1, -1))[0]
    given = conditioning.nothing_given(runs.clip, runs.config.transformer)
    given = conditioning.with_audio(given, tokens)
    noise = _noise(runs.inputs)
    noise = noise._replace(video=noise.video[:, : runs.clip.video_tokens])
    for case in golden.info["audio_cases"]:
        rule = "zero" if case.endswith("frozen") else "step"
        start = conditioning.start_from(given, noise)
        found, _ = runs.run(start, sigmas, False, given=given, given_sigma=rule)
        results |= dict(_held(golden, f"{case}.", found))
    return results


def _run_pictures(golden: Golden) -> dict:
    """A picture scaled and cut to several sizes."""
    image = jnp.asarray(golden.inputs["image_uint8"], jnp.float32) / 255
    results = {}
    for name in golden.outputs:
        if name.startswith("image_"):
            height, width = map(int, name.removeprefix("image_").split("x"))
            fitted = 2 * cover(image, height, width) - 1
            results[name] = jnp.moveaxis(fitted, -1, 0)[None, :, None]
    return results


def _merged(golden: Golden, base: Golden) -> dict[str, np.ndarray]:
    """Weights with a LoRA, in float32: ``W + strength B A``."""
    weights = dict(base.weights)
    updates = strip_prefix(golden.weights, _LORA)
    for name in {key.rsplit(".lora_", 1)[0] for key in updates}:
        down, up = (updates[f"{name}.lora_{half}.weight"] for half in ("A", "B"))
        added = np.float32(golden.info["lora_strength"]) * (up @ down)
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + added
    return weights


def _second_stage(golden: Golden, runs: _Runs) -> Networks:
    """Weights of the second stage: the LoRA merged, the upsampler, statistics."""
    files = golden.info["weights_files"]
    merged = _other(golden, files["transformer"], _merged(golden, runs.source))
    _, weights = _load(merged, runs.config.transformer.perturbed_block)
    upsampler = load_upsampler(_other(golden, files["upsampler"]))
    channels = runs.config.transformer.video.channels
    decoder = TINY.video_decoder.__class__(
        latent_channels=channels, width=16, depths=(1,) * 5
    )
    runs.config = runs.config._replace(
        upsampler=upsampler.config, video_decoder=decoder
    )
    _, like = networks(runs.config)
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape), like.video_decoder)
    stats = strip_prefix(golden.weights, "vae.per_channel_statistics.")
    return runs.params._replace(
        transformer=weights,
        upsampler=nnx.to_pure_dict(nnx.state(upsampler)),
        video_decoder={
            **blank,
            "mean": jnp.asarray(stats["mean-of-means"]),
            "std": jnp.asarray(stats["std-of-means"]),
        },
    )


@register("two_stage*", holds=("weights_files.upsampler", "lora_strength"))
def run_two_stages(golden: Golden) -> dict:
    """Half-size clips, upsampled and refined, without and with a first frame."""
    runs = _Runs(golden, golden.info["weights_files"]["transformer"])
    params = _second_stage(golden, runs)
    graphs, _ = networks(runs.config)
    inputs = runs.inputs
    results: dict[str, Any] = {}
    small = runs.clip.halved()
    steps = len(inputs["stage1_sigmas"]) - 1
    levels = schedule.shifted_sigmas(steps), schedule.SECOND_STAGE
    for case in sorted({name.split(".")[0] for name in golden.outputs}):
        given = [_first_frame(runs, case, stage) for stage in (1, 2)]
        noise = [
            Streams(*(inputs[f"noise.{stream}{stage}"] for stream in Streams._fields))
            for stage in (1, 2)
        ]
        start = noise[0]
        if given[0] is not None:
            start = conditioning.start_from(given[0], start)
        found, latents = runs.run(start, levels[0], True, clip=small, given=given[0])
        results |= dict(_held(golden, f"{case}.stage1.", found, given[0]))
        frames = unpack_video(latents.video, small.grid)
        large = refiner.upsampled(params, graphs, frames)
        results[f"{case}.upsampled"] = channels_first(large)
        latents = latents._replace(video=pack_video(large))
        start = conditioning.restarted(noise[1], latents, levels[1][0], given[1])
        found, _ = runs.run(start, levels[1], False, given=given[1], params=params)
        results |= dict(_held(golden, f"{case}.stage2.", found, given[1]))
    return results


def _first_frame(runs: _Runs, case: str, stage: int) -> Given | None:
    if not case.startswith("i2v"):
        return None
    clip = runs.clip.halved() if stage == 1 else runs.clip
    given = conditioning.nothing_given(clip, runs.config.transformer)
    latents = channels_last(runs.inputs[f"image_latent_stage{stage}"])[0]
    return conditioning.with_frames(given, clip, latents)
