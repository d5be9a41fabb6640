"""Every search takes the reduced LTX-2.3 from a text to a clip.

One of them is compiled whole. The others run as plain Python between programs of the
generator's functions, each of which is compiled once for all of them.
"""

import functools

import jax
import numpy as np
from tiny_ltx2 import PROMPTS, VERIFIERS, jit, params, states, tiny

import avits_jax as avits
from avits_jax.sampling import euler
from avits_jax.types import Cond, Generator, Params

AGGREGATOR = avits.arw([0.5, 0.5])
NUM = 4
NOTHING = ((), ())
_SCAN = jax.lax.scan


def _once(function):
    """Return a function that is compiled where nothing else is."""
    program = jit(function)

    def call(*args):
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(args)):
            return function(*args)
        with jax.disable_jit(False):
            return program(*args)

    return call


def _scan(body, carry, xs):
    """Scan as JAX does it without compilation, over nothing as well."""
    return _SCAN(body, carry, xs) if len(xs) else (carry, None)


@functools.cache
def in_pieces() -> Generator:
    """The generator, and its unguided draft, as separate programs."""

    def compiled(generator: Generator) -> Generator:
        predict = _once(generator.predict)
        return generator._replace(
            predict=predict, step=euler(predict, generator.sigmas)
        )

    made = tiny()
    shared = {"init": _once(made.init), "decode": _once(made.decode)}
    whole = compiled(made)._replace(**shared, prepare=_once(made.prepare))
    draft = compiled(made.drafts[1])._replace(**shared, prepare=whole.prepare)
    return whole._replace(drafts=(draft,))


SEARCHES = {
    "best_of_n": (avits.best_of_n, {"num_candidates": NUM}),
    "evosearch": (avits.evosearch, {"schedule": (1,), "population_sizes": (NUM, NUM)}),
    "pruned": (avits.pruned_best_of_n, {"num_candidates": NUM, "rungs": ((1, 2),)}),
    "smc": (avits.smc, {"num_candidates": NUM, "resample_steps": (1,)}),
    "beam": (avits.beam_search, {"num_beams": 2, "num_children": 2}),
    "zero_order": (avits.zero_order, {"num_candidates": NUM, "num_iterations": 2}),
    "draft": (avits.draft_best_of_n, {"num_candidates": NUM, "num_kept": 2}),
    "adaptive": (avits.adaptive_best_of_n, {"num_candidates": NUM, "chunk": 2}),
}


@functools.cache
def _search(name: str):
    function, options = SEARCHES[name]
    generator = in_pieces()
    if name == "draft":
        options = {**options, "draft": generator.drafts[0]}
    learning = AGGREGATOR._replace(
        update=_once(AGGREGATOR.update), score=_once(AGGREGATOR.score)
    )
    with jax.disable_jit():
        return function(
            Params(params(), NOTHING),
            jax.random.key(0),
            Cond(states(), NOTHING),
            generator=generator,
            verifiers=VERIFIERS,
            aggregator=learning,
            **options,
        )


# One test: the programs are compiled by one process.
def test_every_search_finds_a_clip(unchecked, monkeypatch):
    monkeypatch.setattr(jax.lax, "scan", _scan)
    for name in SEARCHES:
        found = _search(name)
        assert found.best.video.shape == (9, 32, 64, 3), name
        assert found.best.audio.shape[0] == 2, name
        assert int(found.best_index) >= 0 and not found.failed.any(), name
        drawn = np.asarray(found.scores)[np.asarray(found.valid)]
        assert np.isfinite(drawn).all() and drawn.std() > 0, name
    best = _search("best_of_n")
    # A draft that is taken on ends where its candidate does.
    drafted = _search("draft").best_index
    rewards = _search("draft").rewards[drafted]
    assert best.nfe == NUM * 2 * 4
    assert np.abs(best.rewards - rewards).sum(1).min() < 1e-4


def test_a_search_from_text_to_clip_is_one_program():
    search = jit(
        functools.partial(
            avits.best_of_n,
            generator=tiny(),
            verifiers=VERIFIERS,
            aggregator=AGGREGATOR,
            num_candidates=NUM,
        )
    )
    cond = avits.encode_prompt(PROMPTS[0], tiny(), VERIFIERS)
    found = search(Params(params(), NOTHING), jax.random.key(0), cond)
    assert found.best.video.shape == (9, 32, 64, 3) and not found.failed.any()
    assert found.nfe == NUM * 2 * 4 and found.rewards.std(0).min() > 0
