"""Mini's prompts: words, what they mean, and paraphrases for training."""

import difflib
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from avits_jax.mini_world.world import COLORS, SHAPES, SOUNDS

MAX_WORDS = 24

_COLOR_WORDS = {
    "red": ("red", "crimson", "scarlet"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet"),
}
_SHAPE_WORDS = {
    "circle": ("circle", "ball", "disc"),
    "square": ("square", "box", "cube"),
    "triangle": ("triangle", "pyramid", "wedge"),
}
_COUNT_WORDS = {
    1: ("once", "one", "1"),
    2: ("twice", "two", "2"),
    3: ("thrice", "three", "3"),
    4: ("four", "4"),
}
_SOUND_WORDS = {
    "bell": ("bell", "chime"),
    "drum": ("drum", "bass"),
    "wood": ("wood", "wooden", "woodblock"),
    "cymbal": ("cymbal", "hihat"),
}
_FILLERS = tuple(
    "a an the and with while as on of to at it its is in like each every makes sounds "
    "sound sounding hear you we see bounces bounce bouncing bounced hits hit hitting "
    "jumps jumping jump drops dropping falls time times floor ground hop hops single "
    "ringing knock knocks crash crashes rings for then".split()
)
EXAMPLES = (
    "a red circle bounces three times with a bell",
    "a wooden knock each time a blue square hits the floor, four times",
    "the golden pyramid jumps twice and sounds like a drum",
)


_SPOKEN = {
    "color": "color",
    "shape": "shape",
    "impacts": "bounce count",
    "sound": "sound",
}


class Attributes(NamedTuple):
    """What a prompt asks for: indices into COLORS, SHAPES, SOUNDS; impacts 1 to 4."""

    color: int
    shape: int
    impacts: int
    sound: int


def _meanings() -> dict[str, tuple[str, int]]:
    tables: dict[str, dict[int, tuple[str, ...]]] = {
        "color": {COLORS.index(k): v for k, v in _COLOR_WORDS.items()},
        "shape": {SHAPES.index(k): v for k, v in _SHAPE_WORDS.items()},
        "impacts": _COUNT_WORDS,
        "sound": {SOUNDS.index(k): v for k, v in _SOUND_WORDS.items()},
    }
    return {
        word: (field, value)
        for field, table in tables.items()
        for value, words in table.items()
        for word in words
    }


MEANINGS = _meanings()
# Order is part of the weights: append only.
WORDS = ("", *MEANINGS, *_FILLERS)


def help_text() -> str:
    """Say what mini understands, in a few lines, with three examples."""
    lists = [
        f"a color ({', '.join(COLORS)})",
        f"a shape ({', '.join(SHAPES)})",
        "how often it bounces (once, twice, three times, four times)",
        f"a sound ({', '.join(SOUNDS)})",
    ]
    examples = "".join(f'\n  "{example}"' for example in EXAMPLES)
    return f"mini understands {'; '.join(lists)}. For example:{examples}"


def _with_nearest(word: str) -> str:
    """Return an unknown word, and the one of mini's that it may stand for."""
    near = difflib.get_close_matches(word, [known for known in WORDS if known], n=1)
    return f"{word} (did you mean {near[0]!r}?)" if near else word


def _split(prompt: str) -> list[str]:
    return re.findall(r"[^\s,.;:!?\"'()-]+", prompt.lower())


def parse(prompt: str) -> Attributes:
    """Read the attributes off a prompt.

    Raises:
        ValueError: if the prompt is empty, too long, holds a word that mini does not
            know, or does not give each attribute exactly once.
    """
    words = _split(prompt)
    if not words:
        raise ValueError(f"prompt is empty. {help_text()}")
    shown = prompt if len(prompt) <= 80 else prompt[:77] + "..."
    if len(words) > MAX_WORDS:
        raise ValueError(
            f"prompt has {len(words)} words, mini reads {MAX_WORDS}: {shown!r}. "
            + help_text()
        )
    unknown = [word for word in words if word not in WORDS]
    if unknown:
        raise ValueError(
            f"prompt {shown!r} has words mini does not know: "
            f"{', '.join(map(_with_nearest, unknown))}. {help_text()}"
        )
    found: dict[str, int] = {}
    for word in words:
        field, value = MEANINGS.get(word, ("", 0))
        if field and found.setdefault(field, value) != value:
            raise ValueError(
                f"prompt {shown!r} asks for two different {_SPOKEN[field]}s. "
                + help_text()
            )
    missing = [_SPOKEN[field] for field in Attributes._fields if field not in found]
    if missing:
        raise ValueError(
            f"prompt {shown!r} lacks a {' and a '.join(missing)}. " + help_text()
        )
    return Attributes(**found)


def tokenize(prompt: str) -> Int[np.ndarray, " L"]:
    """Return a prompt's word ids, padded with 0 to MAX_WORDS; raise as `parse` does."""
    parse(prompt)
    ids = np.zeros(MAX_WORDS, np.int32)
    words = _split(prompt)
    ids[: len(words)] = [WORDS.index(word) for word in words]
    return ids


_TEMPLATES = (
    "a {color} {shape} bounces {times} with a {sound}",
    "a {color} {shape} bounces {times} with the sound of a {sound}",
    "the {color} {shape} hits the floor {times} and sounds like {sound}",
    "{sound} sound each time the {color} {shape} hits the ground {times}",
    "a {sound} and a {color} {shape} bouncing {times}",
    "{times} a {color} {shape} jumps with a {sound}",
    "you hear a {sound} {times} as a {color} {shape} drops on the floor",
    "the {shape} is {color} it bounces {times} like a {sound}",
    "{color} {shape} {times} {sound}",
    "a {sound} knock each time a {color} {shape} hits the floor {times}",
    "the {color} {shape} jumps {times} and sounds like a {sound}",
)


def paraphrase(attributes: Attributes, rng: np.random.Generator) -> str:
    """Write a prompt for the attributes with random words and word order."""
    word = rng.choice(_COUNT_WORDS[attributes.impacts])
    if word not in ("once", "twice", "thrice"):
        word += " time" if attributes.impacts == 1 else " times"
    return str(rng.choice(_TEMPLATES)).format(
        color=rng.choice(_COLOR_WORDS[COLORS[attributes.color]]),
        shape=rng.choice(_SHAPE_WORDS[SHAPES[attributes.shape]]),
        times=word,
        sound=rng.choice(_SOUND_WORDS[SOUNDS[attributes.sound]]),
    )
