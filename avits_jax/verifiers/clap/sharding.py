"""How CLAP's weights may be split, see `parallel.sharding`; fits 16 devices."""

RULES = (
    (r"(text|audio/stages/\d+)/blocks/(attention/)?(query|key|value|up)/kernel", -1),
    (r"(text|audio/stages/\d+)/blocks/(attention/)?(out|down)/kernel", -2),
    (r"audio/stages/\d+/merge/reduction/kernel", -1),
    (r"text/(words|positions)/embedding", -1),
    (r"(text/pooler|\w+_out/(first|second))/kernel", -1),
)
