"""Load a generator and verifiers by name, and encode the prompt for them."""

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from avits_jax.catalogue.generators import (
    FAMILIES,
    IMAGE,
    PREVIEW,
    REFINE,
    SHARE,
    Family,
    lacking,
)
from avits_jax.catalogue.resolve import Resolution, resolve, resolve_refiner
from avits_jax.catalogue.verifiers import MINI
from avits_jax.cli import memory
from avits_jax.cli.compiled import Checked
from avits_jax.cli.devices import ONE_MACHINE, Machine
from avits_jax.cli.errors import CliError, as_cli_error
from avits_jax.cli.labels import warnings_told
from avits_jax.cli.model_options import STEPS, model_options, naming_flags
from avits_jax.cli.options import ModelOptions
from avits_jax.media import read_image
from avits_jax.parallel.mesh import MODEL
from avits_jax.runs import Devices, OnDevice, Refinement, text_apart, with_picture
from avits_jax.sampling.guidance import BRANCH
from avits_jax.types import Cond, Generator, Params, PyTree, Refiner, Verifier
from avits_jax.weights.dtypes import dtype_beside

MINI_MODEL = "mini"
HALF_SIZE = "half_size"
PAPER_VERIFIERS = "javis_score,video_reward,clap"
READY_VERIFIERS = "clap@tiny,av_align"  # they need no weights


class Backend(NamedTuple):
    """What a search runs on.

    Attributes:
        generator: the generator.
        verifiers: in the order of their columns.
        params: weights of both.
        names: what their names stand for.
        takes: names of the generator's own options.
        refinement: the second stage, or None.
        text_on_device: a context for encoding several prompts, see `runs.text_apart`.
    """

    generator: Generator
    verifiers: tuple[Verifier, ...]
    params: Params
    names: Resolution
    takes: tuple[str, ...] = (STEPS,)
    refinement: Refinement | None = None
    text_on_device: OnDevice = contextlib.nullcontext


def resolve_names(
    model: str,
    verifiers: Sequence[str],
    random_weights: bool = False,
    families: Sequence[Family] = FAMILIES,
    *,
    refine: bool = False,
) -> Resolution:
    """Return what the names on the command line stand for; loads nothing.

    Args:
        model: name or checkpoint folder; "" for no model.
        verifiers: as the command line names them.
        random_weights: missing weights will be drawn.
        families: the table of generators.
        refine: candidates are refined, maybe by the weights of another model.

    Raises:
        CliError: a name is unknown, has no weights, or verifiers of mini shall judge
            clips of another model.
    """
    with as_cli_error():
        names = resolve(model, verifiers, random_weights, families)
        if refine and names.model is not None:
            second = resolve_refiner(names.model, random_weights, families)
            names = names._replace(refiner=second)
    minis = [each.name for each in names.verifiers if each.request.name in MINI]
    if minis and names.model and names.model.info.name != MINI_MODEL:
        others = READY_VERIFIERS if names.model.info.random else PAPER_VERIFIERS
        raise CliError(
            f"{', '.join(minis)} judge clips of mini alone; for {model} name others: "
            f"--verifiers {others}"
        )
    return names


def load(
    options: ModelOptions, names: Resolution, machine: Machine = ONE_MACHINE
) -> Backend:
    """Load a generator and verifiers; the generator's ``encode`` runs its text tower.

    With a second stage its weights lie beside the generator's, unless they are the
    same.

    Args:
        options: of the generator, and the type of weights.
        names: of `resolve_names`; a generator and at least one verifier.
        machine: what weights are read onto.

    Raises:
        CliError: a checkpoint is damaged or of another model, an option is refused, or
            the weights do not fit into memory.
    """
    from avits_jax import generators
    from avits_jax import verifiers as stack

    assert names.model is not None
    settings: dict[str, Any] = {}
    if options.frame_rate is not None:
        settings["frame_rate"] = options.frame_rate
    with as_cli_error():
        _check_abilities(options, names, machine)
        known = generators.options(names.model.name, names.families)
        own = model_options(options, names.model.info.name, known)
        mesh = machine.mesh
        shards = 1 if mesh is None else mesh.shape[MODEL]
        memory.check_weights(names, options.dtype, shards)
        large = {key: value for key, value in own.items() if key != HALF_SIZE}
        if names.refiner is not None:
            _refiner(names, large, options, machine, ())  # what is wrong with it, first
        half = {} if options.refine is None else {HALF_SIZE: True}
        with naming_flags(options):
            generator, generator_params = generators.load(
                names.model,
                families=names.families,
                dtype=options.dtype,
                mesh=mesh,
                **own | half,
            )
        judges, judge_params = stack.load(
            names.verifiers,
            fps=generator.fps,
            sample_rate=generator.sample_rate,
            dtype=dtype_beside(options.dtype),
            mesh=mesh,
            **settings,
        )
    devices = machine.devices._replace(compiled=Checked)
    apart = text_apart(generator, generator_params, devices)
    generator = apart.generator
    loaded = Backend(
        _pictured(generator, apart.params, options, devices),
        tuple(judges),
        Params(apart.params, tuple(judge_params)),
        names,
        tuple(known),
        text_on_device=apart.text_on_device,
    )
    if names.refiner is None:
        return loaded
    refinement = _refinement(loaded, generator, large, options, machine)
    return loaded._replace(refinement=refinement)


def _refinement(
    loaded: Backend,
    generator: Generator,
    own: dict[str, Any],
    options: ModelOptions,
    machine: Machine,
) -> Refinement:
    """Load the second stage; one of the same weights has the same text tower.

    Args:
        loaded: the first stage.
        generator: its generator, before it is given a picture.
        own: options of the model.
        options: of the command.
        machine: what weights are read onto.
    """
    names, devices = loaded.names, machine.devices._replace(compiled=Checked)
    same = names.refiner is names.model
    assert names.refiner is not None and options.refine is not None
    weights = loaded.params.generator if same else None
    with as_cli_error():
        refiner, params = _refiner(names, own, options, machine, weights)
    large = refiner.generator
    if same:
        large = large._replace(
            encode=generator.encode, text=generator.text, text_part=generator.text_part
        )
    else:
        large, params, _ = text_apart(large, params, devices)
    large = _pictured(large, params, options, devices)
    return Refinement(refiner._replace(generator=large), params, options.refine)


def _refiner(
    names: Resolution,
    own: dict[str, Any],
    options: ModelOptions,
    machine: Machine,
    weights: PyTree,
) -> tuple[Refiner, PyTree]:
    """Return the second stage and its weights, which are read for None."""
    from avits_jax import generators

    assert names.refiner is not None
    with naming_flags(options):
        return generators.load_refiner(
            names.refiner,
            families=names.families,
            dtype=options.dtype,
            mesh=machine.mesh,
            params=weights,
            **own,
        )


def _pictured(
    generator: Generator, params: PyTree, options: ModelOptions, devices: Devices
) -> Generator:
    if options.image is None:
        return generator
    with as_cli_error("--image: "):
        return with_picture(generator, params, read_image(options.image), devices)


def _check_abilities(
    options: ModelOptions, names: Resolution, machine: Machine
) -> None:
    """Raise CliError, naming the models that can, for what the model cannot."""
    asked = {
        IMAGE: options.image is not None,
        REFINE: options.refine is not None,
        PREVIEW: options.preview_decoder,
        SHARE: machine.mesh is not None and BRANCH in machine.mesh.axis_names,
    }
    for ability in (ability for ability, flag in asked.items() if flag):
        check_ability(ability, f"--{ability.replace('_', '-')}", names)


def abilities(names: Resolution) -> frozenset[str]:
    """Return what the model can, see `avits_jax.catalogue.generators.Family`."""
    from avits_jax import generators

    assert names.model is not None
    with as_cli_error():
        return generators.abilities(names.model, names.families)


def check_ability(ability: str, subject: str, names: Resolution) -> None:
    """Raise CliError, naming the models that can, where the model cannot.

    Args:
        ability: see `avits_jax.catalogue.generators.Family`.
        subject: what asks for it.
        names: of `resolve_names`.
    """
    from avits_jax import generators

    assert names.model is not None
    if ability in abilities(names):
        return
    name = names.model.info.name
    lacks = lacking(name, ability, names.families)
    if ability in generators.abilities(name, names.families):
        lacks = (
            f"{names.model.folder} is a checkpoint of {name} without what that needs"
        )
    raise CliError(f"{subject}: {lacks}")


def encode(backend: Backend, prompt: str) -> Cond:
    """Encode a prompt for the generator and every verifier; say what they cut off.

    Raises:
        CliError: the model does not understand the prompt.
    """
    import avits_jax

    with as_cli_error(), warnings_told():
        return avits_jax.encode_prompt(prompt, backend.generator, backend.verifiers)
