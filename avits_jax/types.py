"""Contracts of the core: what generators, verifiers, aggregators and searches exchange.

All of them are NamedTuples, of arrays or of pure functions. Candidates are the leading
axis ``N`` of every array; prompts come from an outer ``vmap``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int, Key

PyTree = Any

Rules = tuple[tuple[str, int], ...]
"""Sharding rules: pairs (pattern of a parameter's path, dimension that is split)."""

Keys = Key[Array, " N"]
Scores = Float[Array, " N"]
Rewards = Float[Array, "N V"]


class Media(NamedTuple):
    """Decoded clips of a population.

    Attributes:
        video: ``[N, F, H, W, 3]`` float in [0, 1].
        audio: ``[N, S]`` (mono) or ``[N, C, S]`` float in [-1, 1].
    """

    video: Float[Array, "N F H W 3"]
    audio: Float[Array, "N *C S"]


class Candidates(NamedTuple):
    """A population of trajectories at one noise level.

    Attributes:
        latents: tree of ``[N, ...]`` arrays on the noise path
            ``z = (1 - sigma) x + sigma noise``; mutation and stochastic steps act here.
        extra: tree of ``[N, ...]`` arrays that are random per candidate but not on the
            noise path (sampled priors, say). Selection moves it with ``latents``;
            mutation leaves it alone. ``()`` where there is none.
    """

    latents: PyTree
    extra: PyTree = ()


class Generator(NamedTuple):
    """A generator as pure functions; weights are the argument ``params``.

    One step takes a candidate from ``sigmas[i]`` to ``sigmas[i + 1]``.

    Attributes:
        init: ``(params, keys [N], cond) -> Candidates`` at ``sigmas[0]``.
        step: ``(params, keys [N], candidates, i, cond) -> Candidates``; ``i`` may be a
            traced int32. A deterministic generator ignores ``keys``.
        decode: ``(params, candidates) -> Media``.
        predict: ``(params, candidates, i, cond) -> latents``, the clean sample expected
            at step ``i`` (a tree like ``candidates.latents``).
        sigmas: noise levels, ``num_steps + 1`` of them falling from at most 1 to 0;
            each a float, or a tree of floats whose structure is a prefix of the
            latents' (picture and sound on different schedules, say).
        nfe_per_step: network evaluations per candidate and step, 2 with guidance; or a
            tuple of one number per step, where guidance is off at some of them.
        flops_per_evaluation: floating-point operations of one network evaluation of one
            candidate, or None where they are not known.
        fps: frames per second of the decoded video.
        sample_rate: Hz of the decoded audio.
        encode: host function ``prompt -> cond`` (tokenizer); never traced.
        prepare: ``(params, cond) -> cond``, what a prompt fixes for all candidates and
            steps (text states, keys and values, say); every search calls it once, and
            gives the result to the other functions. None: ``cond`` is used as it is.
        text: ``(params_text, cond) -> cond``, the text encoder on its own: takes the
            ids that ``encode`` gives and returns what ``prepare`` accepts in their
            place, so that the encoder's weights need not lie in memory during a search;
            see `avits_jax.text.prompt.precompute_text`. None: there is none.
        text_part: where ``params_text`` lie in the weights, the name of a field or key
            of ``params``; ``()`` may stand there when states are given. "": nowhere.
        rules: how the weights are split over a mesh whose devices share them, pairs
            (pattern of a parameter's path, dimension), see `parallel.sharding`. None:
            every device holds all of them.
        drafts: cheaper generators of the same clips: the same params and keys, and
            candidate ``n`` is a draft of the same clip.
        decodes_per_step: decoder passes per candidate and step, where a step decodes
            (guidance by verifiers); a number, or a tuple of one per step.
        verifier_calls_per_step: calls of verifiers in a step, likewise.
        preview: ``(params, candidates) -> Media``, a cheaper decoder for clips on the
            way, which verifiers see where a search scores predictions; finished clips
            are never decoded by it. Its pass counts as a decode. None: clips on the
            way are decoded as finished ones are.
        with_image: ``(params, cond, image) -> cond``, a prompt whose clips begin with
            a picture: takes what ``encode`` or ``text`` gives, and ``[H, W, 3]`` float
            in [0, 1] of the clip's own height and width; gives what ``prepare``
            accepts. None: there is no such thing.
    """

    init: Callable[..., Candidates]
    step: Callable[..., Candidates]
    decode: Callable[..., Media]
    predict: Callable[..., PyTree]
    sigmas: tuple[PyTree, ...]
    nfe_per_step: int | tuple[int, ...] = 1
    fps: float = 24.0
    sample_rate: int = 16_000
    encode: Callable[[str], PyTree] | None = None
    prepare: Callable[[PyTree, PyTree], PyTree] | None = None
    text: Callable[[PyTree, PyTree], PyTree] | None = None
    text_part: str = ""
    rules: Rules | None = None
    drafts: tuple["Generator", ...] = ()
    flops_per_evaluation: float | None = None
    decodes_per_step: int | tuple[int, ...] = 0
    verifier_calls_per_step: int | tuple[int, ...] = 0
    preview: Callable[[PyTree, Candidates], Media] | None = None
    with_image: Callable[[PyTree, PyTree, Float[Array, "H W 3"]], PyTree] | None = None

    @property
    def num_steps(self) -> int:
        """Return the number of denoising steps."""
        return len(self.sigmas) - 1

    def evaluations(self, start: int = 0, stop: int | None = None) -> int:
        """Return the network evaluations of steps ``start .. stop - 1``."""
        return self._over_steps(self.nfe_per_step, start, stop)

    def looks(self, start: int = 0, stop: int | None = None) -> tuple[int, int]:
        """Return decoder passes and verifier calls of steps ``start .. stop - 1``."""
        each = self.decodes_per_step, self.verifier_calls_per_step
        decodes, calls = (self._over_steps(one, start, stop) for one in each)
        return decodes, calls

    def _over_steps(
        self, each: int | tuple[int, ...], start: int, stop: int | None
    ) -> int:
        stop = self.num_steps if stop is None else stop
        return each * (stop - start) if isinstance(each, int) else sum(each[start:stop])


class Refiner(NamedTuple):
    """A second stage: larger clips, begun from finished candidates of smaller ones.

    Attributes:
        start: ``(params, keys [N], candidates, cond) -> Candidates`` at
            ``generator.sigmas[0]``, from final candidates of the smaller generator;
            ``cond`` as the refining generator's ``prepare`` gives it.
        generator: of the larger clips, of the same rates and prompts. Its ``init``
            only tells shapes; its noise levels may begin below 1.
    """

    start: Callable[..., Candidates]
    generator: Generator


class SharedPass(NamedTuple):
    """One pass through a reward model that gives several rewards.

    Attributes:
        name: of the reward model, for messages.
        rewards: ``(params, media, cond) -> {output: [N]}``; NaN marks a failure.
        join: host function ``{output: cond} -> cond`` for rewards that are told
            different texts; None: all are told the same.
    """

    name: str
    rewards: Callable[..., dict[str, Scores]]
    join: Callable[[dict[str, PyTree]], PyTree] | None = None


class Verifier(NamedTuple):
    """A reward model as a pure function; higher is better.

    Attributes:
        name: the name used in tables, results and on the command line.
        score: ``(params, media, cond) -> [N]``; NaN marks a candidate as failed.
        encode: host function ``prompt -> cond`` (tokenizer); never traced.
        shared_pass: the pass that ``score`` reads ``output`` from. Verifiers with the
            same one must be given the same params and cond: a search then runs it once
            for all of them.
        output: which of the pass's rewards this is.
        rules: how the weights are split over a mesh, as those of `Generator`.
        range: lowest and highest value that a reward can take, infinities allowed; None
            where it is not known.
        prior: mean and standard deviation of its rewards, measured or published; None
            where they are not known.
        guides: False for one that only watches: its column is among the rewards of the
            output, but neither aggregated nor able to fail a candidate, and its calls
            are not counted.
    """

    name: str
    score: Callable[..., Scores]
    encode: Callable[[str], PyTree] | None = None
    shared_pass: SharedPass | None = None
    output: str = ""
    rules: Rules | None = None
    range: tuple[float, float] | None = None
    prior: tuple[float, float] | None = None
    guides: bool = True


class Params(NamedTuple):
    """Weights of one search: the generator's, and one tree per verifier, in order."""

    generator: PyTree
    verifiers: tuple[PyTree, ...]


class Cond(NamedTuple):
    """One encoded prompt: the generator's view of it, and each verifier's, in order."""

    generator: PyTree
    verifiers: tuple[PyTree, ...]


class Aggregator(NamedTuple):
    """Turns rewards of several verifiers into one score per candidate.

    A reward that is NaN or infinite marks its candidate failed: it is left out of all
    statistics and scored -inf.

    Attributes:
        init: ``(num_verifiers) -> state``.
        update: ``(rewards, state) -> (scores, state)``; learns, then scores. Rewards
            are ``[N, V]``, or ``[P, N, V]`` for the candidates of P prompts; scores
            have the same leading axes.
        score: ``(rewards, state) -> scores``; rescores without learning, likewise.
    """

    init: Callable[[int], PyTree]
    update: Callable[[Rewards, PyTree], tuple[Scores, PyTree]]
    score: Callable[[Rewards, PyTree], Scores]


class SearchOutput(NamedTuple):
    """What every search returns.

    Attributes:
        best: the chosen clip, without candidate axis: video ``[F, H, W, 3]``, audio
            ``[S]`` or ``[C, S]``. All zeros when every candidate failed.
        best_index: int32 index of the chosen candidate in ``scores``, the one with the
            highest, where what a verifier adds is measured from the most it adds to any
            so that no offset decides by rounding; -1 when every candidate failed.
        scores: ``[N]`` float32 aggregated scores, -inf for failed candidates.
        rewards: ``[N, V]`` float32 raw rewards as the verifiers gave them.
        failed: ``[N]`` True where a reward was NaN, infinite or an outlier; those of
            verifiers that only watch do not count.
        valid: ``[N]`` False for rows that were never drawn, where a search stopped
            early; their rewards are NaN, their scores -inf, and they are not failed.
        outliers: ``[V]`` int32, finite rewards per verifier that are too large to learn
            from (their square overflows float32); their candidates failed.
        aggregator_state: state after this search, the input of the next one.
        nfe: network evaluations spent (a guidance pair counts as 2), int32.
        decodes: decoder passes spent, one per candidate decoded or previewed, int32.
        verifier_calls: candidates scored, times the number of verifiers that guide,
            and what the generator's own steps call, int32.
        flops: float32 operations of the network evaluations, or None where the
            generator does not state them.
        latents: final ``Candidates``, or None unless asked for.
        media: the candidates' clips, or None unless asked for.
    """

    best: Media
    best_index: Int[Array, ""]
    scores: Scores
    rewards: Rewards
    failed: Bool[Array, " N"]
    valid: Bool[Array, " N"]
    outliers: Int[Array, " V"]
    aggregator_state: PyTree
    nfe: Int[Array, ""]
    decodes: Int[Array, ""]
    verifier_calls: Int[Array, ""]
    flops: Float[Array, ""] | None = None
    latents: Candidates | None = None
    media: Media | None = None


class RefineOutput(NamedTuple):
    """What `refine` returns of the K candidates that it takes on, best first.

    Attributes:
        best: the chosen clip, refined, without candidate axis. All zeros when every
            refined candidate failed: a clip of the smaller size cannot stand in.
        best_index: int32 number of the chosen candidate among all of the search; -1
            when every one failed.
        kept: ``[K]`` int32 numbers of those refined; -1 where fewer were usable.
        rewards_before: ``[K, V]`` what verifiers said of the smaller clips; NaN where
            there is none.
        rewards: ``[K, V]`` what they say of the refined ones; NaN likewise.
        scores_before: ``[K]`` scores in the search, -inf where there is none.
        scores: ``[K]`` float32 scores of the refined ones in the state that the search
            left, -inf for those that failed.
        failed: ``[K]`` True where a reward of a guide is NaN, infinite or an outlier,
            and where there is no candidate.
        nfe: network evaluations spent on refining, int32.
        decodes: decoder passes, int32.
        verifier_calls: candidates scored, times the number of guides, int32.
        flops: of the network evaluations, float32, or None where they are not stated.
        latents: final ``Candidates``, or None unless asked for.
        media: the refined clips, or None unless asked for.
    """

    best: Media
    best_index: Int[Array, ""]
    kept: Int[Array, " K"]
    rewards_before: Float[Array, "K V"]
    rewards: Float[Array, "K V"]
    scores_before: Float[Array, " K"]
    scores: Float[Array, " K"]
    failed: Bool[Array, " K"]
    nfe: Int[Array, ""]
    decodes: Int[Array, ""]
    verifier_calls: Int[Array, ""]
    flops: Float[Array, ""] | None = None
    latents: Candidates | None = None
    media: Media | None = None


PER_CANDIDATE = ("scores", "rewards", "failed", "valid", "latents", "media")
"""Fields of a search's output whose arrays have the candidate axis."""
