"""AV-Align has no network: signal analysis without weights."""

from avits_jax.weights.model import Model

MODEL = Model("av_align", ())
