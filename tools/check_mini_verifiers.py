"""Accuracy of mini's verifiers and judges on rendered clips that no training saw.

Each clip is scored with its true prompt (or its own sound, or as it was rendered) and
with a wrong one (or moved, or spoilt); a verifier is right where the truth scores
higher. Chance is 50%.

    python tools/check_mini_verifiers.py
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import avits_jax as avits
from avits_jax.mini_world import grammar, world
from avits_jax.verifiers.mini.parts import GUIDES, JUDGES

# What each text verifier can see or hear.
_FIELDS = {
    "mini_tv": ("color", "shape", "impacts"),
    "mini_ta": ("sound", "impacts"),
}


@dataclass
class Options:
    """Measure the verifiers' accuracy.

    Attributes:
        num_clips: rendered clips.
        seed: of the scenes; training used other ones.
    """

    num_clips: int = 1000
    seed: int = 9_000


@jax.jit
@jax.vmap
def _draw(key):
    scene = world.sample_scene(key)
    return scene, world.render(jax.random.fold_in(key, 1), scene)


def _attributes(scenes, i: int) -> grammar.Attributes:
    fields = (scenes.color, scenes.shape, scenes.impacts, scenes.sound)
    return grammar.Attributes(*(int(field[i]) for field in fields))


def _other(attributes, field: str, rng) -> grammar.Attributes:
    """The same attributes but for one."""
    values = {
        "color": range(len(world.COLORS)),
        "shape": range(len(world.SHAPES)),
        "impacts": world.COUNTS,
        "sound": range(len(world.SOUNDS)),
    }[field]
    wrong = [value for value in values if value != getattr(attributes, field)]
    return attributes._replace(**{field: int(rng.choice(wrong))})


def text_accuracy(verifier, params, media, attributes, field: str) -> float:
    """Share of clips that score higher with the true prompt than with a wrong one."""
    rng = np.random.default_rng(0)
    score = jax.jit(jax.vmap(verifier.score, in_axes=(None, 0, 0)))

    def scores(wanted):
        prompts = [grammar.paraphrase(a, rng) for a in wanted]
        words = jnp.stack([verifier.encode(prompt) for prompt in prompts])
        return score(params, jax.tree.map(lambda x: x[:, None], media), words)[:, 0]

    wrong = [_other(a, field, rng) for a in attributes]
    return float(jnp.mean(scores(attributes) > scores(wrong)))


def accuracy(verifier, params, media, *others) -> float:
    """Share of clips that score higher than each of their spoilt versions."""
    score = jax.jit(verifier.score)
    found = score(params, media, ())
    wrong = [score(params, other, ()) for other in others]
    return float(jnp.mean(found > jnp.stack(wrong)))


def moved(media, seconds: float):
    """The clips with their sound late, and early, by ``seconds``."""
    shift = int(seconds * world.SAMPLE_RATE)
    late = jnp.pad(media.audio, ((0, 0), (shift, 0)))[:, : world.NUM_SAMPLES]
    early = jnp.pad(media.audio, ((0, 0), (0, shift)))[:, shift:]
    return media._replace(audio=late), media._replace(audio=early)


def noisy(media, level: float):
    """The clips with noise in the picture, and in the sound."""
    seen, heard = (
        jax.random.normal(jax.random.key(i), x.shape) for i, x in enumerate(media)
    )
    return (
        media._replace(video=jnp.clip(media.video + level * seen, 0, 1)),
        media._replace(audio=jnp.clip(media.audio + level * heard, -1, 1)),
    )


def stopped(media):
    """The clips with a picture that stands still and no sound, half-way through."""
    half = world.NUM_FRAMES // 2
    video = media.video.at[:, half:].set(media.video[:, half : half + 1])
    return media._replace(
        video=video, audio=media.audio.at[:, world.NUM_SAMPLES // 2 :].set(0.0)
    )


def main() -> None:
    """Render, score, print."""
    options = tyro.cli(Options)
    keys = jax.random.split(jax.random.key(options.seed), options.num_clips)
    scenes, media = _draw(keys)
    attributes = [_attributes(scenes, i) for i in range(options.num_clips)]
    names = [*GUIDES, *JUDGES]
    verifiers, params = avits.verifiers.load(names)
    table = Table("verifier", "wrong", "right over wrong", box=MARKDOWN)
    for name, verifier, weights in zip(names, verifiers, params, strict=True):
        kind = name.removesuffix("_judge")
        rows = {
            field: text_accuracy(verifier, weights, media, attributes, field)
            for field in _FIELDS.get(kind, ())
        }
        if kind == "mini_av":
            for seconds in (0.125, 0.25, 0.5):
                share = accuracy(verifier, weights, media, *moved(media, seconds))
                rows[f"sound moved {seconds} s"] = share
        if kind == "mini_quality":
            rows["noise of 0.1"] = accuracy(
                verifier, weights, media, *noisy(media, 0.1)
            )
            calm = accuracy(verifier, weights, stopped(media), media)
            rows["as rendered, against stopped half-way"] = calm
        table.add_row(
            name, ", ".join(rows), ", ".join(f"{x:.1%}" for x in rows.values())
        )
    console = Console()
    console.print(table)
    console.print(f"{options.num_clips} clips, jax {jax.__version__}")


if __name__ == "__main__":
    main()
