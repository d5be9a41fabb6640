"""Load a generator and verifiers by name, and encode the prompt for them."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from jax.sharding import Mesh

from avits_jax.catalogue.records import Info
from avits_jax.cli import memory
from avits_jax.cli.errors import CliError, as_cli_error, check_known
from avits_jax.cli.labels import warnings_told
from avits_jax.cli.options import ModelOptions
from avits_jax.parallel.mesh import MODEL
from avits_jax.types import Cond, Generator, Params, Verifier

MINI_MODEL = "mini"
PAPER_VERIFIERS = "javis_score,video_reward,clap"


class Backend(NamedTuple):
    """What a search runs on.

    Attributes:
        generator: the generator.
        verifiers: in the order of their columns.
        params: weights of both.
        random: names of those whose weights are drawn, and mean nothing.
        notices: what the user must know of licences.
    """

    generator: Generator
    verifiers: tuple[Verifier, ...]
    params: Params
    random: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def check_names(
    model: str, verifiers: tuple[str, ...], random_weights: bool = False
) -> None:
    """Raise CliError for what is unknown, or has no weights; loads nothing.

    Args:
        model: name or checkpoint folder; "" for none.
        verifiers: as the command line names them.
        random_weights: missing weights will be drawn.
    """
    from avits_jax import generators

    infos = {info.name: info for info in generators.available()}
    if _names_folder(model) and not Path(model).is_dir():
        raise CliError(f"--model {model}: no such checkpoint folder")
    if model in infos:
        _check_present(infos[model], random_weights)
    elif model and not Path(model).is_dir():
        check_known("model", model, infos)
    check_verifier_names(verifiers, random_weights)
    if model in infos and model != MINI_MODEL:
        _refuse_minis(model, verifiers)


def check_verifier_names(names: tuple[str, ...], random_weights: bool) -> None:
    """Raise CliError for verifiers that are unknown, or have no weights."""
    from avits_jax import verifiers
    from avits_jax.catalogue.names import parse

    infos = {info.name: info for info in verifiers.available()}
    for name in names:
        with as_cli_error():
            request = parse(name)
        check_known("verifier", request.name, infos)
        if not request.checkpoint:
            _check_present(infos[request.name], random_weights)


def load(
    options: ModelOptions, verifiers: tuple[str, ...], mesh: Mesh | None = None
) -> Backend:
    """Load a generator and verifiers.

    Args:
        options: which generator, its sizes and weights.
        verifiers: names.
        mesh: devices that large weights are read onto; None for the default one.

    Raises:
        CliError: a checkpoint is missing, damaged or of another model, an option is
            refused, or the weights do not fit into memory.
    """
    from avits_jax import generators
    from avits_jax import verifiers as stack

    settings: dict[str, Any] = {}
    if options.frame_rate is not None:
        settings["frame_rate"] = options.frame_rate
    with as_cli_error():
        shards = 1 if mesh is None else mesh.shape[MODEL]
        memory.check_weights(options, verifiers, shards)
        generator, generator_params = generators.load(
            options.model,
            num_steps=options.steps,
            guidance_scale=options.guidance_scale,
            resolution=options.resolution,
            aspect_ratio=options.aspect_ratio,
            duration=options.duration,
            dtype=options.dtype,
            random_weights=options.random_weights,
            mesh=mesh,
        )
        judges, judge_params = stack.load(
            verifiers,
            fps=generator.fps,
            sample_rate=generator.sample_rate,
            dtype=options.dtype,
            random_weights=options.random_weights,
            mesh=mesh,
            **settings,
        )
        drawn = generators.randomly_initialised(options.model, options.random_weights)
        drawn += stack.randomly_initialised(verifiers, options.random_weights)
    params = Params(generator_params, tuple(judge_params))
    notices = licence_notices(options.model, verifiers, drawn)
    return Backend(generator, tuple(judges), params, drawn, notices)


def licence_notices(
    model: str, verifiers: tuple[str, ...], drawn: tuple[str, ...]
) -> tuple[str, ...]:
    """Return what the user must know of the weights that are read, each once.

    Args:
        model: name or checkpoint folder; "" for none.
        verifiers: names.
        drawn: those of both whose weights are drawn.
    """
    from avits_jax import generators
    from avits_jax import verifiers as stack
    from avits_jax.catalogue.names import parse

    infos = {info.name: info for info in generators.available()}
    infos |= {info.name: info for info in stack.available()}
    used = [name for name in (model, *verifiers) if name not in drawn]
    names = [name if name == model else parse(name).name for name in used]
    found = [infos[name].notice for name in names if name in infos]
    return tuple(dict.fromkeys(notice for notice in found if notice))


def encode(backend: Backend, prompt: str) -> Cond:
    """Encode a prompt for the generator and every verifier; say what they cut off.

    Raises:
        CliError: the model does not understand the prompt.
    """
    import avits_jax

    with as_cli_error(), warnings_told():
        return avits_jax.encode_prompt(prompt, backend.generator, backend.verifiers)


def _refuse_minis(model: str, names: tuple[str, ...]) -> None:
    from avits_jax.catalogue.verifiers import MINI

    minis = [name for name in names if name in MINI]
    if minis:
        raise CliError(
            f"{', '.join(minis)} judge clips of mini alone; for {model} name others: "
            f"--verifiers {PAPER_VERIFIERS}"
        )


def _check_present(info: Info, random_weights: bool) -> None:
    if not (info.present or random_weights):
        raise CliError(info.missing)


def _names_folder(model: str) -> bool:
    return "/" in model or os.sep in model
