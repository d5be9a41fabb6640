"""No two draws of a search share a key."""

import itertools

import jax
import numpy as np

from avits_jax.search.keys import Stream, candidate_keys, stream_key

KEY = jax.random.key(0)


def test_no_two_streams_share_a_key():
    """Streams, their rounds, what each gives its candidates, and first candidates."""
    streams = Stream.STEPS, Stream.SELECTION, Stream.MUTATION
    rounds = [stream_key(KEY, *which) for which in itertools.product(streams, range(6))]
    keys = [candidate_keys(KEY, 40), jax.numpy.stack(rounds)]
    keys += [candidate_keys(each, 40) for each in rounds]
    numbers = np.concatenate([jax.random.key_data(each) for each in keys])
    assert len(np.unique(numbers, axis=0)) == len(numbers) == 40 + 18 + 18 * 40
