"""What a search works on at once and hands out, and where that is said."""

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from avits_jax.search.checks import check_batch


class Memory(NamedTuple):
    """What a search may hold.

    Attributes:
        candidate_batch: most candidates worked on at once, or None for all.
        keep_media: hand out the clips of the output's candidates.
        keep_latents: hand out their final latents.
    """

    candidate_batch: int | None = None
    keep_media: bool = False
    keep_latents: bool = False


@dataclass(frozen=True, kw_only=True)
class MovedFields:
    """Options that have become keywords of the searches; aliases for one version.

    Attributes:
        candidate_batch: see the search.
        keep_latents: see the search.
    """

    candidate_batch: int | None = None
    keep_latents: bool | None = None

    def __post_init__(self) -> None:
        """Warn of fields that have moved."""
        for name in ("candidate_batch", "keep_latents"):
            if getattr(self, name) is not None:
                warnings.warn(
                    f"{type(self).__name__}.{name} is deprecated: {name} is a keyword "
                    "of the search itself",
                    DeprecationWarning,
                    stacklevel=3,
                )


OptionsT = TypeVar("OptionsT", bound=MovedFields)


def agree(
    options: OptionsT | None, kind: type[OptionsT], memory: Memory
) -> tuple[OptionsT, Memory]:
    """Return a search's options, and what it may hold.

    Args:
        options: what the caller gave, or None for the defaults.
        kind: the class that they must have.
        memory: the search's keywords; a field of `options` that has moved fills in.

    Raises:
        TypeError: `options` are those of another search, or the batch is no integer.
        ValueError: keyword and field differ, or the batch is below 1.
    """
    options = kind() if options is None else options
    if not isinstance(options, kind):
        raise TypeError(f"options must be {kind.__name__}, got {options!r}")
    batch, latents = options.candidate_batch, options.keep_latents
    if batch is not None:
        if memory.candidate_batch not in (None, batch):
            raise _two_values("candidate_batch", memory.candidate_batch, batch)
        memory = memory._replace(candidate_batch=batch)
    if latents is not None:
        if memory.keep_latents and not latents:
            raise _two_values("keep_latents", True, latents)
        memory = memory._replace(keep_latents=latents)
    check_batch(memory.candidate_batch)
    return options, memory


def _two_values(name: str, keyword: Any, field: Any) -> ValueError:
    return ValueError(
        f"{name} is a keyword of the search and, deprecated, a field of its options: "
        f"got {keyword} and {field}; give the keyword alone"
    )
