"""Verifiers by name: networks, weights and tokenizers behind one contract."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jax.sharding import Mesh

from avits_jax.catalogue.names import TINY, Request
from avits_jax.catalogue.records import Info
from avits_jax.catalogue.resolve import Resolved, resolve_verifier
from avits_jax.catalogue.verifiers import (
    MINI,
    OUTPUTS,
    family_of,
    infos,
)
from avits_jax.types import PyTree, Verifier
from avits_jax.verifiers.stack import stack

if TYPE_CHECKING:
    from avits_jax.weights.model import Configs, Model
    from avits_jax.weights.network import Weights

__all__ = ["available", "load", "priors", "randomly_initialised", "shapes", "stack"]


def available() -> list[Info]:
    """Return what `load` knows by name."""
    return infos()


def load(
    names: Sequence[str | Resolved],
    *,
    fps: float | None = None,
    sample_rate: int | None = None,
    candidate_batch: int | None = None,
    dtype: str | None = None,
    random_weights: bool = False,
    seed: int = 0,
    mesh: Mesh | None = None,
    networks: dict[tuple[str, str], tuple[Any, PyTree]] | None = None,
    **settings: Any,
) -> tuple[tuple[Verifier, ...], tuple[PyTree, ...]]:
    """Load verifiers and their weights.

    A name is ``NAME[@CHECKPOINT][:MODE]``. NAME is one of `available`. CHECKPOINT is a
    folder that ``avits convert`` wrote, or "tiny" for reduced networks with random
    weights, which try out the machinery and measure nothing. MODE says how clips are
    read: "default", "bench" (as the published benchmarks do) or "its" (as the paper's
    search did, faults included).

    Args:
        names: in the order of the reward columns; or what `resolve` made of them.
        fps: frames per second of the clips to score; only mini's verifiers know it.
        sample_rate: Hz of their sound; likewise.
        candidate_batch: most candidates that a network works on at once; None for each
            verifier's own.
        dtype: "float32" or "bfloat16"; None for bfloat16 on accelerators and float32 on
            a CPU; "float8", which is for generators, is bfloat16 here. Mini's are
            float32.
        random_weights: draw weights that are missing, see `randomly_initialised`.
        seed: of drawn weights.
        mesh: read large weights straight onto these devices, split over its model axis
            (see `avits_jax.parallel`); None for the default device.
        networks: what earlier calls read; what this one reads is added. With the same
            dict, the same weights serve clips of other rates.
        **settings: what saves work, and changes scores: ``frame_rate`` (frames per
            second that javis_score and avh_score look at) and ``share_frames`` (av_ib
            and tv_ib use those frames, too) of ImageBind's verifiers, ``num_frames``
            that vqa_score asks about (tools/RESULTS.md has what they do to rankings) or
            that clip_score looks at.

    Returns:
        Verifiers, and one tree of weights for each. Verifiers of one network share
        their tree, and in a search its pass.

    Raises:
        ValueError: no name, an unknown name, mode, rate or setting, or a checkpoint
            that is missing or damaged.

    Example:
        >>> verifiers, vparams = avits.verifiers.load(
        ...     ["javis_score", "video_reward", "clap"], fps=24, sample_rate=16_000)
    """
    from avits_jax.weights.model import read_parts

    resolved = _checked(names, random_weights, fps, sample_rate, settings)
    sources = _sources(resolved, dtype, seed, mesh)
    clip = {"fps": fps, "sample_rate": sample_rate, "candidate_batch": candidate_batch}
    read = {} if networks is None else networks
    return _made(_Plan(resolved, sources, read_parts, read), clip, settings)


def shapes(
    names: Sequence[str],
    *,
    fps: float | None = None,
    sample_rate: int | None = None,
    candidate_batch: int | None = None,
    dtype: str | None = None,
    random_weights: bool = False,
    **settings: Any,
) -> tuple[tuple[Verifier, ...], tuple[PyTree, ...]]:
    """Return verifiers and the shapes of their weights; none is read or drawn.

    Args:
        names: as for `load`, likewise the others.
        fps: frames per second of the clips to score.
        sample_rate: Hz of their sound.
        candidate_batch: most candidates that a network works on at once.
        dtype: of the weights.
        random_weights: take the published sizes where a checkpoint is missing.
        **settings: what saves work.

    Raises:
        ValueError: as `load`.
    """
    from avits_jax.weights.model import shapes as model_shapes

    def shapes_of(model: "Model", weights: "Weights", configs: "Configs") -> PyTree:
        return model_shapes(model, configs, weights.dtype)

    resolved = _checked(names, random_weights, fps, sample_rate, settings)
    sources = _sources(resolved, dtype)
    clip = {"fps": fps, "sample_rate": sample_rate, "candidate_batch": candidate_batch}
    return _made(_Plan(resolved, sources, shapes_of, {}), clip, settings)


def priors(names: Sequence[str]) -> tuple[list[float], list[float]]:
    """Return the known mean and deviation of each verifier's rewards.

    For ``arw(..., prior_mean=mean, prior_std=std)``, so that a first prompt is not
    ruled by whichever verifier happens to agree with itself.

    Args:
        names: as for `load`.

    Returns:
        ``mean [V]`` and ``std [V]``, in units of each verifier's reward.

    Raises:
        ValueError: a name is unknown, or of a verifier no figures are known: they are
            never guessed.
    """
    known = {
        each.name: OUTPUTS[each.request.name].prior for each in _resolved(names, True)
    }
    unknown = [name for name, prior in known.items() if prior is None]
    if unknown:
        raise ValueError(
            f"no mean and deviation are known of the rewards of {', '.join(unknown)}; "
            "measure them, and give prior_mean and prior_std"
        )
    found = [prior for prior in known.values() if prior is not None]
    return [mean for mean, _ in found], [std for _, std in found]


def randomly_initialised(
    names: Sequence[str], random_weights: bool = False
) -> tuple[str, ...]:
    """Return those whose weights are drawn, and whose rewards mean nothing.

    Args:
        names: as for `load`.
        random_weights: as for `load`.
    """

    return tuple(
        each.name
        for each in _resolved(names, True)
        if each.drawn and (random_weights or each.request.checkpoint == TINY)
    )


def _checked(
    names: Sequence[str | Resolved],
    random_weights: bool,
    fps: float | None,
    sample_rate: int | None,
    settings: Mapping[str, Any],
) -> list[Resolved]:
    """Say all that is wrong or missing before anything is read."""
    resolved = _resolved(names, random_weights)
    requests = [each.request for each in resolved]
    _check_rates(requests, fps, sample_rate)
    _check_settings(requests, settings)
    return resolved


class _Plan(NamedTuple):
    """What is asked for, and how each network's weights are come by.

    Attributes:
        resolved: in the order of the columns.
        sources: where the weights of each come from.
        weights: ``(model, source, sizes) -> weights``, or their shapes.
        networks: (model, checkpoint) -> sizes and weights, of what was come by.
    """

    resolved: list[Resolved]
    sources: dict[Request, "Weights"]
    weights: Callable[["Model", "Weights", "Configs"], PyTree]
    networks: dict[tuple[str, str], tuple[Any, PyTree]]

    def network(self, request: Request) -> tuple[Any, PyTree]:
        """Return the sizes and the weights of a request's network."""
        from avits_jax.weights.model import read_configs

        model, source = _model(request), self.sources[request]
        place = model.name, request.checkpoint
        if place not in self.networks:
            reduced = request.checkpoint == TINY
            configs = read_configs(model, source, reduced=reduced)
            tree = self.weights(model, source, configs)
            self.networks[place] = configs.get(""), tree
        return self.networks[place]


def _sources(
    resolved: Sequence[Resolved],
    dtype: str | None,
    seed: int = 0,
    mesh: Mesh | None = None,
) -> dict[Request, "Weights"]:
    """Return where the weights of each come from."""
    from avits_jax.weights.network import Weights, check_dtype

    # 8 bits are for generators, whose weights are many times as large.
    kind = "bfloat16" if dtype == "float8" else check_dtype(dtype)
    return {
        each.request: Weights(
            each.folder, "float32" if each.request.name in MINI else kind, seed, mesh
        )
        for each in resolved
    }


def _model(request: Request) -> "Model":
    """Return the network of a verifier as a record."""
    if request.name in MINI:
        from avits_jax.verifiers.mini.parts import MODELS

        return MODELS[request.name]
    module = family_of(request.name).module
    return importlib.import_module(f"{__name__}.{module}.parts").MODEL


def _made(
    plan: _Plan, clip: dict[str, Any], settings: Mapping[str, Any]
) -> tuple[tuple[Verifier, ...], tuple[PyTree, ...]]:
    """Make all verifiers, those of one network together.

    Args:
        plan: what is asked for, and where weights come from.
        clip: rates of the clips, and chunk size.
        settings: what saves work.
    """
    found: dict[Request, tuple[Verifier, PyTree]] = {}
    requests = [each.request for each in plan.resolved]
    for request in dict.fromkeys(requests):
        if request in found:
            continue
        config, tree = plan.network(request)
        group = _companions(requests, request)
        made = _family_made(group, config, plan.sources[request], clip, settings)
        for each, verifier in zip(group, made, strict=True):
            known = OUTPUTS[each.name]
            verifier = verifier._replace(range=known.range, prior=known.prior)
            found[each] = verifier, tree
    pairs = [found[request] for request in requests]
    return (
        tuple(
            verifier._replace(name=each.name)
            for each, (verifier, _) in zip(plan.resolved, pairs, strict=True)
        ),
        tuple(tree for _, tree in pairs),
    )


def _family_made(
    group: Sequence[Request],
    config: Any,
    weights: "Weights",
    clip: dict[str, Any],
    settings: Mapping[str, Any],
) -> tuple[Verifier, ...]:
    first = group[0]
    if first.name in MINI:
        from avits_jax.verifiers.mini.verifier import make

        return (make(first.name, config),)
    family = family_of(first.name)
    module = importlib.import_module(f"{__name__}.{family.module}.verifier")
    extra = {key: settings[key] for key in family.settings if key in settings}
    names = [each.name for each in group]
    return module.make(names, config, weights, mode=first.mode, **clip, **extra)


def _resolved(names: Sequence[str | Resolved], random_weights: bool) -> list[Resolved]:
    """Return what all names stand for, see `avits_jax.catalogue.resolve`."""
    if isinstance(names, str) or not names:
        raise ValueError(f"names must list at least one verifier, got {names!r}")
    return [
        resolve_verifier(name, random_weights) if isinstance(name, str) else name
        for name in names
    ]


def _check_rates(
    requests: Sequence[Request], fps: float | None, sample_rate: int | None
) -> None:
    from avits_jax.mini_world import world

    minis = [request.name for request in requests if request.name in MINI]
    given = (fps, sample_rate)
    own = (world.FPS, world.SAMPLE_RATE)
    if minis and any(x not in (None, y) for x, y in zip(given, own, strict=True)):
        raise ValueError(
            f"fps and sample_rate must be {own[0]:g} and {own[1]} for "
            f"{', '.join(minis)}, got {fps} and {sample_rate}"
        )
    others = [request.name for request in requests if request.name not in MINI]
    for name, value in (("fps", fps), ("sample_rate", sample_rate)):
        if others and (value is None or not value > 0):
            raise ValueError(
                f"{name} of the clips must be a positive number for "
                f"{', '.join(others)}, got {value}"
            )


def _check_settings(requests: Sequence[Request], settings: Mapping[str, Any]) -> None:
    """Refuse settings that none of the verifiers has."""
    families = [family_of(each.name) for each in requests if each.name not in MINI]
    known = {name for family in families for name in family.settings}
    for name in settings:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise ValueError(
                f"{name!r} is not a setting of these verifiers (they have: {listed})"
            )


def _companions(requests: Sequence[Request], first: Request) -> list[Request]:
    """Return the requests that one pass of `first` answers, each once."""
    if first.name in MINI:
        return [first]
    outputs = family_of(first.name).outputs
    same = [each for each in requests if each.name in outputs and each[1:] == first[1:]]
    return list(dict.fromkeys(same))
