"""How the weights of mini's verifiers may be split, see `parallel.sharding`."""

_TIME = (
    (r".*time/blocks/\d+/(attention/qkv|mlp/up)/kernel", -1),
    (r".*time/blocks/\d+/(attention/out|mlp/down)/kernel", -2),
)

_BOTH = ((r"video/out/kernel", -2), *_TIME)

RULES = {
    "mini_tv": ((r"tower/out/kernel", -2), *_TIME),
    "mini_ta": _TIME,
    "mini_av": _BOTH,
    "mini_quality": _BOTH,
}
