"""EvoSearch against a stored run of the original on a linear toy, in float64."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.aggregation import weighted
from avits_jax.search import EvoOptions, evosearch, reference_mutation
from avits_jax.types import Candidates, Generator, Media, Verifier

GOLDEN = Path(__file__).parents[1] / "golden" / "search" / "evosearch_toy.npz"


@pytest.fixture(scope="module")
def golden():
    """The stored run."""
    return dict(np.load(GOLDEN))


def _generator(golden) -> Generator:
    """Velocity ``A x + b t``; a clip is the latent itself."""
    levels = golden["timesteps"]

    def step(params, keys, candidates, i, cond):
        t = jnp.asarray(levels)
        velocity = candidates.latents @ params["A"].T + params["b"] * t[i]
        return Candidates(candidates.latents + (t[i] - t[i + 1]) * velocity)

    def decode(params, candidates):
        video = candidates.latents.reshape(-1, 1, 1, 2, 3)
        return Media(video, jnp.zeros((video.shape[0], 1)))

    def init(params, keys, cond):
        return Candidates(params["init"])

    return Generator(init, step, decode, lambda *_: None, tuple(levels.tolist()))


def _verifiers() -> tuple[Verifier, ...]:
    def score(params, media, cond):
        latents = media.video.reshape(-1, 6)
        return -params * jnp.square(latents - cond).sum(axis=1)

    return Verifier("first", score), Verifier("second", score)


def _replay(golden, redenoise: bool):
    """Run with the stored tournaments and noise; return the output and children."""
    children = []
    mutate = reference_mutation(0.2)

    def draw_tournament(key, generation, num_children, num_candidates, size):
        draws = golden[f"gen{generation}.tournament"]
        assert draws.shape == (num_children, size)
        return jnp.asarray(draws)

    def draw_noise(keys, generation, latents):
        return jnp.asarray(golden[f"gen{generation}.noise"])

    def mutation(parents, noise):
        children.append(mutate(parents, noise))
        return children[-1]

    output = evosearch(
        (
            {name: jnp.asarray(golden[name]) for name in ("A", "b", "init")},
            tuple(jnp.asarray(golden["reward_scale"])),
        ),
        jax.random.key(0),
        ((), tuple(jnp.asarray(golden["targets"]))),
        generator=_generator(golden),
        verifiers=_verifiers(),
        aggregator=weighted(golden["weights"].tolist()),
        schedule=(0, 4),
        population_sizes=(6, 6, 5),
        options=EvoOptions(
            mutation=mutation,
            redenoise_elites=redenoise,
            draw_tournament=draw_tournament,
            draw_noise=draw_noise,
        ),
        keep_latents=True,
    )
    return output, children


def close(actual, wanted, atol=1e-9):
    """Check against the stored run."""
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("redenoise", "nfe", "scored"), [(True, 184, 17), (False, 144, 13)]
)
def test_the_original_is_met(golden, redenoise, nfe, scored):
    with jax.enable_x64(True):
        replayed = jax.jit(partial(_replay, golden, redenoise))()
        output, children = jax.tree.map(np.asarray, replayed)
    assert (output.nfe, output.verifier_calls) == (nfe, 2 * scored)

    for generation, bred in enumerate(children):
        close(bred, golden[f"gen{generation}.children"][2:])
    # Scores are float32 by contract; from the rewards they follow in full precision.
    wanted = np.concatenate([golden["gen1.scores"], golden["final_scores"]])
    close(output.rewards @ golden["weights"], wanted)
    close(output.scores, wanted, atol=1e-6)
    close(output.latents.latents[12:], golden["final_population"])
    close(output.rewards[output.best_index] @ golden["weights"], golden["best_score"])
    close(output.best.video.reshape(6), golden["best"])


def test_kept_elites_cost_nothing_and_change_nothing(build_toy):
    """The plan of the issue: 300 candidate-steps and 11 scorings, not 400 and 15."""
    toy = build_toy(30)
    outputs = []
    for redenoise in (False, True):
        search = partial(
            evosearch,
            generator=toy.generator,
            verifiers=toy.verifiers,
            aggregator=weighted([0.5, 0.5]),
            schedule=(0, 10),
            population_sizes=(5, 5, 5),
            options=EvoOptions(redenoise_elites=redenoise),
        )
        outputs.append(jax.jit(search)(toy.params, jax.random.key(0), toy.cond, None))
    kept, again = outputs
    steps = [int(output.nfe) // toy.generator.nfe_per_step for output in outputs]
    assert steps == [300, 400]
    assert [int(output.verifier_calls) // 2 for output in outputs] == [11, 15]
    np.testing.assert_allclose(kept.rewards, again.rewards, atol=1e-5)
    np.testing.assert_allclose(kept.best.video, again.best.video, atol=1e-5)
