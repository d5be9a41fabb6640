"""Every search against a plain retelling of it, candidate by candidate, in NumPy.

Only the random draws and the aggregator come from the package.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from avits_jax.sampling import noise_like
from avits_jax.search.keys import Stream, candidate_keys, stream_key
from avits_jax.search.operators import draw_tournaments

KEY = jax.random.key(11)
SHAPES = {"audio": jnp.zeros((1, 2)), "video": jnp.zeros((1, 3))}


@jax.jit
def _draw(key):
    noise = noise_like(key[None], SHAPES)
    return jnp.concatenate([noise["audio"][0], noise["video"][0]])


def _noise(key) -> np.ndarray:
    return np.asarray(_draw(key), np.float64)


class Plain:
    """The toy with `extra`, for one candidate ``(z [5], prior)`` at a time."""

    def __init__(self, toy) -> None:
        cond = toy.cond.generator
        self.target = np.concatenate([cond["audio"], cond["video"]])
        self.sigmas = toy.generator.sigmas
        self.num_steps = toy.generator.num_steps
        self.wanted = [float(x) for x in toy.cond.verifiers]

    def start(self, key):
        z = _noise(key)
        return z, 3 * z[2]

    def clean(self, candidate):
        z, prior = candidate
        return self.target + 0.7 * (np.sin(3 * z) + 0.3 * prior), prior

    def euler(self, candidate, i, j=None):
        """Step from level i to level j, the next one unless said otherwise."""
        s, t = self.sigmas[i], self.sigmas[i + 1 if j is None else j]
        x, prior = self.clean(candidate)
        eps = (candidate[0] - (1 - s) * x) / s
        return (1 - t) * x + t * eps, prior

    def walk(self, candidate, i, j):
        for step in range(i, j):
            candidate = self.euler(candidate, step)
        return candidate

    def stochastic(self, candidate, i, noise):
        s, t = self.sigmas[i], self.sigmas[i + 1]
        x, prior = self.clean(candidate)
        eps = (candidate[0] - (1 - s) * x) / s
        forward = (1 - s) / (1 - t)
        tau = t * np.sqrt(1 - (forward * t / s) ** 2)
        return (1 - t) * x + np.sqrt(t**2 - tau**2) * eps + tau * noise, prior

    def rewards(self, candidate):
        z, _ = candidate
        ramp = np.linspace(0.5, 1, 8)[:, None]
        video = ramp / (1 + np.exp(-z[2:]))
        picture = -9 * np.square(video - self.wanted[0]).mean()
        return picture, 0.1 * abs(np.tanh(z[0]) - self.wanted[1])


class Judge:
    """The aggregator, with its state kept aside."""

    def __init__(self, aggregator) -> None:
        self.aggregator, self.state = aggregator, aggregator.init(2)

    def learn(self, rewards):
        scores, self.state = self.aggregator.update(self._array(rewards), self.state)
        return np.asarray(scores)

    def score(self, rewards):
        return np.asarray(self.aggregator.score(self._array(rewards), self.state))

    @staticmethod
    def _array(rewards):
        return jnp.asarray(np.asarray(rewards), jnp.float32)


def _order(scores):
    return sorted(range(len(scores)), key=lambda n: -scores[n])


def best_of_n(plain, judge, num_candidates):
    starts = [plain.start(k) for k in candidate_keys(KEY, num_candidates)]
    finals = [plain.walk(start, 0, plain.num_steps) for start in starts]
    return judge(), finals


def adaptive_best_of_n(plain, judge, num_candidates, chunk, tolerance):
    """Go on while Student's distribution says that a chunk gains enough."""
    finals = []
    for key in candidate_keys(KEY, num_candidates):
        finals.append(plain.walk(plain.start(key), 0, plain.num_steps))
        count = len(finals)
        if count % chunk or count < 3:
            continue
        scores = judge().learn([plain.rewards(each) for each in finals])
        ahead = (scores.max() - scores.mean()) / scores.std(ddof=1)
        next_ones = stats.t(count - 1, scale=np.sqrt(1 + 1 / count))
        gain, _ = integrate.quad(
            lambda x, fit=next_ones: 1 - fit.cdf(x) ** chunk, ahead, np.inf
        )
        if gain < tolerance:
            break
    return judge(), finals


def draft_best_of_n(plain, judge, num_candidates, num_kept):
    """Drafts take three steps in place of six."""
    keys = list(candidate_keys(KEY, num_candidates))
    drafts = [plain.start(key) for key in keys]
    for i in range(0, plain.num_steps, 2):
        drafts = [plain.euler(each, i, i + 2) for each in drafts]
    scores = judge().learn([plain.rewards(each) for each in drafts])
    kept = sorted(_order(scores)[:num_kept])
    return judge(), [plain.walk(plain.start(keys[n]), 0, plain.num_steps) for n in kept]


def pruned_best_of_n(plain, judge, num_candidates, rungs):
    alive = [plain.start(k) for k in candidate_keys(KEY, num_candidates)]
    guide, at = judge(), 0
    for step, kept in rungs:
        alive = [plain.walk(candidate, at, step) for candidate in alive]
        scores = guide.learn([plain.rewards(plain.clean(c)) for c in alive])
        alive = [alive[n] for n in sorted(_order(scores)[:kept])]
        at = step
    return judge(), [plain.walk(candidate, at, plain.num_steps) for candidate in alive]


def beam_search(plain, judge, num_beams, num_children, options):
    num = num_beams * num_children
    children = [plain.start(k) for k in candidate_keys(KEY, num)]
    guide, at = judge(), 0

    def look_ahead(candidate, start):
        middle = start + (plain.num_steps - start) // 2
        for i, j in ((start, middle), (middle, plain.num_steps)):
            candidate = plain.euler(candidate, i, j)
        return plain.rewards(candidate)

    for branching, step in enumerate((*options.branch_steps, None)):
        scores = guide.learn([look_ahead(child, at) for child in children])
        beams = [children[n] for n in _order(scores)[:num_beams]]
        beams = [
            plain.walk(b, at, plain.num_steps if step is None else step) for b in beams
        ]
        if step is None:
            return judge(), beams
        keys = candidate_keys(stream_key(KEY, Stream.MUTATION, branching), num)
        children = [
            plain.stochastic(beams[n // num_children], step, _noise(keys[n]))
            for n in range(num)
        ]
        at = step + 1


def smc(plain, judge, num_candidates, resample_steps, options):
    """Difference potential, systematic resampling below half the particles."""
    particles = [plain.start(k) for k in candidate_keys(KEY, num_candidates)]
    keys = candidate_keys(stream_key(KEY, Stream.STEPS), num_candidates)
    guide, log_weights, before, resampled = judge(), np.zeros(num_candidates), None, 0
    for step in range(plain.num_steps):
        if step in resample_steps:
            now = [plain.rewards(plain.clean(p)) for p in particles]
            scores = guide.learn(now)
            gain = scores if before is None else scores - guide.score(before)
            log_weights = log_weights + options.strength * gain
            weights = np.exp(log_weights) / np.exp(log_weights).sum()
            ancestors = list(range(num_candidates))
            if 1 / (weights**2).sum() < num_candidates / 2:
                key = stream_key(KEY, Stream.SELECTION, resample_steps.index(step))
                offset = float(jax.random.uniform(key))
                edges = np.cumsum(weights)
                ancestors = [
                    int((edges <= (n + offset) / num_candidates).sum())
                    for n in range(num_candidates)
                ]
                log_weights, resampled = np.zeros(num_candidates), resampled + 1
            particles = [particles[n] for n in ancestors]
            before = [now[n] for n in ancestors]
        particles = [
            plain.stochastic(p, step, _noise(jax.random.fold_in(k, step)))
            for p, k in zip(particles, keys, strict=True)
        ]
    assert resampled
    return judge(), particles


def zero_order(plain, judge, num_candidates, num_iterations):
    population = [plain.start(k) for k in candidate_keys(KEY, num_candidates)]
    learned, pivot, finals = judge(), [], []
    for iteration in range(num_iterations):
        clips = [plain.walk(c, 0, plain.num_steps) for c in population]
        rewards = [plain.rewards(c) for c in clips]
        finals += clips
        learned.learn(rewards)
        pool = pivot + list(zip(population, rewards, strict=True))
        pivot = [pool[_order(learned.score([r for _, r in pool]))[0]]]
        keys = candidate_keys(
            stream_key(KEY, Stream.MUTATION, iteration), num_candidates
        )
        (z, prior), _ = pivot[0]
        population = [(np.sqrt(0.91) * z + 0.3 * _noise(k), prior) for k in keys]
    return learned, finals


def evosearch(plain, judge, schedule, population_sizes):
    """Two elites, tournaments of half the candidates, mutation that keeps the level."""
    learned = judge()

    def run(candidate, step):
        trail = {step: candidate}
        for i in range(step, plain.num_steps):
            trail[i + 1] = plain.euler(trail[i], i)
        return trail

    history = [run(plain.start(k), 0) for k in candidate_keys(KEY, population_sizes[0])]
    last = plain.num_steps
    learned.learn([plain.rewards(t[last]) for t in history])
    for generation, step in enumerate(schedule):
        scores = learned.score([plain.rewards(t[last]) for t in history])
        num_children = population_sizes[generation + 1] - 2
        draws = draw_tournaments(
            stream_key(KEY, Stream.SELECTION, generation),
            generation,
            num_children,
            len(history),
            len(history) // 2,
        )
        keys = candidate_keys(
            stream_key(KEY, Stream.MUTATION, generation), num_children
        )
        population = [history[n] for n in _order(scores)[:2]]
        for draw, key in zip(np.asarray(draws), keys, strict=True):
            parent = history[max(draw, key=lambda n: scores[n])]
            child = _mutate(plain, parent[step], parent[step + 1], step, _noise(key))
            population.append(run(child, step))
        learned.learn([plain.rewards(t[last]) for t in population])
        history += population
    return learned, [t[last] for t in history]


def _mutate(plain, parent, later, step, noise):
    """Walk down to a lower level on the parent's own line, then add noise again."""
    s, t = plain.sigmas[step], plain.sigmas[step + 1]
    if s == 1:
        return 0.6 * parent[0] + 0.8 * noise, parent[1]
    odds = 0.6 * s / (1 - s)
    low = odds / (1 + odds)
    share = (s - low) / (s - t)
    lower = parent[0] + share * (later[0] - parent[0])
    scale = (1 - s) / (1 - low)
    added = np.sqrt(s**2 - (scale * low) ** 2)
    return scale * lower + added * noise, parent[1]


ORACLES = {
    oracle.__name__: oracle
    for oracle in (
        best_of_n,
        adaptive_best_of_n,
        draft_best_of_n,
        pruned_best_of_n,
        beam_search,
        smc,
        zero_order,
        evosearch,
    )
}


@pytest.mark.parametrize("name", ORACLES)
def test_search_equals_its_plain_retelling(
    name, cases, compiled, toy_extra, aggregator
):
    plain, case = Plain(toy_extra), cases[name]
    judge = functools.partial(Judge, aggregator)
    learned, finals = ORACLES[name](plain, judge, **case.settings)
    rewards = [plain.rewards(final) for final in finals]
    if name in ("zero_order", "evosearch"):
        scores = learned.score(rewards)
    else:
        scores = learned.learn(rewards)
    output = compiled(case)(toy_extra.params, KEY, toy_extra.cond)
    assert output.valid[: len(finals)].all() and not output.valid[len(finals) :].any()
    output = output._replace(
        rewards=output.rewards[output.valid], scores=output.scores[output.valid]
    )
    np.testing.assert_allclose(output.rewards, rewards, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(output.scores, scores, rtol=1e-3, atol=1e-3)
    assert output.best_index == np.argmax(scores)
    video = np.linspace(0.5, 1, 8)[:, None] / (
        1 + np.exp(-finals[int(np.argmax(scores))][0][2:])
    )
    np.testing.assert_allclose(output.best.video.reshape(8, 3), video, atol=1e-4)
