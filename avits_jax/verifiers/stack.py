"""Several verifiers as one function from clips to rewards."""

from collections.abc import Callable, Sequence

from avits_jax.search.rewards import stacked_rewards
from avits_jax.types import Media, PyTree, Rewards, Rules, SharedPass, Verifier


def from_pass(
    name: str,
    shared: SharedPass,
    output: str,
    encode: Callable[[str], PyTree] | None,
    rules: Rules | None = None,
) -> Verifier:
    """Return the verifier that gives one of a shared pass's rewards.

    Args:
        name: of the verifier.
        shared: the pass that gives it, the same object for all verifiers of the pass.
        output: which of its rewards.
        encode: host function ``prompt -> cond``.
        rules: how the pass's weights are split over a mesh.
    """

    def score(params: PyTree, media: Media, cond: PyTree):
        return shared.rewards(params, media, cond)[output]

    return Verifier(name, score, encode, shared, output, rules)


def stack(
    verifiers: Sequence[Verifier],
) -> Callable[[Sequence[PyTree], Media, Sequence[PyTree]], Rewards]:
    """Return ``(params, media, conds) -> rewards [N, V]`` of several verifiers.

    Verifiers with the same shared pass run it once. `params` and `conds` hold one entry
    per verifier, as `avits_jax.verifiers.load` and `avits_jax.encode_prompt` give them.

    Example:
        >>> rewards = jax.jit(stack(verifiers))(vparams, media, cond.verifiers)
    """
    chosen = tuple(verifiers)

    def rewards(
        params: Sequence[PyTree], media: Media, conds: Sequence[PyTree]
    ) -> Rewards:
        return stacked_rewards(chosen, params, media, conds)

    return rewards
