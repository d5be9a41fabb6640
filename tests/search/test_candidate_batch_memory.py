"""What a search works on at once and hands out; options that have moved."""

import inspect

import jax
import numpy as np
import pytest
from search_cases import AGGREGATOR

from avits_jax.search import (
    BeamOptions,
    EvoOptions,
    PrunedOptions,
    SMCOptions,
    ZeroOrderOptions,
    beam_search,
    evosearch,
    pruned_best_of_n,
    smc,
    zero_order,
)
from avits_jax.search.memory import Memory, agree

KEY = jax.random.key(8)
OPTIONS = {
    smc: SMCOptions,
    evosearch: EvoOptions,
    beam_search: BeamOptions,
    zero_order: ZeroOrderOptions,
    pruned_best_of_n: PrunedOptions,
}


def test_kept_clips_are_those_of_the_candidates(small, build_toy, counter):
    """Clip n is that of row n, in chunks as well; the winner is not decoded again."""
    toy = build_toy(4, with_extra=True)
    case = small.but(keep_media=True, keep_latents=True, candidate_batch=2)
    search = jax.jit(case.bind(counter.toy(toy)))
    output = search(toy.params, KEY, toy.cond, None)
    spent = counter.cost()
    assert spent == case.as_drawn(output).predicted_cost(toy)[:3]
    assert spent == (output.nfe, output.decodes, output.verifier_calls)
    clips = toy.generator.decode(toy.params.generator, output.latents)
    for kept, clip, best in zip(output.media, clips, output.best, strict=True):
        assert kept.shape[0] == output.scores.shape[0]
        drawn = np.asarray(output.valid)
        np.testing.assert_allclose(kept[drawn], clip[drawn], atol=1e-6)
        np.testing.assert_array_equal(kept[output.best_index], best)


@pytest.mark.parametrize("kind", OPTIONS.values())
def test_moved_options_still_count(kind):
    with pytest.warns(DeprecationWarning, match=f"{kind.__name__}.(candi|keep_l)"):
        options = kind(candidate_batch=3, keep_latents=True)
    assert agree(options, kind, Memory()) == (options, Memory(3, False, True))
    assert agree(options, kind, Memory(3, True))[1] == Memory(3, True, True)
    with pytest.raises(ValueError, match="candidate_batch .* got 2 and 3"):
        agree(options, kind, Memory(2))
    with pytest.warns(DeprecationWarning, match="keep_latents"):
        options = kind(keep_latents=False)
    with pytest.raises(ValueError, match="keep_latents .* got True and False"):
        agree(options, kind, Memory(keep_latents=True))


def test_a_search_heeds_options_that_have_moved(toy):
    with pytest.warns(DeprecationWarning):
        options = ZeroOrderOptions(keep_latents=True)
    output = jax.eval_shape(
        lambda key: zero_order(
            toy.params,
            key,
            toy.cond,
            generator=toy.generator,
            verifiers=toy.verifiers,
            aggregator=AGGREGATOR,
            num_candidates=2,
            num_iterations=2,
            options=options,
        ),
        KEY,
    )
    assert output.latents.latents["video"].shape == (4, 3)


@pytest.mark.parametrize("search", OPTIONS)
def test_options_of_another_search_are_refused(search, cases, toy):
    case = cases[search.__name__]
    wrong = BeamOptions() if search is not beam_search else SMCOptions()
    wanted = OPTIONS[search].__name__
    with pytest.raises(
        TypeError, match=f"must be {wanted}, got {type(wrong).__name__}"
    ):
        inspect.unwrap(search)(
            toy.params,
            KEY,
            toy.cond,
            generator=toy.generator,
            verifiers=toy.verifiers,
            aggregator=AGGREGATOR,
            **case.settings | {"options": wrong},
        )


@pytest.mark.parametrize(
    "name", ["adaptive_best_of_n", "best_of_n", "draft_best_of_n", *OPTIONS]
)
def test_searches_are_called_alike(name, cases):
    search = cases[name if isinstance(name, str) else name.__name__].search
    parameters = inspect.signature(search).parameters
    assert list(parameters)[:7] == [
        "params",
        "key",
        "cond",
        "state",
        "generator",
        "verifiers",
        "aggregator",
    ]
    assert list(parameters)[-3:] == ["candidate_batch", "keep_media", "keep_latents"]
    assert len(parameters) <= 13
