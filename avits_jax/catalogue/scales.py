"""Say in words what a verifier judges, and on which scale."""

import math

from avits_jax.catalogue.names import parse
from avits_jax.catalogue.verifiers import OUTPUTS, Output


def output_of(name: str) -> Output | None:
    """Return what is known of a verifier's rewards; None for one of another's making.

    Args:
        name: ``NAME[@CHECKPOINT][:MODE]``, or any other text.
    """
    try:
        return OUTPUTS.get(parse(name).name)
    except ValueError:
        return None


def limits_of(name: str) -> tuple[float, float]:
    """Return the lowest and highest reward of a verifier; infinite where unknown."""
    known = output_of(name)
    return (-math.inf, math.inf) if known is None else known.range


def range_in_words(known: Output) -> str:
    """Return which values the rewards can take: "-1 to 1", "at most 0"."""
    low, high = (f"{end:g}" if math.isfinite(end) else "" for end in known.range)
    if low and high:
        return f"{low} to {high}"
    if low or high:
        return f"at least {low}" if low else f"at most {high}"
    return "any number"


def spread_in_words(known: Output) -> str:
    """Return mean and deviation of the rewards of samples; "" where not known.

    Where they are of something else, that is said in brackets.
    """
    if known.prior is None:
        return ""
    figures = "{:.3g} ± {:.3g}".format(*known.prior)
    return f"{figures} ({known.prior_of})" if known.prior_of else figures


def judges_in_words(name: str) -> str:
    """Return a sentence on what a verifier judges and which values are good.

    "" for a verifier that the catalogue does not know.

    Example:
        >>> judges_in_words("clap")
        'Text-audio agreement (cosine): -1 to 1, higher is better.'
    """
    known = output_of(name)
    if known is None:
        return ""
    text = known.description[:1].upper() + known.description[1:]
    parts = [f"{range_in_words(known)}, higher is better"]
    if spread := spread_in_words(known):
        parts.append(f"usual: {spread}" if known.prior_of else f"samples have {spread}")
    if known.good is not None:
        parts.append(f"three of four right clips have {known.good:g} or more")
    return f"{text}: {'; '.join(parts)}."
