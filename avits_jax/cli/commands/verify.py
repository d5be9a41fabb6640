"""Score any clip for a prompt with the chosen verifiers."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from avits_jax.cli.checks import check_prompt, check_verifier_list
from avits_jax.cli.errors import FAILED, CliError, as_cli_error
from avits_jax.cli.options import DEFAULT_MODEL, DEFAULT_VERIFIERS, Names

EXAMPLE = 'avits verify runs/first/best.mp4 "a red circle bounces three times"'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Score any clip for a prompt with the chosen verifiers; higher is better.

    The clip is fitted to the size, length and rates of the model's own clips; what that
    changes is said.
    """

    clip: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CLIP.mp4")]
    """A video file with picture and sound."""
    prompt: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROMPT")]
    """What the clip should show and sound like."""
    verifiers: Names = DEFAULT_VERIFIERS
    """Verifiers that judge the clip."""
    model: str = DEFAULT_MODEL
    """Generator whose clips' size, length and rates the clip is fitted to."""
    json: bool = False
    """Print JSON instead of a table."""


class _Size(NamedTuple):
    num_frames: int
    height: int
    width: int
    fps: float
    num_samples: int
    sample_rate: int


def run(options: Options) -> int:
    """Run the command; return its exit status."""
    check_prompt(options.prompt)
    check_verifier_list(options.verifiers)
    if not options.clip.is_file():
        raise CliError(f"clip {options.clip} does not exist")
    from avits_jax.cli import backend
    from avits_jax.media import fit_clip, read_clip

    backend.check_names(options.model, options.verifiers)
    loaded = backend.load(options.model, options.verifiers)
    cond = backend.encode(loaded, options.prompt)
    size = _native_size(loaded, cond)
    with as_cli_error():
        # Little more than is judged: a long clip at full size would fill the memory.
        clip = read_clip(options.clip, max_seconds=size.num_frames / size.fps + 1)
        video, audio, notes = fit_clip(clip, **size._asdict())
    rewards = _score(loaded, cond, video, audio)
    _print(options, rewards, notes)
    failed = [name for name, reward in rewards.items() if reward is None]
    if failed:
        raise CliError(f"{' and '.join(failed)} gave no finite reward", FAILED)
    return 0


def _native_size(loaded: Any, cond: Any) -> _Size:
    """Return the size of the generator's clips, found without generating one."""
    import jax

    generator = loaded.generator
    keys = jax.random.split(jax.random.key(0), 1)

    def clip(params: Any) -> Any:
        return generator.decode(params, generator.init(params, keys, cond.generator))

    media = jax.eval_shape(clip, loaded.params.generator)
    _, frames, height, width, _ = media.video.shape
    return _Size(
        num_frames=frames,
        height=height,
        width=width,
        fps=generator.fps,
        num_samples=media.audio.shape[-1],
        sample_rate=generator.sample_rate,
    )


def _score(loaded: Any, cond: Any, video: Any, audio: Any) -> dict[str, float | None]:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from avits_jax.types import Media

    @jax.jit
    def judge(params: Any, media: Media, cond: Any) -> list[Any]:
        verifiers = zip(loaded.verifiers, params, cond, strict=True)
        return [verifier.score(p, media, c) for verifier, p, c in verifiers]

    media = Media(jnp.asarray(video)[None], jnp.asarray(audio)[None])
    scores = judge(loaded.params.verifiers, media, cond.verifiers)
    values = [float(score[0]) for score in scores]
    names = [verifier.name for verifier in loaded.verifiers]
    return {
        name: value if np.isfinite(value) else None
        for name, value in zip(names, values, strict=True)
    }


def _print(
    options: Options, rewards: dict[str, float | None], notes: list[str]
) -> None:
    from avits_jax.cli.table import print_rewards

    if options.json:
        facts = {"clip": str(options.clip), "prompt": options.prompt}
        print(json.dumps({**facts, "rewards": rewards, "notes": notes}, indent=2))
        return
    print_rewards(rewards)
    for note in notes:
        print(f"changed to fit: {note}")
