"""What a search tells on its way: it adds up, and changes nothing."""

from functools import partial

import chex
import jax
import pytest

from avits_jax.aggregation import weighted
from avits_jax.runs import Progress, make_work, with_progress
from avits_jax.search import best_of_n

KEY = jax.random.key(3)


@pytest.fixture
def told():
    """Collect what is told."""
    return []


def test_evaluations_add_up_to_those_of_the_search(small, build_toy, told):
    toy = build_toy(4)
    shown = toy._replace(generator=with_progress(toy.generator, told.append))
    output = jax.jit(small.bind(shown))(shown.params, KEY, shown.cond)
    jax.effects_barrier()
    assert sum(done.evaluations for done in told) == output.nfe
    decoded = sum(done.candidates for done in told if done.part == "decode")
    assert decoded == output.decodes
    assert {done.step for done in told if done.part == "decode"} == {-1}


def test_it_changes_nothing_and_tells_of_every_chunk(toy, told):
    def search(generator):
        made = make_work(
            partial(best_of_n, num_candidates=5),
            toy.params,
            KEY,
            generator=generator,
            verifiers=toy.verifiers,
            aggregator=weighted([0.5, 0.5]),
            candidate_batch=2,
        )
        return made.search(0, toy.cond, made.state)

    plain = search(toy.generator)
    shown = search(with_progress(toy.generator, on_progress=told.append))
    jax.effects_barrier()
    chex.assert_trees_all_equal(plain, shown)
    steps = [done for done in told if done.part == "step"]
    assert sorted(done.candidates for done in steps) == [1] * 6 + [2] * 12
    first = Progress("step", 0, 2, 4)
    assert steps.count(first) == 2
    assert {done.step for done in steps} == set(range(toy.generator.num_steps))


def test_what_the_callback_raises_ends_nothing(toy):
    def raises(done):
        raise OSError("no network")

    shown = toy._replace(generator=with_progress(toy.generator, raises))
    search = partial(
        best_of_n,
        generator=shown.generator,
        verifiers=toy.verifiers,
        aggregator=weighted([0.5, 0.5]),
        num_candidates=2,
    )
    with pytest.warns(UserWarning, match="on_progress raised OSError"):
        output = search(shown.params, KEY, shown.cond)
        jax.effects_barrier()
    assert output.best_index >= 0
