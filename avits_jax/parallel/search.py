"""Run any search with its candidates spread over a mesh.

The searches know nothing of devices. Generator and verifiers are wrapped: each device
runs them on its own candidates (`jax.shard_map`), so that nothing inside a network,
guidance pairs or Fourier transforms say, can make XLA send candidates around. Between
the networks XLA carries the layout along. Where N is no multiple of the devices, the
population is filled up with zeros that are dropped again: idle time, nothing else.

With `best_of_n` only sums of rewards and the winner cross devices (of the aggregators,
`rank` gathers rewards as well). Searches that move candidates (`take`) pass the latents
of those chosen, never clips.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from avits_jax.parallel.edge import (
    Edge,
    constrain,
    spread_generator,
    spread_verifiers,
)
from avits_jax.parallel.memory import check_gather
from avits_jax.parallel.mesh import CANDIDATE, MODEL
from avits_jax.parallel.place import place_params, replicate
from avits_jax.parallel.sharding import search_shardings
from avits_jax.parallel.sharing import prepare_prompt, share_weights
from avits_jax.search.best_of_n import best_of_n
from avits_jax.search.checks import check_problem
from avits_jax.types import (
    PER_CANDIDATE,
    Generator,
    Params,
    PyTree,
    SearchOutput,
    Verifier,
)

POPULATION = (CANDIDATE, MODEL)


class ShardedSearch(NamedTuple):
    """A compiled search and where its arguments belong.

    Attributes:
        jitted: ``(params, key, cond, state) -> SearchOutput`` under `jax.jit`; takes
            arguments that lie on the mesh.
        mesh: the devices.
    """

    jitted: Any
    mesh: Mesh

    def __call__(
        self, params: Params, key: Any, cond: Any, state: PyTree = None
    ) -> SearchOutput:
        """Search for one prompt; all but `params` is copied to every device."""
        return self.jitted(params, *replicate((key, cond, state), self.mesh))

    def trace(self, params: Params, key: Any, cond: Any, state: PyTree = None) -> Any:
        """Return the traced program (`jaxpr`, `lower()`), for arrays or shapes."""
        return self.jitted.trace(params, *replicate((key, cond, state), self.mesh))


def jit_search(
    search: Callable[..., SearchOutput],
    params: Params,
    mesh: Mesh,
    rules: Params | None = None,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    **settings: Any,
) -> tuple[ShardedSearch, Params]:
    """Place weights on a mesh and jit a search whose candidates are spread over it.

    Same results as on one device, up to rounding, for any N and any mesh. On several
    hosts every one of them makes the same call and the same searches.

    Args:
        search: `best_of_n` or another search.
        params: weights, or their shapes to compile without having any.
        mesh: see `make_mesh`.
        rules: how weights are split over the mesh's model axis, see `search_shardings`.
            None: those that lie on the mesh already stay as they lie, and the others
            follow the rules of the generator and the verifiers.
        generator: the generator.
        verifiers: the verifiers.
        **settings: the search's other keyword arguments, `aggregator` among them, and
            `population` and `gather`, see `shard_search`.

    Returns:
        The search, and the placed weights to call it with.

    Raises:
        ValueError: a sharding rule does not fit the weights.

    Example:
        >>> mesh = make_mesh()
        >>> search, params = jit_search(
        ...     best_of_n, params, mesh, generator=generator, verifiers=verifiers,
        ...     aggregator=arw([0.5, 0.5]), num_candidates=64)
        >>> output = search(params, jax.random.key(0), cond)
    """
    parts: dict[str, Any] = {"generator": generator, "verifiers": verifiers}
    placed = place_params(params, mesh, rules, **parts)
    layout = jax.tree.map(lambda leaf: leaf.sharding, placed)
    spread = shard_search(search, mesh, **parts, layout=layout, **settings)
    return ShardedSearch(jax.jit(spread), mesh), placed


def shard_search(
    search: Callable[..., SearchOutput],
    mesh: Mesh,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    population: tuple[str, ...] = POPULATION,
    gather: str = "auto",
    layout: Params | None = None,
    **settings: Any,
) -> Callable[..., SearchOutput]:
    """Return a search, to be jitted, that spreads its candidates over a mesh.

    Args:
        search: `best_of_n` or another search; what a `functools.partial` binds counts
            among the settings.
        mesh: see `make_mesh`.
        generator: the generator.
        verifiers: the verifiers.
        population: mesh axes that candidates are spread over. With both (the default)
            every device has candidates of its own, and gathers split weights. With
            ``("candidate",)`` the devices of a model group work on the same candidates,
            each with its part of the weights, and exchange activations as XLA sees fit.
        gather: when split weights are gathered. "once": before the search's loops, to
            stay. "entry": each time that a network is entered. "block": one layer at a
            time, inside the scan over stacked layers, for networks that no device can
            hold. "auto": as they fit, see `parallel.memory`. The results are the same.
        layout: how the weights lie, from `search_shardings`; None: as the rules of the
            generator and the verifiers say.
        **settings: the search's other keyword arguments; a generator among them, a
            draft, is spread likewise.

    Raises:
        ValueError: `gather` is unknown.

    Returns:
        ``(params, key, cond, state) -> SearchOutput``; may be vmapped over prompts.
        `best`, the state and the counts are copied to all devices; arrays with a
        candidate axis stay spread where the devices divide it.
    """
    choice = check_gather(gather)
    search, settings = _unbound(search, settings)
    edge = Edge(mesh, population)
    none = Params(None, (None,) * len(verifiers))

    def bind(splits: Params, *, ready: bool = False) -> Callable[..., SearchOutput]:
        def spread(each: Generator) -> Generator:
            if ready and each.prepare is generator.prepare:
                each = each._replace(prepare=None)
            return spread_generator(each, edge, splits.generator)

        drafts = {
            name: spread(each)
            for name, each in settings.items()
            if isinstance(each, Generator)
        }
        return functools.partial(
            search,
            generator=spread(generator),
            verifiers=spread_verifiers(verifiers, edge, splits.verifiers),
            **settings | drafts,
        )

    # A second stage is laid out likewise: it takes a search's output for a state.
    def run(params: Params, key: Any, cond: Any, state: PyTree = None) -> Any:
        if not edge.shares:
            return _lay_out(bind(none)(params, key, cond, state), edge)
        params, cond = check_problem(params, cond, generator, verifiers)
        parts: dict[str, Any] = {"generator": generator, "verifiers": verifiers}
        laid = layout or search_shardings(jax.eval_shape(lambda: params), mesh, **parts)
        # A prompt is prepared here, before weights are gathered for what follows.
        cond = prepare_prompt(params, cond, generator)
        stays = search is not best_of_n or settings.get("candidate_batch") is not None
        params, splits = share_weights(
            params, cond, laid, choice, edge, stays=stays, **parts
        )
        found = bind(splits, ready=True)(params, key, cond, state)
        return _lay_out(found, edge)

    return run


def _unbound(
    search: Callable[..., SearchOutput], settings: dict[str, Any]
) -> tuple[Callable[..., SearchOutput], dict[str, Any]]:
    """Return a search without what a partial binds, which joins the settings."""
    if not isinstance(search, functools.partial):
        return search, settings
    return _unbound(search.func, search.keywords | settings)


def _lay_out(output: Any, edge: Edge) -> Any:
    """Spread what has a candidate axis, where that comes out even; copy the rest."""

    def per_candidate(leaf):
        even = leaf.shape[0] % edge.num_parts == 0
        return constrain(leaf, edge.parts if even else edge.whole)

    names = [name for name in PER_CANDIDATE if name in output._fields]
    kept = {name: getattr(output, name) for name in names}
    without: dict[str, Any] = dict.fromkeys(names)
    rest = output._replace(**without)
    return constrain(rest, edge.whole)._replace(**jax.tree.map(per_candidate, kept))
