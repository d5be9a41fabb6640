"""How mini's weights may be split: the large matrices of all three networks.

Pairs (pattern of the parameter's path, dimension), see `parallel.sharding`. Output
dimensions are split where they are large; the matrices that project back (``down``,
``out``) are split along their input.
"""

RULES = (
    (r"transformer/blocks/(attention/qkv|mlp/up)/kernel", -1),
    (r"transformer/blocks/(attention/out|mlp/down)/kernel", -2),
    (r"transformer/modulate/kernel", -1),
    (r"video_autoencoder/decode_in/kernel", -1),
    (r"video_autoencoder/encode_out/kernel", -2),
    (r"video_autoencoder/(inward|outward)/\d+/kernel", -1),
    (r"video_autoencoder/widen/kernel", -1),
    (r"audio_autoencoder/(hops_in|hops_out|decode_in)/kernel", -1),
)
