"""How Synchformer's weights may be split, see `parallel.sharding`; fits 16 devices."""

RULES = (
    (r"(.*/)?(qkv|fc1)/kernel", -1),
    (r"(.*/)?(out|fc2)/kernel", -2),
    (r"(video/embed|\w+_out)/kernel", -1),
)
