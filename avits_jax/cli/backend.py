"""Load a generator and verifiers by name, and encode the prompt for them."""

import os
from pathlib import Path
from typing import NamedTuple

from avits_jax.cli.errors import CliError, as_cli_error, check_known
from avits_jax.types import Cond, Generator, Params, Verifier


class Backend(NamedTuple):
    """What a search runs on.

    Attributes:
        generator: the generator.
        verifiers: in the order of their columns.
        params: weights of both.
    """

    generator: Generator
    verifiers: tuple[Verifier, ...]
    params: Params


def check_names(model: str, verifiers: tuple[str, ...]) -> None:
    """Raise CliError for an unknown model or verifier, without loading any."""
    from avits_jax import generators
    from avits_jax import verifiers as stack

    models = [info.name for info in generators.available()]
    if _names_folder(model) and not Path(model).is_dir():
        raise CliError(f"--model {model}: no such checkpoint folder")
    if model not in models and not (model and Path(model).is_dir()):
        check_known("model", model, models)
    known = [info.name for info in stack.available()]
    for name in verifiers:
        check_known("verifier", name, known)


def load(
    model: str,
    verifiers: tuple[str, ...],
    *,
    num_steps: int | None = None,
    guidance_scale: float | None = None,
) -> Backend:
    """Load a generator and verifiers.

    Args:
        model: name or checkpoint folder.
        verifiers: names.
        num_steps: denoising steps; None takes the model's.
        guidance_scale: strength of guidance; None takes the model's.

    Raises:
        CliError: a checkpoint is missing, damaged or of another model, or an option
            is refused.
    """
    from avits_jax import generators
    from avits_jax import verifiers as stack

    with as_cli_error():
        generator, generator_params = generators.load(
            model, num_steps=num_steps, guidance_scale=guidance_scale
        )
        judges, judge_params = stack.load(
            verifiers, fps=generator.fps, sample_rate=generator.sample_rate
        )
    params = Params(generator_params, tuple(judge_params))
    return Backend(generator, tuple(judges), params)


def encode(backend: Backend, prompt: str) -> Cond:
    """Encode a prompt for the generator and every verifier.

    Raises:
        CliError: the model does not understand the prompt.
    """
    import avits_jax

    with as_cli_error():
        return avits_jax.encode_prompt(prompt, backend.generator, backend.verifiers)


def _names_folder(model: str) -> bool:
    return "/" in model or os.sep in model
