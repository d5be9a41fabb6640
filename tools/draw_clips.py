"""Draw the README's picture: the winner beside the clip one would have got without.

Frames of each above the sound of the same moments, for the README's prompt; what is
wrong with a clip is measured by mini's truth.

    python tools/draw_clips.py --out tools/figures/clips.png
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import matplotlib
import numpy as np
import tyro
from evaluate_mini import VERIFIERS

import avits_jax as avits
from avits_jax.mini_world import grammar, truth

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@dataclass
class Options:
    """Draw the winner of best-of-16 below the first candidate.

    Attributes:
        prompt: what to show, in mini's words.
        seed: that of `avits generate --seed`.
        num_frames: frames drawn of each clip, evenly spaced.
        out: the picture.
    """

    prompt: str = "a red circle bounces three times with a bell"
    seed: int = 1
    num_frames: int = 16
    out: Path = Path("tools/figures/clips.png")


def search(prompt: str, seed: int) -> avits.SearchOutput:
    """Search as `avits generate` does by default, and keep all clips."""
    generator, params = avits.generators.load("mini")
    verifiers, vparams = avits.verifiers.load(VERIFIERS)
    arw = avits.arw([1.0] * len(verifiers), optimizer="closed_form")
    best_of = partial(
        avits.best_of_n,
        generator=generator,
        verifiers=verifiers,
        aggregator=arw,
        num_candidates=16,
        keep_media=True,
    )
    cond = avits.encode_prompt(prompt, generator, verifiers)
    weights = avits.Params(params, vparams)
    key = jax.random.fold_in(jax.random.key(seed), 0)  # of the command line's prompt
    return jax.device_get(jax.jit(best_of)(weights, key, cond))


def title(name: str, clip: avits.Media, prompt: str) -> str:
    """Return the name of a clip, and what is wrong with it."""
    measured = truth.measure(np.asarray(clip.video), np.asarray(clip.audio))
    verdict = truth.judge(measured, grammar.parse(prompt))
    wrong = [part for part, right in verdict._asdict().items() if not right]
    return f"{name}: {'wrong: ' + ', '.join(wrong) if wrong else 'entirely right'}"


def draw(clips: dict[str, avits.Media], options: Options) -> None:
    """Draw clips below each other, frames over sound, time in step."""
    inch = 8 / options.num_frames
    height = 0.7 + inch
    figure = plt.figure(figsize=(8, height * len(clips)))
    for row, (name, clip) in enumerate(clips.items()):
        top, whole = 1 - row / len(clips), height * len(clips)
        figure.text(0.005, top - 0.2 / whole, title(name, clip, options.prompt))
        film = figure.add_axes((0, top - (0.25 + inch) / whole, 1, inch / whole))
        shown = np.linspace(0, len(clip.video) - 1, options.num_frames).round()
        frames = list(clip.video[shown.astype(int)])
        film.imshow(np.concatenate(frames, 1), aspect="auto")
        film.axis("off")
        sound = figure.add_axes((0, top - (0.65 + inch) / whole, 1, 0.4 / whole))
        sound.plot(clip.audio, lw=0.3, color="tab:red")
        sound.set(xlim=(0, len(clip.audio)), ylim=(-1, 1))
        sound.axis("off")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=110)


def main() -> None:
    """Search, draw."""
    options = tyro.cli(Options)
    output = search(options.prompt, options.seed)
    first = jax.tree.map(lambda leaf: leaf[0], output.media)
    draw({"without search": first, "best of 16": output.best}, options)


if __name__ == "__main__":
    main()
