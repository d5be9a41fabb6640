"""Tell `jax.export` how to write down what searches take and return."""

from jax.export import register_namedtuple_serialization

from avits_jax.types import (
    Candidates,
    Cond,
    Media,
    Params,
    RefineOutput,
    SearchOutput,
)


def register_contracts() -> None:
    """Register the NamedTuples of `avits_jax.types`; once, at import.

    A program that reads an exported search imports `avits_jax.search` first.
    """
    for kind in (Candidates, Cond, Media, Params, RefineOutput, SearchOutput):
        name = f"avits_jax.{kind.__name__}"
        register_namedtuple_serialization(kind, serialized_name=name)
