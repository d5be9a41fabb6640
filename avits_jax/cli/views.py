"""How verifiers see a clip: as it is, or fitted to the clips of one model."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avits_jax.catalogue.resolve import Resolution, Resolved
from avits_jax.cli import backend
from avits_jax.cli.compiled import Checked
from avits_jax.cli.errors import CliError, as_refusal
from avits_jax.cli.labels import warnings_told
from avits_jax.cli.options import ModelOptions
from avits_jax.media import Clip, fit_clip, mono_sound
from avits_jax.search.rewards import stacked_rewards
from avits_jax.types import Cond, Media, PyTree, Verifier

Told = str | Mapping[str, str]
"""What verifiers are told: one prompt, or a text for each by its name."""

_NO_SOUND_RATE = 16_000  # what a clip without sound is said to have
_SETTINGS = "smaller or shorter clips (--max-seconds), or --dtype bfloat16"


class Scores(NamedTuple):
    """What some verifiers say of a clip.

    Attributes:
        rewards: by name, NaN where a verifier gave up.
        reasons: why a verifier has no reward, where that is known.
        notes: what was changed in the clip for them.
    """

    rewards: dict[str, float]
    reasons: dict[str, str]
    notes: list[str]


class FittedView:
    """Verifiers that know the clips of one model alone: clips are fitted to those."""

    def __init__(self, options: ModelOptions, names: Resolution) -> None:
        """Load the model, for the size of its clips, and the verifiers.

        Raises:
            CliError: see `backend.load`.
        """
        self.names = tuple(each.name for each in names.verifiers)
        self.loaded = backend.load(options, names)
        self._score = Checked(_scored_by(self.loaded.verifiers), _SETTINGS)
        self._sizes: dict[str, Any] = {}

    def seconds(self, prompt: str) -> float:
        """Return the length of the model's clips.

        Raises:
            CliError: the model does not understand the prompt.
        """
        sizes = self._sizes_for(backend.encode(self.loaded, prompt))
        return sizes["num_frames"] / sizes["fps"]

    def score(self, clip: Clip, prompt: str) -> Scores:
        """Fit and score a clip; verifiers that hear give NaN for one without sound.

        Raises:
            CliError: the model does not understand the prompt.
        """
        cond = backend.encode(self.loaded, prompt)
        video, audio, notes = fit_clip(clip, **self._sizes_for(cond))
        if not clip.sample_rate:
            audio = np.full_like(audio, np.nan)
        params = self.loaded.params.verifiers
        rewards = np.asarray(self._score(params, video, audio, cond.verifiers))
        values = dict(zip(self.names, rewards.tolist(), strict=True))
        mute = [name for name in self.names if not np.isfinite(values[name])]
        known = {} if clip.sample_rate else dict.fromkeys(mute, "the clip has no sound")
        return Scores(values, known, notes)

    def _sizes_for(self, cond: Cond) -> dict[str, Any]:
        if not self._sizes:
            self._sizes = _native_size(self.loaded, cond)
        return self._sizes


class OwnView:
    """Verifiers that take clips of any size, length and rates as they are."""

    def __init__(
        self,
        options: ModelOptions,
        verifiers: tuple[Resolved, ...],
        networks: dict[Any, Any] | None = None,
    ) -> None:
        """Remember what to load once the rates of a clip are known.

        Args:
            options: dtype.
            verifiers: what their names stand for.
            networks: those that are loaded; views that share them read each once.
        """
        self.names = tuple(each.name for each in verifiers)
        self._resolved = verifiers
        self._options = options
        # Read once, whatever the rates.
        self._networks = {} if networks is None else networks
        self._panels: dict[Any, _Panel] = {}

    def score(self, clip: Clip, prompt: Told) -> Scores:
        """Score a clip with all verifiers that can; reasons tell of the others."""
        audio, notes = mono_sound(clip)
        panel = self._panel(self.names, clip)
        reasons: dict[str, str] = {}
        try:
            rewards = panel.score(clip.video, audio, prompt)
        except CliError:
            reasons = self._refusals(clip, audio, prompt)
            able = tuple(name for name in self.names if name not in reasons)
            rewards = {}
            if able:
                rewards = self._panel(able, clip).score(clip.video, audio, prompt)
        values = {name: rewards.get(name, np.nan) for name in self.names}
        return Scores(values, reasons, [*clip.notes, *notes])

    def score_all(self, clips: Sequence[Clip], prompts: Sequence[Told]) -> list[Scores]:
        """Score clips of one size, length and rates in one program, see `score`.

        Args:
            clips: one or more.
            prompts: one for each.
        """
        if len(clips) > 1:
            sounds = [mono_sound(clip) for clip in clips]
            panel = self._panel(self.names, clips[0])
            # What one clip or prompt of them is refused for, none of them need be.
            with contextlib.suppress(CliError):
                found = panel.score_all(
                    np.stack([clip.video for clip in clips]),
                    np.stack([audio for audio, _ in sounds]),
                    prompts,
                )
                return [
                    Scores(rewards, {}, [*clip.notes, *notes])
                    for clip, (_, notes), rewards in zip(
                        clips, sounds, found, strict=True
                    )
                ]
        return [self.score(*each) for each in zip(clips, prompts, strict=True)]

    def _refusals(self, clip: Clip, audio: np.ndarray, prompt: Told) -> dict[str, str]:
        """Return why verifiers refuse a clip or prompt, each asked alone."""
        reasons = {}
        for name in self.names:
            try:
                self._panel((name,), clip).check(clip.video, audio, prompt)
            except CliError as error:
                reasons[name] = _reason(str(error), clip)
        return reasons

    def _panel(self, names: tuple[str, ...], clip: Clip) -> "_Panel":
        rates = round(clip.fps, 4), clip.sample_rate or _NO_SOUND_RATE
        key = names, rates
        if key not in self._panels:
            self._panels[key] = self._load(names, *rates)
        return self._panels[key]

    def _load(self, names: tuple[str, ...], fps: float, sample_rate: int) -> "_Panel":
        from avits_jax import verifiers

        with as_refusal():
            made, params = verifiers.load(
                [each for each in self._resolved if each.name in names],
                fps=fps,
                sample_rate=sample_rate,
                dtype=self._options.dtype,
                networks=self._networks,
            )
        return _Panel(names, made, params)


class _Panel:
    """Verifiers for clips of certain rates, compiled once for each size of clip."""

    def __init__(
        self,
        names: tuple[str, ...],
        verifiers: Sequence[Verifier],
        params: Sequence[PyTree],
    ) -> None:
        self.names, self.verifiers, self.params = names, verifiers, tuple(params)
        scored = _scored_by(verifiers)
        self._score = Checked(scored, _SETTINGS)
        self._score_all = Checked(jax.vmap(scored, (None, 0, 0, 0)), _SETTINGS)

    def score_all(
        self, videos: np.ndarray, audios: np.ndarray, prompts: Sequence[Told]
    ) -> list[dict[str, float]]:
        conds = [self._encode(prompt) for prompt in prompts]
        with as_refusal():  # prompts of unequal length
            together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *conds)
        rewards = np.asarray(self._score_all(self.params, videos, audios, together))
        return [dict(zip(self.names, row.tolist(), strict=True)) for row in rewards]

    def score(
        self, video: np.ndarray, audio: np.ndarray, prompt: Told
    ) -> dict[str, float]:
        arguments = self.params, video, audio, self._encode(prompt)
        rewards = np.asarray(self._score(*arguments))
        return dict(zip(self.names, rewards.tolist(), strict=True))

    def check(self, video: np.ndarray, audio: np.ndarray, prompt: Told) -> None:
        """Raise CliError if a verifier refuses the prompt or such a clip."""
        arguments = self.params, video, audio, self._encode(prompt)
        with as_refusal():
            jax.eval_shape(_scored_by(self.verifiers), *arguments)

    def _encode(self, prompt: Told) -> tuple[PyTree, ...]:
        with as_refusal(), warnings_told():
            conds = {
                name: v.encode(_told(name, prompt)) if v.encode else ()
                for name, v in zip(self.names, self.verifiers, strict=True)
            }
        if not isinstance(prompt, str):
            conds |= _joined(dict(zip(self.names, self.verifiers, strict=True)), conds)
        return jax.tree.map(jnp.asarray, tuple(conds.values()))


def _told(name: str, prompt: Told) -> str:
    return prompt if isinstance(prompt, str) else prompt[name]


def _joined(
    verifiers: Mapping[str, Verifier], conds: Mapping[str, PyTree]
) -> dict[str, PyTree]:
    """Return one cond for all verifiers of a pass that can be told several texts."""
    joined: dict[str, PyTree] = {}
    for shared in {verifier.shared_pass for verifier in verifiers.values()}:
        if shared is None or shared.join is None:
            continue
        names = [name for name, v in verifiers.items() if v.shared_pass is shared]
        together = shared.join({verifiers[name].output: conds[name] for name in names})
        joined |= dict.fromkeys(names, together)
    return joined


def _scored_by(verifiers: Sequence[Verifier]):
    """Return ``(params, video, audio, conds) -> rewards [V]`` of one clip."""

    def avits_verify(
        params: Sequence[PyTree],
        video: Array,
        audio: Array,
        conds: Sequence[PyTree],
    ) -> Float[Array, " V"]:
        # 8-bit pictures come as they are: a quarter of the memory.
        eight_bit = video.dtype == jnp.uint8
        pictures = video.astype(jnp.float32) / 255 if eight_bit else video
        media = Media(pictures[None], audio[None])
        return stacked_rewards(verifiers, params, media, conds)[0]

    return avits_verify


def _reason(message: str, clip: Clip) -> str:
    """Return a verifier's message without its name, which stands beside it."""
    if not clip.sample_rate and "sound" in message:
        return "the clip has no sound"
    subject, colon, rest = message.partition(": ")
    return rest if colon and " " not in subject else message


def _native_size(loaded: backend.Backend, cond: Cond) -> dict[str, Any]:
    """Return the size of the generator's clips, found without generating one."""
    generator = loaded.generator
    keys = jax.random.split(jax.random.key(0), 1)

    def clip(params: PyTree, prompt: PyTree) -> Media:
        if generator.prepare is not None:
            prompt = generator.prepare(params, prompt)
        return generator.decode(params, generator.init(params, keys, prompt))

    media = jax.eval_shape(clip, loaded.params.generator, cond.generator)
    _, frames, height, width, _ = media.video.shape
    return {
        "num_frames": frames,
        "height": height,
        "width": width,
        "fps": generator.fps,
        "num_samples": media.audio.shape[-1],
        "sample_rate": generator.sample_rate,
    }
