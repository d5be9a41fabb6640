"""How VideoReward's weights may be split, see `parallel.sharding`; fits 16 devices.

The vocabulary (151,660 words) is no multiple of 8: embeddings are split by width.
"""

RULES = (
    (r"layers/(q|k|v|gate|up)/kernel", -1),
    (r"layers/(o|down)/kernel", -2),
    (r"vision/blocks/(qkv|fc1)/kernel", -1),
    (r"vision/blocks/(out|fc2)/kernel", -2),
    (r"vision/(embed|fc1)/kernel", -1),
    (r"vision/fc2/kernel", -2),
    (r"embed/embedding", -1),
)
