"""No two draws of a search share a key."""

import itertools

import jax
import numpy as np

from avits_jax.aggregation import weighted
from avits_jax.sampling import noise_like
from avits_jax.search import best_of_n
from avits_jax.search.keys import Stream, candidate_keys, stream_key

KEY = jax.random.key(0)


def test_no_two_streams_share_a_key():
    """Streams, their rounds, what each gives its candidates, and first candidates."""
    streams = tuple(Stream)
    rounds = [stream_key(KEY, *which) for which in itertools.product(streams, range(6))]
    keys = [candidate_keys(KEY, 40), jax.numpy.stack(rounds)]
    keys += [candidate_keys(each, 40) for each in rounds]
    numbers = np.concatenate([jax.random.key_data(each) for each in keys])
    assert len(np.unique(numbers, axis=0)) == len(numbers) == 40 + 24 + 24 * 40


def test_steps_draw_from_a_stream_of_their_own(toy):
    """The last step's latents are what it drew, for each candidate's own key."""

    def step(params, keys, candidates, i, cond):
        return candidates._replace(latents=noise_like(keys, candidates.latents))

    output = best_of_n(
        toy.params,
        KEY,
        toy.cond,
        None,
        generator=toy.generator._replace(step=step),
        verifiers=toy.verifiers,
        aggregator=weighted([1.0, 1.0]),
        num_candidates=3,
        keep_latents=True,
    )
    keys = candidate_keys(stream_key(KEY, Stream.STEPS), 3)
    last = jax.vmap(jax.random.fold_in, (0, None))(keys, toy.generator.num_steps - 1)
    found = output.latents.latents
    jax.tree.map(np.testing.assert_array_equal, found, noise_like(last, found))
