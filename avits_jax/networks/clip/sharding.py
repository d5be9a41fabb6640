"""How CLIP's weights may be split, see `parallel.sharding`; fits 16 devices."""

RULES = (
    (r"(vision|text)/layers/(q|k|v|fc1)/kernel", -1),
    (r"(vision|text)/layers/(out|fc2)/kernel", -2),
    (r"(vision/embed|(vision|text)_head)/kernel", -1),
    (r"text/words", -1),
)
