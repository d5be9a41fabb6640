"""How ImageBind's weights may be split, see `parallel.sharding`; fits 16 devices."""

RULES = (
    (r"\w+/trunk/blocks/(attention/qkv|up)/kernel", -1),
    (r"\w+/trunk/blocks/(attention/out|down)/kernel", -2),
    (r"\w+/head/kernel", -1),
    (r"text/embed", -1),
    (r"vision/stem", -1),
)
