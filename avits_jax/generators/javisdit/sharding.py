"""How JavisDiT's weights may be split: the matrices and kernels of all its networks.

Pairs (pattern of the parameter's path, dimension), see `parallel.sharding`. Outputs are
split, and the inputs of the matrices that project back. Up to 16 devices fit.
"""

from avits_jax.types import Rules

TRANSFORMER: Rules = (
    (r"levels/.*/(qkv|query|key_value|up|\w+_match|\w+_value)/kernel", -1),
    (r"levels/.*/(out|down|\w+_out)/kernel", -2),
    (r"(prior_)?modulation/kernel", -1),
    (r"(time|fps|video_text|audio_text|prior)/up/kernel", -1),
    (r"(time|fps|video_text|audio_text|prior)/down/kernel", -2),
    (r"null_text", -1),
)
PRIOR: Rules = (
    (r"(text/trunk/blocks|encoder|decoder)/.*(qkv|projection|up)/kernel", -1),
    (r"(text/trunk/blocks|encoder|decoder)/.*(out|down)/kernel", -2),
    (r"text/embed", -1),
    (r"(proj_in|text/head)/kernel", -1),
)
VIDEO_VAE: Rules = (
    (r".*/(conv[12]|resample|resamples/\d+|shortcut)/kernel", -1),
    (r"spatial/.*/(query|key|value|out)/kernel", -1),
)
AUDIO_VAE: Rules = (
    (r"vae/.*/(conv[12]|resample|shortcut|query|key|value|out)/kernel", -1),
    (r"vocoder/(conv_in|upsamples/\d+|blocks/.*)/kernel", -1),
)
T5: Rules = (
    (r"encoder/layers/(attention/[qkv]|feed/wi_[01])/kernel", -1),
    (r"encoder/layers/(attention/o|feed/wo)/kernel", -2),
    (r"embed/embedding", -1),
)
