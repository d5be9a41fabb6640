"""How far verifiers in bfloat16 are from the same verifiers in float32.

    python tools/verifier_precision.py [--clips 32] [--families clap desync]

Small networks (see tools/verifier_networks.py) score rendered clips that differ in
colour, shape, motion, timbre, loudness and synchrony. Spread is the standard deviation
of a score over the clips: what a search chooses by. The scores' own scale is the
verifier's (cosines, logits, seconds), so that distances are given in spreads as well.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jaxtyping import Float  # noqa: E402

from avits_jax.types import Media, PyTree  # noqa: E402
from tools.verifier_clips import rank_correlation, rendered  # noqa: E402
from tools.verifier_networks import FAMILIES, Family, chosen_clips  # noqa: E402

FPS = 8.0
HEADER = (
    "| output | network | spread | largest | rms | rms, spreads | rank correlation "
    "| same best |\n" + "|---" * 8 + "|"
)


class Distance(NamedTuple):
    """Two lists of scores of the same clips.

    Attributes:
        spread: standard deviation of the first over clips.
        largest: absolute difference.
        rms: root of the mean squared difference.
        ranks: Spearman's correlation; NaN where a list is constant.
        same_best: both have the same clip first.
    """

    spread: float
    largest: float
    rms: float
    ranks: float
    same_best: bool


def distance(full: Float[np.ndarray, " N"], other: Float[np.ndarray, " N"]) -> Distance:
    """Compare scores.

    Raises:
        ValueError: a score is NaN or infinite.
    """
    for scores in (full, other):
        if not np.isfinite(scores).all():
            raise ValueError(f"all scores must be finite, got {scores}")
    apart = np.abs(other - full)
    return Distance(
        float(full.std()),
        float(apart.max()),
        float(np.sqrt(np.mean(apart**2))),
        rank_correlation(full, other),
        bool(full.argmax() == other.argmax()),
    )


def compare(family: Family, network: str, media: Media) -> dict[str, Distance]:
    """Distance of bfloat16 from float32, of every output."""
    config, params = family.of(network)
    run = jax.jit(family.program(config, FPS))
    full, half = (
        run(as_dtype(params, kind), media) for kind in ("float32", "bfloat16")
    )
    return {
        name: distance(*(np.asarray(x[name], np.float64) for x in (full, half)))
        for name in full
    }


def as_dtype(params: PyTree, dtype: str) -> PyTree:
    """All weights in one dtype."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), params)


def row(name: str, network: str, found: Distance) -> str:
    """A line of the Markdown table."""
    share = found.rms / found.spread if found.spread else float("nan")
    return (
        f"| {name} | {network} | {found.spread:.3g} | {found.largest:.2g} "
        f"| {found.rms:.2g} | {share:.3f} | {found.ranks:.3f} "
        f"| {'yes' if found.same_best else 'no'} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and print."""
    chosen = chosen_clips(__doc__ or "", arguments)
    media = rendered(chosen.clips, fps=FPS, scale=chosen.scale)
    print(HEADER)
    for name in chosen.families:
        for network in chosen.networks:
            found = compare(FAMILIES[name], network, media)
            for output, each in found.items():
                print(row(output, network, each), flush=True)


if __name__ == "__main__":
    main()
