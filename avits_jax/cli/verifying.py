"""Score one clip or many, and say what came of it."""

import math
from collections.abc import Sequence
from pathlib import Path

from avits_jax.catalogue.generators import Family
from avits_jax.catalogue.resolve import Resolution, Resolved
from avits_jax.catalogue.verifiers import MINI
from avits_jax.cli import backend, judgements, memory, program, table
from avits_jax.cli.checks import check_prompt
from avits_jax.cli.clips import Asked, Item
from avits_jax.cli.errors import FAILED, SOME_FAILED, CliError, as_cli_error
from avits_jax.cli.judgements import NOT_FINITE, Judgement
from avits_jax.cli.labels import tell_labels
from avits_jax.cli.options import ClipOptions, ModelOptions, VerifyOptions
from avits_jax.cli.progress import stage
from avits_jax.cli.run_progress import note
from avits_jax.cli.views import FittedView, OwnView, Scores
from avits_jax.media import Clip, read_clip

_SLACK = 1.0  # seconds read beyond what a fitted view looks at


class Jury:
    """All verifiers that were asked for, each with its own view of a clip."""

    def __init__(
        self,
        options: ClipOptions,
        verifiers: tuple[str, ...],
        families: Sequence[Family],
    ) -> None:
        """Check names and weights, and load what can be before a clip is read.

        Args:
            options: of the command.
            verifiers: their names.
            families: the table of generators.

        Raises:
            CliError: something is unknown, missing, or too large.
        """
        draw = options.random_weights
        found = backend.resolve_names("", verifiers, draw).verifiers
        own = tuple(each for each in found if _takes_any_clip(each))
        fitted = tuple(each.name for each in found if each not in own)
        watched = Resolution(None, own)
        settings = ModelOptions(
            model=options.model, dtype=options.dtype, random_weights=draw
        )
        self.names, self._max_seconds = verifiers, options.max_seconds
        self.random, self.notices = watched.drawn, watched.notices
        self.fitted = bool(fitted)
        self.checkpoints = tuple(f"{each.name} {each.digest}" for each in found)
        self._own, self._fitted = None, None
        if fitted:
            names = backend.resolve_names(options.model, fitted, draw, families)
            self._fitted = FittedView(settings, names)
        if own:
            memory.check_weights(watched, options.dtype)
            self._own = OwnView(settings, own)

    def check_prompt(self, prompt: str) -> None:
        """Raise CliError if the model of a fitted view does not understand a prompt."""
        if self._fitted is not None:
            self._fitted.seconds(prompt)

    def judge(self, item: Item) -> Judgement:
        """Score a clip; what goes wrong is in the judgement.

        Raises:
            CliError: nothing can be scored: the clip cannot be read, or the prompt is
                none.
        """
        check_prompt(item.prompt)
        clip = self._read(item)
        found = []
        if self._own is not None:
            found.append(self._own.score(clip, item.prompt))
        if self._fitted is not None:
            found.append(self._fit_and_score(self._fitted, clip, item.prompt))
        return _judgement(item, self.names, found)

    def _fit_and_score(self, view: FittedView, clip: Clip, prompt: str) -> Scores:
        try:
            return view.score(clip, prompt)
        except CliError as error:
            if self._own is None:
                raise
            # What the others say of the clip is worth having.
            nothing = dict.fromkeys(view.names, math.nan)
            return Scores(nothing, dict.fromkeys(view.names, str(error)), [])

    def _read(self, item: Item) -> Clip:
        seconds = self._max_seconds
        if self._own is None and self._fitted is not None:
            # Little more than is judged: a long clip would fill the memory.
            seconds = min(seconds, self._fitted.seconds(item.prompt) + _SLACK)
        try:
            with as_cli_error():
                return read_clip(item.clip, max_seconds=seconds, needs_sound=False)
        except MemoryError as error:
            raise CliError(
                f"clip {item.clip} is too large for the memory; read less of it with "
                "--max-seconds",
                FAILED,
            ) from error


def verify(options: VerifyOptions, asked: Asked, families: Sequence[Family]) -> int:
    """Score everything that was asked for; return the exit status.

    Raises:
        CliError: bad input; for a single clip, too, that it has not all its scores.
    """
    if asked.single:
        _check_single(asked.items[0])
    program.use_compilation_cache(options.compilation_cache)
    jury = Jury(options, options.verifiers, families)
    tell_labels(jury.random, jury.notices)
    if asked.single:
        found = [jury.judge(asked.items[0])]
    else:
        found = _judge_all(jury, asked.items)
    if options.out is not None:
        judgements.write(Path(options.out), found, jury.random)
    if asked.single:
        return _tell_one(options, found[0], jury.random)
    return _tell_many(options, found, jury.random)


def _check_single(item: Item) -> None:
    check_prompt(item.prompt)
    if not item.clip.is_file():
        raise CliError(f"clip {item.clip} does not exist")


def _judge_all(jury: Jury, items: Sequence[Item]) -> list[Judgement]:
    found = []
    with stage("Scoring clips", "Scored", len(items)) as current:
        for item in items:
            try:
                found.append(jury.judge(item))
            except CliError as error:
                nothing = dict.fromkeys(jury.names)
                reasons = {"": str(error)}
                found.append(Judgement(str(item.clip), item.prompt, nothing, reasons))
            current.advance(1)
    return found


def _judgement(
    item: Item, names: tuple[str, ...], found: Sequence[Scores]
) -> Judgement:
    rewards: dict[str, float] = {}
    reasons: dict[str, str] = {}
    notes: list[str] = []
    for scores in found:
        rewards |= scores.rewards
        reasons |= scores.reasons
        notes += scores.notes
    finite = {n: rewards[n] if math.isfinite(rewards[n]) else None for n in names}
    why = {n: reasons.get(n, NOT_FINITE) for n in names if finite[n] is None}
    said = tuple(dict.fromkeys(notes))
    return Judgement(str(item.clip), item.prompt, finite, why, said)


def _tell_one(
    options: VerifyOptions, judgement: Judgement, random: Sequence[str]
) -> int:
    if options.json:
        judgements.print_json(judgements.as_entry(judgement, random))
    else:
        table.print_rewards(judgement.rewards)
        for text in judgement.notes:
            print(f"changed to fit: {text}")
    if judgement.reason:
        raise CliError(judgement.reason, FAILED)
    return 0


def _tell_many(
    options: VerifyOptions, found: Sequence[Judgement], random: Sequence[str]
) -> int:
    if options.json:
        judgements.print_json(
            [judgements.as_entry(judgement, random) for judgement in found]
        )
    else:
        table.print_judgements(found)
    whole = sum(judgement.whole for judgement in found)
    failed = len(found) - whole
    note(f"{len(found)} clips: {whole} scored, {failed} with scores missing")
    if not failed:
        return 0
    return FAILED if all(judgement.empty for judgement in found) else SOME_FAILED


def _takes_any_clip(verifier: Resolved) -> bool:
    """Tell whether a verifier sees clips as they are: all but mini's do."""
    return verifier.request.name not in MINI
