"""Accuracy of mini's verifiers on rendered clips that no training saw.

Each clip is scored with its true prompt (or its own sound) and with a wrong one; a
verifier is right where the truth scores higher. Chance is 50%.

    python tools/check_mini_verifiers.py
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import avits_jax as avits
from avits_jax.mini_world import grammar, world


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


def synchrony_accuracy(verifier, params, media, seconds: float) -> float:
    """Share of clips that score higher than with their sound moved by ``seconds``."""
    score = jax.jit(verifier.score)
    shift = int(seconds * world.SAMPLE_RATE)
    late = jnp.pad(media.audio, ((0, 0), (shift, 0)))[:, : world.NUM_SAMPLES]
    early = jnp.pad(media.audio, ((0, 0), (0, shift)))[:, shift:]
    found = score(params, media, ())
    wrong = [score(params, media._replace(audio=audio), ()) for audio in (late, early)]
    return float(jnp.mean(found > jnp.stack(wrong)))


def main() -> None:
    """Render, score, print."""
    options = tyro.cli(Options)
    keys = jax.random.split(jax.random.key(options.seed), options.num_clips)
    scenes, media = _draw(keys)
    attributes = [_attributes(scenes, i) for i in range(options.num_clips)]
    names = ["mini_tv", "mini_ta", "mini_av"]
    verifiers, params = avits.verifiers.load(names)
    table = Table("verifier", "wrong", "right over wrong")
    asked = ((0, ("color", "shape", "impacts")), (1, ("sound", "impacts")))
    for column, fields in asked:
        for field in fields:
            share = text_accuracy(
                verifiers[column], params[column], media, attributes, field
            )
            table.add_row(names[column], field, f"{share:.1%}")
    for seconds in (0.125, 0.25, 0.5):
        share = synchrony_accuracy(verifiers[2], params[2], media, seconds)
        table.add_row(names[2], f"sound moved {seconds} s", f"{share:.1%}")
    console = Console()
    console.print(table)
    console.print(f"{options.num_clips} clips, jax {jax.__version__}")


if __name__ == "__main__":
    main()
