"""The protocol block: all that must agree before two numbers may stand in one table."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from avits_jax.bench.columns import COLUMNS, MODES
from avits_jax.files.json_values import (
    NUMBER,
    OBJECT,
    TEXT,
    Kind,
    check_fields,
    list_of,
    optional,
    whole,
)

RANDOM = "random weights"
"""Stands for the digest of weights that are drawn: what they measure means nothing."""
OF_CLIPS = ("seeds", "resolution", "frames", "fps", "sample_rate")
"""Fields that are the clips' own; the others say how they were measured."""

# In these, a key that only one side has belongs to a column that only it has.
_SHARED = ("checkpoints", "variants")
_FIELDS = {
    "benchmark": Kind(f"one of {', '.join(COLUMNS)}", lambda v: v in COLUMNS),
    "mode": Kind(f"one of {', '.join(MODES)}", lambda v: v in MODES),
    "prompts": TEXT,
    "num_prompts": whole(1),
    "seeds": optional(list_of(whole())),
    "resolution": optional(list_of(whole(1))),
    "frames": optional(whole(1)),
    "fps": optional(NUMBER),
    "sample_rate": optional(whole(1)),
    "checkpoints": OBJECT,
    "decoders": OBJECT,
    "variants": OBJECT,
}


class ProtocolError(ValueError):
    """Numbers of different protocols were to be put side by side."""


@dataclass(frozen=True)
class Protocol:
    """How the numbers of a table came about.

    Attributes:
        benchmark: "javisbench-mini" or "vggsound".
        mode: "bench", as published, faults included, or "default", as plainly meant.
        prompts: `prompts_digest` of the prompts in use.
        num_prompts: how many they are.
        seeds: of generation; None for clips of which that is not known.
        resolution: height and width of the clips in pixels; None where they differ.
        frames: of a clip; None where they differ.
        fps: frames per second; None where they differ.
        sample_rate: of the sound in Hz; None where they differ.
        checkpoints: network that measures -> digest of its weights, or `RANDOM`.
        decoders: library that reads clips -> its version.
        variants: column -> what it is, `Column.variant`.
    """

    benchmark: str
    mode: str
    prompts: str
    num_prompts: int
    seeds: tuple[int, ...] | None
    resolution: tuple[int, ...] | None
    frames: int | None
    fps: float | None
    sample_rate: int | None
    checkpoints: Mapping[str, str]
    decoders: Mapping[str, str]
    variants: Mapping[str, str]

    @property
    def random_weights(self) -> list[str]:
        """Return the networks that measure with drawn weights."""
        return [name for name, what in self.checkpoints.items() if what == RANDOM]

    def to_json(self) -> dict[str, Any]:
        """Return the block as JSON values."""
        values = asdict(self)
        for name in ("seeds", "resolution"):
            values[name] = None if values[name] is None else list(values[name])
        return values


def prompts_digest(prompts: Iterable[str]) -> str:
    """Return the SHA-256 of prompts in their order."""
    digest = hashlib.sha256()
    for prompt in prompts:
        text = prompt.encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()


def protocol_from_json(values: Any, where: str = "") -> Protocol:
    """Read a protocol block.

    Args:
        values: of `Protocol.to_json`.
        where: stands before every message.

    Raises:
        ValueError: a field is missing or of another kind.
    """
    check_fields(values, _FIELDS, where)
    known = {name: values[name] for name in _FIELDS}
    for name in ("seeds", "resolution"):
        known[name] = None if known[name] is None else tuple(known[name])
    return Protocol(**known)


def differences(first: Protocol, second: Protocol) -> list[str]:
    """Say in what two protocols differ, one line each; none where they agree.

    Of checkpoints and variants those count that both have: a column that only one side
    has is compared with nothing.
    """
    found = []
    for field in fields(Protocol):
        ours, theirs = getattr(first, field.name), getattr(second, field.name)
        if isinstance(ours, Mapping):
            keys = sorted(_keys(field.name, ours, theirs))
            found += [
                f"{field.name} of {key}: {ours.get(key)} and {theirs.get(key)}"
                for key in keys
                if ours.get(key) != theirs.get(key)
            ]
        elif ours != theirs:
            found.append(f"{field.name}: {_shown(ours)} and {_shown(theirs)}")
    return found


def require_same(
    named: Sequence[tuple[str, Protocol]], *, but: Sequence[str] = ()
) -> None:
    """Refuse protocols that differ.

    Args:
        named: what each belongs to, in words, and the protocol.
        but: fields that may differ.

    Raises:
        ProtocolError: one differs from the first; the first difference is named.
    """
    (first, protocol), *others = named
    own = {name: getattr(protocol, name) for name in but}
    for name, other in others:
        found = differences(protocol, replace(other, **own))
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise ProtocolError(
                f"{first} and {name} cannot stand in one table, they differ in "
                f"{found[0]}{more}"
            )


def _keys(
    name: str, first: Mapping[str, str], second: Mapping[str, str]
) -> Iterable[str]:
    return first.keys() & second if name in _SHARED else first.keys() | second


def _shown(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, tuple):
        return " x ".join(map(str, value)) if len(value) < 4 else f"{len(value)} values"
    return str(value)
