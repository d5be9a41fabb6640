"""How the weights may be split, see `parallel.sharding`; fits 16 devices."""

RULES = (
    (r"encoder/blocks/(attention/)?(q|k|v|up)/kernel", -1),
    (r"encoder/blocks/(attention/)?(out|down)/kernel", -2),
    (r"encoder/(convs/\d+|positions)/kernel", -1),
    (r"heads/layers/\d+/linear/kernel", -2),
)
