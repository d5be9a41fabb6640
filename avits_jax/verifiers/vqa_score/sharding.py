"""How VQAScore's weights may be split, see `parallel.sharding`; fits 16 devices."""

RULES = (
    (r"language/\w+/layers/((attention|cross)/[qkv]|feed/wi_[01])/kernel", -1),
    (r"language/\w+/layers/((attention|cross)/o|feed/wo)/kernel", -2),
    (r"language/(embed/embedding|head/kernel)", -1),
    (r"projector/fc1/kernel", -1),
    (r"projector/fc2/kernel", -2),
    (r"vision/layers/(q|k|v|fc1)/kernel", -1),
    (r"vision/layers/(out|fc2)/kernel", -2),
    (r"vision/embed/kernel", -1),
)
