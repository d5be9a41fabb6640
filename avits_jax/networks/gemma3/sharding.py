"""How Gemma-3's weights may be split, see `parallel.sharding`; fits 16 devices."""

RULES = (
    (r"layers/(q|k|v|gate|up)/kernel", -1),
    (r"layers/(o|down)/kernel", -2),
    (r"embed/embedding", -1),
)
