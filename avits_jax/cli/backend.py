"""Load a generator and verifiers by name, and encode the prompt for them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.catalogue.resolve import Resolution, resolve
from avits_jax.catalogue.verifiers import MINI
from avits_jax.cli import memory
from avits_jax.cli.compiled import Checked
from avits_jax.cli.devices import ONE_MACHINE, Machine
from avits_jax.cli.errors import CliError, as_cli_error
from avits_jax.cli.labels import warnings_told
from avits_jax.cli.model_options import STEPS, model_options
from avits_jax.cli.options import ModelOptions
from avits_jax.parallel.mesh import MODEL
from avits_jax.runs import text_apart
from avits_jax.types import Cond, Generator, Params, Verifier

MINI_MODEL = "mini"
PAPER_VERIFIERS = "javis_score,video_reward,clap"


class Backend(NamedTuple):
    """What a search runs on.

    Attributes:
        generator: the generator.
        verifiers: in the order of their columns.
        params: weights of both.
        names: what their names stand for.
        takes: names of the generator's own options.
    """

    generator: Generator
    verifiers: tuple[Verifier, ...]
    params: Params
    names: Resolution
    takes: tuple[str, ...] = (STEPS,)


def resolve_names(
    model: str,
    verifiers: Sequence[str],
    random_weights: bool = False,
    families: Sequence[Family] = FAMILIES,
) -> Resolution:
    """Return what the names on the command line stand for; loads nothing.

    Args:
        model: name or checkpoint folder; "" for no model.
        verifiers: as the command line names them.
        random_weights: missing weights will be drawn.
        families: the table of generators.

    Raises:
        CliError: a name is unknown, has no weights, or verifiers of mini shall judge
            clips of another model.
    """
    with as_cli_error():
        names = resolve(model, verifiers, random_weights, families)
    minis = [each.name for each in names.verifiers if each.request.name in MINI]
    if minis and names.model and names.model.info.name != MINI_MODEL:
        raise CliError(
            f"{', '.join(minis)} judge clips of mini alone; for {model} name others: "
            f"--verifiers {PAPER_VERIFIERS}"
        )
    return names


def load(
    options: ModelOptions, names: Resolution, machine: Machine = ONE_MACHINE
) -> Backend:
    """Load a generator and verifiers; the generator's ``encode`` runs its text tower.

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
        known = generators.options(names.model.name, names.families)
        own = model_options(options, names.model.info.name, known)
        mesh = machine.mesh
        shards = 1 if mesh is None else mesh.shape[MODEL]
        memory.check_weights(names, options.dtype, shards)
        generator, generator_params = generators.load(
            names.model,
            families=names.families,
            dtype=options.dtype,
            mesh=mesh,
            **own,
        )
        judges, judge_params = stack.load(
            names.verifiers,
            fps=generator.fps,
            sample_rate=generator.sample_rate,
            dtype=options.dtype,
            mesh=mesh,
            **settings,
        )
    devices = machine.devices._replace(compiled=Checked)
    generator, generator_params = text_apart(generator, generator_params, devices)
    params = Params(generator_params, tuple(judge_params))
    return Backend(generator, tuple(judges), params, names, tuple(known))


def encode(backend: Backend, prompt: str) -> Cond:
    """Encode a prompt for the generator and every verifier; say what they cut off.

    Raises:
        CliError: the model does not understand the prompt.
    """
    import avits_jax

    with as_cli_error(), warnings_told():
        return avits_jax.encode_prompt(prompt, backend.generator, backend.verifiers)
