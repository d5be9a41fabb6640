"""How the vocoder's published weights map onto `Vocoder`.

Names are those of the single file without ``vocoder.`` in front, which is taken off
once: LTX-2.3 has modules called ``vocoder``, ``bwe_generator`` and ``mel_stft``.
"""

import numpy as np

from avits_jax.weights.name_map import Rule, conv, prefixed


def _one(array: np.ndarray) -> np.ndarray:
    """Return numbers of the only activation as ``[1, C]``."""
    return array.reshape(1, -1)


def _flat(array: np.ndarray) -> np.ndarray:
    """Return a filter ``[1, 1, K]`` as ``[K]``."""
    return array.reshape(-1)


def _basis(array: np.ndarray) -> np.ndarray:
    """Return waves ``[2 K, 1, n_fft]`` as ``[n_fft, 2 K]``."""
    return array[:, 0].T


def _activations(source: str, target: str, *, single: bool = False) -> tuple[Rule, ...]:
    plain, filter_ = (_one, _one) if single else ("copy", _flat)
    return (
        Rule(f"{source}.act.alpha", f"{target}.alpha", plain),
        Rule(f"{source}.act.beta", f"{target}.beta", plain),
        Rule(f"{source}.upsample.filter", f"{target}.up_filter", filter_),
        Rule(f"{source}.downsample.lowpass.filter", f"{target}.down_filter", filter_),
    )


_GENERATOR = (
    *conv("conv_pre", "conv_in"),
    Rule("ups.{i}.weight", "upsamples.{i}.kernel", "conv_transpose"),
    Rule("ups.{i}.bias", "upsamples.{i}.bias"),
    *conv("resblocks.{i}.convs1.{j}", "blocks.{i}.dilated.{j}"),
    *conv("resblocks.{i}.convs2.{j}", "blocks.{i}.plain.{j}"),
    *_activations("resblocks.{i}.acts1.{pair}", "blocks.{i}.before_dilated"),
    *_activations("resblocks.{i}.acts2.{pair}", "blocks.{i}.before_plain"),
    *_activations("act_post", "last", single=True),
    *conv("conv_post", "conv_out"),
)
RULES = (
    *prefixed(_GENERATOR, "vocoder.", "base."),
    *prefixed(_GENERATOR, "bwe_generator.", "extension."),
    Rule("mel_stft.mel_basis", "mel.filters", "linear"),
    Rule("mel_stft.stft_fn.forward_basis", "mel.basis", _basis),
)
"""Of LTX-2.3's vocoder."""
RULES_2_0 = prefixed(_GENERATOR, target="base.")
"""Of LTX-2's vocoder."""
IGNORED = {
    "mel_stft.stft_fn.inverse_basis": "the way back from a spectrogram, never taken",
}
FLOAT32 = (r".*/(up|down)_filter", "mel")
"""What stays float32: filters and the spectrogram's constants."""
