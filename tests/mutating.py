"""Small damage to the content of a file, from a seed."""

import numpy as np

_BYTES = list(b'0123456789-{}[]",:aeu\\/\0\xff')


def mutants(content, count, seed):
    """Yield ``count`` damaged copies of ``content``, the same for every call."""
    for number in range(count):
        yield _mutant(np.random.default_rng((seed, number)), content)


def _mutant(rng, content):
    """Bytes changed, taken out, or repeated, at one to three places."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at, kind = int(rng.integers(len(data))), rng.integers(3)
        if kind == 0:
            data[at] = int(rng.choice(_BYTES))
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 6))]
        else:
            data[at:at] = data[at : at + int(rng.integers(1, 40))]
    return bytes(data)
