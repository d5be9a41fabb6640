"""JavisDiT's noise levels, trajectories and sizes against their goldens."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.generators.javisdit import guidance, schedule, sizes
from avits_jax.generators.javisdit.audio_vae import AudioVaeConfig
from avits_jax.generators.javisdit.guidance import ClipInfo, Latents
from avits_jax.generators.javisdit.modeling import Transformer
from avits_jax.generators.javisdit.schedule import NUM_TIMESTEPS
from avits_jax.sampling import masks
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.javisdit_transformer import load_transformer
from tools.parity.modules import QUICK, channels_first, channels_last
from tools.parity.registry import register

_PRECISIONS: dict[str, schedule.Precision] = {
    "float32_args": "float32",
    "bfloat16_args": "reference",
}


@register("timestep_transform_grid*", holds=("in.t", "in.height_width_frames"))
def run_warp(golden: Golden) -> dict:
    """Warped timesteps of many sizes."""
    tolerance = golden.info["tolerance"]["float32_args"]
    times = np.asarray(golden.inputs["t"])
    results = {}
    for name, precision in _PRECISIONS.items():
        ratios = [
            schedule.warp_ratio(
                int(height), int(width), int(frames), precision, "reference"
            )
            for height, width, frames in golden.inputs["height_width_frames"]
        ]
        rows = [schedule.warp(times, ratio) for ratio in ratios]
        results[f"t_{name}"] = Expect(np.stack(rows), **tolerance)
    return results


@register("timesteps_*", holds=("num_sampling_steps", "cases.*.num_frames"))
def run_timesteps(golden: Golden) -> dict:
    """Timesteps and step sizes of whole runs."""
    results = {}
    for case, clip in golden.info["cases"].items():
        for name, precision in _PRECISIONS.items():
            levels = schedule.timesteps(
                golden.info["num_sampling_steps"],
                **clip,
                precision=precision,
                short_clips="reference",
            )
            results[f"{case}.timesteps.{name}"] = levels
            results[f"{case}.dt.{name}"] = schedule.step_sizes(levels)
    return results


class _Run:
    """One golden's trajectory: its inputs, its model and what it gave so far."""

    def __init__(self, golden: Golden):
        self.golden, self.inputs = golden, golden.inputs
        self.info = golden.info["sampler"]
        self.model = load_transformer(golden)
        self.results: dict = {}
        self.masks = None
        if "video_mask" in self.inputs:
            self.masks = Latents(
                jnp.asarray(self.inputs["video_mask"]),
                jnp.asarray(self.inputs["audio_mask"]),
            )
        self.context = self._context()
        self.clip = ClipInfo(
            *(float(self.info[name]) for name in ("fps", "height", "width"))
        )
        graph, self.state = nnx.split(self.model)

        @partial(jax.jit, compiler_options=QUICK)
        def predict(state, latents, timestep, context, active):
            model = nnx.merge(graph, state)
            return guidance.paired_predictions(
                model, latents, timestep, context, self.clip, active
            )[0]

        self.predict = predict

    def _context(self):
        model, inputs = self.model, self.inputs
        text = jnp.asarray(inputs["y"][:, 0])
        spatial = jnp.asarray(inputs["spatial_prior"])
        self._check_nulls(model, len(text), spatial)
        return guidance.guided_context(
            model,
            text,
            jnp.asarray(inputs["mask"] != 0) if "mask" in inputs else None,
            spatial,
            jnp.asarray(inputs["temporal_prior"]),
            prior_scope="batch",
        )

    def _check_nulls(self, model: Transformer, batch: int, spatial) -> None:
        """The doubled text and prior that the original's model was given."""
        null_text = np.repeat(np.asarray(model.null_text)[None, None], batch, 0)
        null_prior = np.asarray(model.null_prior)[: spatial.shape[1]]
        self.results["model_y"] = np.concatenate([self.inputs["y"], null_text])
        self.results["model_spatial_prior"] = np.concatenate(
            [spatial, np.repeat(null_prior[None], batch, 0)]
        )

    def latents(self, *names: str) -> Latents:
        return Latents(*(channels_last(self.inputs[name]) for name in names))

    def step(self, index: int, latents: Latents, levels, falls) -> Latents:
        """One guided step, noting everything that the golden holds of it."""
        timestep = jnp.float32(levels[index])
        entered, active = latents, None
        if self.masks is not None:
            noise = self.latents(
                *(f"add_noise.step{index}.{stream}" for stream in Latents._fields)
            )
            previous = jnp.float32(levels[index - 1] if index else NUM_TIMESTEPS)
            sigma, before = timestep / NUM_TIMESTEPS, previous / NUM_TIMESTEPS
            active = masks.active_frames(self.masks, sigma)
            entered = masks.enter_frames(latents, noise, self.masks, sigma, before)
        rows = self.predict(self.state, entered, timestep, self.context, active)
        _, velocities = guidance.guided_pair(rows, self.info["cfg_scale"])
        self._note(f"step{index}.", entered, timestep, active, rows)
        if active is None:
            active = Latents(*(jnp.ones(x.shape[:2], bool) for x in latents))
        return guidance.masked_update(
            latents,
            entered,
            velocities,
            active,
            jnp.float32(falls[index]),
            "reference",
        )

    def _note(self, prefix: str, entered, timestep, active, rows) -> None:
        batch = len(entered.video)
        first = prefix == "step0."
        for stream in Latents._fields:
            halves = channels_first(getattr(rows, stream))
            pred = np.concatenate([halves[0::2], halves[1::2]])
            self.results[f"{prefix}{stream}_in"] = channels_first(
                getattr(entered, stream)
            )
            self.results[f"{prefix}{stream}_pred"] = (
                Expect(pred, atol=1e-4) if first else pred
            )
        self.results[f"{prefix}t"] = np.full(2 * batch, timestep)
        if active is not None:
            for name, mask in zip(("x_mask", "ax_mask"), active, strict=True):
                self.results[prefix + name] = np.tile(np.asarray(mask), (2, 1))


@register("sample*_n*", holds=("in.video_noise", "in.audio_noise", "sampler.cfg_scale"))
def run_trajectory(golden: Golden) -> dict:
    """A guided run with the original's coupling of priors and mask update."""
    run = _Run(golden)
    height, width, frames = (
        run.info[name] for name in ("height", "width", "num_frames")
    )
    steps = run.info["num_sampling_steps"]
    levels = schedule.timesteps(steps, height, width, frames, short_clips="reference")
    if not run.info.get("use_timestep_transform", True):
        levels = schedule.NUM_TIMESTEPS * (1 - np.arange(len(levels)) / len(levels))
    latents = run.latents("video_noise", "audio_noise")
    for index in range(len(levels)):
        latents = run.step(index, latents, levels, schedule.step_sizes(levels))
    final = {name: channels_first(x) for name, x in latents._asdict().items()}
    return run.results | final


@register("latent_sizes*", holds=("main", "more"))
def run_sizes(golden: Golden) -> dict:
    """Latent, token and waveform sizes of every listed clip."""
    results = {}
    for row in (*golden.info["main"], *golden.info["more"]):
        height, width = sizes.image_size(row["resolution"], row["aspect_ratio"])
        frames = sizes.frame_count(row["duration"])
        found = _sizes_row(sizes.clip_sizes(height, width, frames, fps=row["fps"]))
        name = f"{row['resolution']} {row['aspect_ratio']} {row['duration']}"
        for key in found.keys() & row.keys():
            results[f"{name} {key}"] = Expect(found[key], row[key], 0.0)
    return results


def _sizes_row(clip: sizes.ClipSizes) -> dict:
    """Our sizes under the golden's names, channels first."""
    *video, video_channels = clip.video_latent
    *audio, audio_channels = clip.audio_latent
    decoded = (clip.num_frames, clip.decoded_height, clip.decoded_width)
    return {
        "height": clip.height,
        "width": clip.width,
        "num_frames": clip.num_frames,
        "video_latent": [1, video_channels, *video],
        "decoded_video": [1, 3, *decoded],
        "video_tokens_T_S": clip.video_tokens,
        "video_tokens": clip.video_tokens[0] * clip.video_tokens[1],
        "audio_latent": [1, audio_channels, *audio],
        "mel": [1, 1, clip.mel_rows, AudioVaeConfig().vocoder.num_mels],
        "audio_tokens_T_S": clip.audio_tokens,
        "audio_tokens": clip.audio_tokens[0] * clip.audio_tokens[1],
        "waveform_before_crop": clip.decoded_samples,
        "waveform_length": clip.num_samples,
    }
