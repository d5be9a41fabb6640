"""Buckets of distances for learned biases of attention.

Upstream: huggingface/transformers, src/transformers/models/t5/modeling_t5.py
(_relative_position_bucket); WavLM has the same.
"""

import math

import numpy as np
from jaxtyping import Int


def position_buckets(
    length: int, num_buckets: int, max_distance: int, *, causal: bool
) -> Int[np.ndarray, "L L"]:
    """Return the row of the bias table for every query (row) and key (column).

    Near distances have a bucket each, far ones share buckets that grow logarithmically
    up to ``max_distance``. Both directions share the table, half each; a causal stack
    looks only back and uses all of it.
    """
    distance = np.arange(length)[None] - np.arange(length)[:, None]
    start = np.zeros_like(distance)
    if causal:
        distance = np.maximum(-distance, 0)
    else:
        num_buckets //= 2
        start[distance > 0] = num_buckets
        distance = np.abs(distance)
    near = num_buckets // 2
    # In float32, as the original: bucket edges such as 16 and 64 fall on integers.
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(near))
    ratio = ratio / np.float32(math.log(max_distance / near))
    far = near + (ratio * np.float32(num_buckets - near)).astype(np.int32)
    far = np.minimum(far, num_buckets - 1)
    return start + np.where(distance < near, distance, far)
