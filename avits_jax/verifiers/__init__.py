"""Verifiers by name: networks, weights and tokenizers behind one contract."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from avits_jax.catalogue.names import TINY, Request
from avits_jax.catalogue.records import Info
from avits_jax.catalogue.resolve import Resolved, resolve_verifier
from avits_jax.catalogue.verifiers import MINI, Family, family_of, infos
from avits_jax.types import PyTree, Verifier
from avits_jax.verifiers.stack import stack

__all__ = ["available", "load", "random_ones", "stack"]


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
    folder that tools/convert.py wrote, or "tiny" for reduced networks with random
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
            a CPU. Mini's are float32.
        random_weights: draw weights that are missing, see `random_ones`.
        seed: of drawn weights.
        mesh: read large weights straight onto these devices, split over its model axis
            (see `avits_jax.parallel`); None for the default device.
        networks: what earlier calls read; what this one reads is added. With the same
            dict, the same weights serve clips of other rates.
        **settings: what saves work, and changes scores: ``frame_rate`` (frames per
            second that javis_score and avh_score look at) and ``share_frames`` (av_ib
            and tv_ib use those frames, too) of ImageBind's verifiers, ``num_frames``
            that vqa_score asks about. tools/RESULTS.md has what they do to rankings.

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
    # All that is missing is said before anything is read.
    resolved = _resolved(names, random_weights)
    requests = [each.request for each in resolved]
    _check_rates(requests, fps, sample_rate)
    _check_settings(requests, settings)
    folders = {each.request: each.folder for each in resolved}
    from avits_jax.weights.network import Weights, check_dtype

    kind = check_dtype(dtype)
    clip = {"fps": fps, "sample_rate": sample_rate, "candidate_batch": candidate_batch}
    found: dict[Request, tuple[Verifier, PyTree]] = {}
    read = {} if networks is None else networks
    for request in dict.fromkeys(requests):
        if request in found:
            continue
        if request.name in MINI:
            found[request] = _load_mini(request.name, folders[request])
            continue
        family = family_of(request.name)
        module = importlib.import_module(f"{__name__}.{family.module}.verifier")
        weights = Weights(folders[request], kind, seed, mesh)
        source = (family.module, request.checkpoint)
        if source not in read:
            read[source] = module.read(weights, tiny=request.checkpoint == TINY)
        config, tree = read[source]
        group = _companions(requests, request, family)
        own = [each.name for each in group]
        extra = {key: settings[key] for key in family.settings if key in settings}
        made = module.make(own, config, weights, mode=request.mode, **clip, **extra)
        found |= {
            each: (verifier, tree) for each, verifier in zip(group, made, strict=True)
        }
    pairs = [found[request] for request in requests]
    named = zip(resolved, pairs, strict=True)
    return (
        tuple(verifier._replace(name=each.name) for each, (verifier, _) in named),
        tuple(tree for _, tree in pairs),
    )


def random_ones(names: Sequence[str], random_weights: bool = False) -> tuple[str, ...]:
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
                f"{name!r} is no setting of these verifiers (they have: {listed})"
            )


def _companions(
    requests: Sequence[Request], first: Request, family: Family
) -> list[Request]:
    """Requests that one pass of the network of `first` answers, each once."""
    same = [
        each
        for each in requests
        if each.name in family.outputs and each[1:] == first[1:]
    ]
    return list(dict.fromkeys(same))


def _load_mini(name: str, folder: Path | None) -> tuple[Verifier, PyTree]:
    from avits_jax.verifiers.mini.verifier import load as load_mini

    assert folder is not None
    return load_mini(name, folder)
