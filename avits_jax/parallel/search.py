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
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from avits_jax.parallel.mesh import CANDIDATE, MODEL
from avits_jax.parallel.place import place_params, replicate
from avits_jax.types import (
    Generator,
    Params,
    PyTree,
    SearchOutput,
    SharedPass,
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
            `population`, see `shard_search`.

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
    spread = shard_search(search, mesh, **parts, **settings)
    return ShardedSearch(jax.jit(spread), mesh), placed


def shard_search(
    search: Callable[..., SearchOutput],
    mesh: Mesh,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    population: tuple[str, ...] = POPULATION,
    **settings: Any,
) -> Callable[..., SearchOutput]:
    """Return a search, to be jitted, that spreads its candidates over a mesh.

    Args:
        search: `best_of_n` or another search.
        mesh: see `make_mesh`.
        generator: the generator.
        verifiers: the verifiers.
        population: mesh axes that candidates are spread over. With both (the default)
            every device has candidates of its own, and split weights are gathered
            where a network is entered. With ``("candidate",)`` the devices of a model
            group work on the same candidates, each with its part of the weights, and
            exchange activations as XLA sees fit: for weights that no device can hold.
        **settings: the search's other keyword arguments; a generator among them, a
            draft, is spread likewise.

    Returns:
        ``(params, key, cond, state) -> SearchOutput``; may be vmapped over prompts.
        `best`, the state and the counts are copied to all devices; arrays with a
        candidate axis stay spread where the devices divide it.
    """
    edge = _Edge(mesh, population)
    settings["generator"] = generator
    bound = functools.partial(
        search,
        verifiers=_spread_verifiers(verifiers, edge),
        **{
            name: _spread_generator(each, edge) if isinstance(each, Generator) else each
            for name, each in settings.items()
        },
    )

    def run(params: Params, key: Any, cond: Any, state: PyTree = None) -> SearchOutput:
        return _lay_out(bound(params, key, cond, state), edge)

    return run


class _Edge(NamedTuple):
    """Runs networks on every device's own candidates."""

    mesh: Mesh
    population: tuple[str, ...]

    @property
    def whole(self) -> NamedSharding:
        """Return the sharding of a copy on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def parts(self) -> NamedSharding:
        """Return the sharding of a leading axis spread over devices."""
        return NamedSharding(self.mesh, PartitionSpec(self.population))

    @property
    def num_parts(self) -> int:
        """Return into how many parts a population is cut."""
        return math.prod(self.mesh.shape[axis] for axis in self.population)

    def run(
        self, function: Callable, params: PyTree, trees: tuple, *shared: PyTree
    ) -> PyTree:
        """Return ``function(params, *trees, *shared)``, computed part by part.

        Args:
            function: works candidate by candidate.
            params: weights.
            trees: trees of ``[N, ...]`` arrays.
            *shared: what all candidates share.

        Returns:
            A tree of ``[N, ...]`` arrays.
        """
        num = jax.tree.leaves(trees)[0].shape[0]
        # A single candidate (the winner, decoded again) is worked on everywhere: its
        # clip then needs no sending.
        spec, missing = PartitionSpec(), 0
        if num > 1:
            spec, missing = self.parts.spec, -num % self.num_parts
        local = jax.shard_map(
            lambda params, trees, shared: function(params, *trees, *shared),
            mesh=self.mesh,
            in_specs=(PartitionSpec(), spec, PartitionSpec()),
            out_specs=spec,
            axis_names=set(self.population),
            check_vma=False,
        )
        result = local(params, _pad(trees, missing), shared)
        if not missing:
            return result
        return _constrain(jax.tree.map(lambda leaf: leaf[:num], result), self.parts)


def _pad(tree: PyTree, missing: int) -> PyTree:
    """Add so many candidates of zeros, which no device has to be sent."""
    if not missing:
        return tree

    def one(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = one(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        return jnp.pad(leaf, [(0, missing), *[(0, 0)] * (leaf.ndim - 1)])

    return jax.tree.map(one, tree)


def _spread_generator(generator: Generator, edge: _Edge) -> Generator:
    def init(params, keys, cond):
        return edge.run(generator.init, params, (keys,), cond)

    def step(params, keys, candidates, i, cond):
        return edge.run(generator.step, params, (keys, candidates), i, cond)

    def predict(params, candidates, i, cond):
        return edge.run(generator.predict, params, (candidates,), i, cond)

    def decode(params, candidates):
        return edge.run(generator.decode, params, (candidates,))

    return generator._replace(init=init, step=step, predict=predict, decode=decode)


def _spread_verifiers(
    verifiers: Sequence[Verifier], edge: _Edge
) -> tuple[Verifier, ...]:
    """Return the verifiers on a mesh; those that share a pass still do."""
    passes = {
        each.shared_pass: _spread_pass(each.shared_pass, edge) for each in verifiers
    }
    return tuple(
        _spread_verifier(each, edge)._replace(shared_pass=passes[each.shared_pass])
        for each in verifiers
    )


def _spread_pass(each: SharedPass | None, edge: _Edge) -> SharedPass | None:
    if each is None:
        return None

    def rewards(params, media, cond):
        return edge.run(each.rewards, params, (media,), cond)

    return each._replace(rewards=rewards)


def _spread_verifier(verifier: Verifier, edge: _Edge) -> Verifier:
    def part(params, media, cond):
        rewards = jnp.asarray(verifier.score(params, media, cond))
        wanted = media.video.shape[:1]
        if rewards.shape != wanted:
            raise ValueError(
                f"verifier {verifier.name!r} must return one reward per candidate, "
                f"shape {wanted}, got {rewards.shape}"
            )
        return rewards

    def score(params, media, cond):
        return edge.run(part, params, (media,), cond)

    return verifier._replace(score=score)


def _lay_out(output: SearchOutput, edge: _Edge) -> SearchOutput:
    """Spread what has a candidate axis, where that comes out even; copy the rest."""

    def per_candidate(leaf):
        even = leaf.shape[0] % edge.num_parts == 0
        return _constrain(leaf, edge.parts if even else edge.whole)

    names = ("scores", "rewards", "failed", "valid", "latents", "media")
    kept = {name: getattr(output, name) for name in names}
    without: dict[str, Any] = dict.fromkeys(names)
    rest = output._replace(**without)
    return _constrain(rest, edge.whole)._replace(**jax.tree.map(per_candidate, kept))


def _constrain(tree: PyTree, sharding: NamedSharding) -> PyTree:
    return jax.tree.map(
        lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding), tree
    )
