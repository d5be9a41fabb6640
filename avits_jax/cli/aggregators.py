"""Aggregators by name, with the flags that each of them takes."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax import aggregation, runs, verifiers
from avits_jax.cli.aggregator_flags import AGGREGATOR_FLAGS, CHOSEN
from avits_jax.cli.errors import CliError, as_cli_error, check_known
from avits_jax.cli.options import JuryOptions
from avits_jax.types import Aggregator, PyTree

_ALL_FLAGS = sorted({flag for flags in AGGREGATOR_FLAGS.values() for flag in flags})


class Chosen(NamedTuple):
    """An aggregator as the flags ask for it.

    Attributes:
        aggregator: with the weights asked for.
        unweighted: the same with all weights 1, for calibrated rewards.
        weights: one per verifier.
        parameters: arguments of the factory, as JSON values.
        name: as on the command line.
    """

    aggregator: Aggregator
    unweighted: Aggregator
    weights: tuple[float, ...]
    parameters: dict[str, Any]
    name: str


def choose_aggregator(options: JuryOptions) -> Chosen:
    """Build the aggregator that the flags ask for.

    Raises:
        CliError: an unknown name, a flag that this aggregator does not take, or a
            value that it refuses.
    """
    name = options.aggregator
    check_known("aggregator", name, AGGREGATOR_FLAGS)
    _check_flags(options)
    given = {
        argument: getattr(options, f) for f, argument in AGGREGATOR_FLAGS[name].items()
    }
    parameters = CHOSEN.get(name, {}) | {
        argument: value for argument, value in given.items() if value is not None
    }
    if "optimizer" in parameters:
        check_known("optimiser", parameters["optimizer"], aggregation.OPTIMIZERS)
    source = parameters.pop("prior", None)
    if source is not None:
        parameters |= _prior(source, options)
    count = len(options.verifiers)
    weights = options.weights or (1.0 / count,) * count
    factory = getattr(aggregation, name)
    with as_cli_error(f"--aggregator {name}: "):
        chosen = factory(weights, **parameters)
        unweighted = factory((1.0,) * count, **parameters)
    return Chosen(chosen, unweighted, weights, parameters, name)


def _prior(source: str, options: JuryOptions) -> dict[str, Any]:
    """Return what is known of the rewards of the verifiers, as arguments of `arw`."""
    check_known("prior", source, ("catalogue",))
    if options.prior_mean or options.prior_std:
        raise CliError("--prior is instead of --prior-mean and --prior-std")
    with as_cli_error("--prior catalogue: "):
        mean, std = verifiers.priors(options.verifiers)
    return {"prior_mean": mean, "prior_std": std}


def _check_flags(options: JuryOptions) -> None:
    own = AGGREGATOR_FLAGS[options.aggregator]
    for flag in _ALL_FLAGS:
        if getattr(options, flag) is not None and flag not in own:
            takers = [name for name, flags in AGGREGATOR_FLAGS.items() if flag in flags]
            raise CliError(
                f"--{flag.replace('_', '-')} is for --aggregator "
                f"{' or '.join(takers)}, got --aggregator {options.aggregator}"
            )
    if options.aggregator == "zscore" and None in (options.mean, options.std):
        raise CliError("--aggregator zscore needs --mean and --std")


def learned_sigmas(chosen: Chosen, state: PyTree) -> list[float | None]:
    """Return the deviation that each verifier's rewards are divided by.

    None where the aggregator has none, or has not seen enough rewards to know it.
    """
    known = chosen.parameters.get("std")
    return list(known or runs.learned_sigmas(state, len(chosen.weights)))


def calibrated_rewards(chosen: Chosen, rewards: Any, state: PyTree) -> np.ndarray:
    """Return rewards ``[N, V]`` on the aggregator's common scale, before weighting."""
    # One small program: step by step it would be a dozen.
    calibrate = jax.jit(functools.partial(aggregation.contributions, chosen.unweighted))
    return np.asarray(calibrate(jnp.asarray(rewards), state))
