"""Tell `jax.export` how to write down the states of aggregators."""

import jax.export
import optax


def exportable(state: type) -> type:
    """Register a NamedTuple of this package, so that exported functions may take it.

    Args:
        state: the class; a decorator.

    Raises:
        ValueError: it is no NamedTuple, or its name is taken.
    """
    name = f"avits_jax.{state.__name__}"
    return jax.export.register_namedtuple_serialization(state, serialized_name=name)


def register_optax_states() -> None:
    """Register the states of optax that the named optimisers are made of."""
    for state in (
        optax.EmptyState,
        optax.ScaleByAdamState,
        optax.ScaleByRmsState,
        optax.ScaleByRssState,
        optax.TraceState,
    ):
        name = f"optax.{state.__name__}"
        try:
            jax.export.register_namedtuple_serialization(state, serialized_name=name)
        except ValueError:  # the program that imports us has done so already
            continue
