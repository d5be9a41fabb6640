"""Networks on every device's own candidates, with weights that devices share."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from avits_jax.parallel.gathering import gather_late, part_spec
from avits_jax.parallel.mesh import MODEL
from avits_jax.sampling.guidance import BRANCH
from avits_jax.types import Generator, PyTree, SharedPass, Verifier


class Edge(NamedTuple):
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
    def shares(self) -> bool:
        """Tell whether devices of a group share weights and have candidates each."""
        return MODEL in self.population and self.mesh.shape[MODEL] > 1

    @property
    def _branch(self) -> tuple[str, ...]:
        """Return the axis of devices that work on the same candidates, if any."""
        return tuple(axis for axis in self.mesh.axis_names if axis == BRANCH)

    @property
    def num_parts(self) -> int:
        """Return into how many parts a population is cut."""
        return math.prod(self.mesh.shape[axis] for axis in self.population)

    def run(
        self,
        function: Callable,
        params: PyTree,
        trees: tuple,
        *shared: PyTree,
        split: PyTree = None,
    ) -> PyTree:
        """Return ``function(params, *trees, *shared)``, computed part by part.

        Args:
            function: works candidate by candidate.
            params: weights.
            trees: trees of ``[N, ...]`` arrays.
            *shared: what all candidates share.
            split: shardings of the weights, to gather them one block at a time; None
                gathers what is split here.

        Returns:
            A tree of ``[N, ...]`` arrays.
        """
        num = jax.tree.leaves(trees)[0].shape[0]
        # A single candidate (the winner, decoded again) is worked on everywhere: its
        # clip then needs no sending.
        spec, missing = PartitionSpec(), 0
        if num > 1:
            spec, missing = self.parts.spec, -num % self.num_parts
        whole = PartitionSpec()
        weights = whole if split is None else jax.tree.map(part_spec, split)

        def part(params: PyTree, trees: tuple, shared: tuple) -> PyTree:
            if split is None:
                return function(params, *trees, *shared)
            return gather_late(function, params, split, *trees, *shared)

        local = jax.shard_map(
            part,
            mesh=self.mesh,
            in_specs=(weights, spec, whole),
            out_specs=spec,
            axis_names={*self.population, *self._branch},
            check_vma=False,
        )
        result = local(params, _pad(trees, missing), shared)
        if not missing:
            return result
        return constrain(jax.tree.map(lambda leaf: leaf[:num], result), self.parts)


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


def spread_generator(
    generator: Generator, edge: Edge, split: PyTree = None
) -> Generator:
    """Return a generator on a mesh, see `Edge.run`."""

    def init(params, keys, cond):
        return edge.run(generator.init, params, (keys,), cond, split=split)

    def step(params, keys, candidates, i, cond):
        trees = (keys, candidates)
        return edge.run(generator.step, params, trees, i, cond, split=split)

    def predict(params, candidates, i, cond):
        return edge.run(generator.predict, params, (candidates,), i, cond, split=split)

    def spread(decode: Callable) -> Callable:
        def decode_spread(params, candidates):
            return edge.run(decode, params, (candidates,), split=split)

        return decode_spread

    preview = generator.preview
    return generator._replace(
        init=init,
        step=step,
        predict=predict,
        decode=spread(generator.decode),
        preview=None if preview is None else spread(preview),
    )


def spread_verifiers(
    verifiers: Sequence[Verifier], edge: Edge, splits: Sequence[PyTree]
) -> tuple[Verifier, ...]:
    """Return the verifiers on a mesh; those that share a pass still do."""
    passes: dict[SharedPass | None, SharedPass | None] = {}
    for each, split in zip(verifiers, splits, strict=True):
        if each.shared_pass not in passes:
            passes[each.shared_pass] = _spread_pass(each.shared_pass, edge, split)
    return tuple(
        _spread_verifier(each, edge, split)._replace(
            shared_pass=passes[each.shared_pass]
        )
        for each, split in zip(verifiers, splits, strict=True)
    )


def _spread_pass(
    each: SharedPass | None, edge: Edge, split: PyTree
) -> SharedPass | None:
    if each is None:
        return None

    def rewards(params, media, cond):
        return edge.run(each.rewards, params, (media,), cond, split=split)

    return each._replace(rewards=rewards)


def _spread_verifier(verifier: Verifier, edge: Edge, split: PyTree) -> Verifier:
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
        return edge.run(part, params, (media,), cond, split=split)

    return verifier._replace(score=score)


def constrain(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Return a tree that lies as stated."""
    return jax.tree.map(
        lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding), tree
    )
