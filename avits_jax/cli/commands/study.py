"""Choose again from kept rewards, by other verifiers, aggregators and weights."""

from collections.abc import Sequence

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli.options import StudyOptions as Options

EXAMPLE = "avits study runs/many --truth right.csv --aggregators weighted,arw"


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    from avits_jax.cli import studying

    return studying.study(options)
