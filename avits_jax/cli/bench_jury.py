"""Everything that measures a benchmark's clips, loaded once."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from avits_jax.bench.clip_files import ClipFile
from avits_jax.bench.columns import columns_of
from avits_jax.bench.evaluation import EvaluatedClip
from avits_jax.bench.measures import NETWORKS, TEXT, Measure, Network, measures_of
from avits_jax.bench.protocol import RANDOM
from avits_jax.catalogue.names import TINY
from avits_jax.catalogue.resolve import (
    Resolution,
    Resolved,
    resolve_network,
    resolve_verifier,
)
from avits_jax.catalogue.verifiers import family_of
from avits_jax.cli import memory
from avits_jax.cli.bench_networks import NetworkView, ReadClip
from avits_jax.cli.errors import CliError, as_cli_error
from avits_jax.cli.options import BenchOptions, ModelOptions
from avits_jax.cli.views import OwnView
from avits_jax.media import Clip, read_clip
from avits_jax.metrics.bench_sound import read_bench_sound

_NO_NUMBER = "gave no finite number"
Cells = Mapping[str, str]


class _Found(NamedTuple):
    """What is known of a clip, filled bit by bit; see `EvaluatedClip`."""

    scores: dict[str, float]
    failed: dict[str, str]
    features: dict[str, np.ndarray]


class BenchJury:
    """The verifiers and networks of all columns that are asked for and can be had.

    Attributes:
        columns: keys of the columns that verifiers or networks give, or whose features
            networks give.
        features: names of those.
        left_out: column -> why it is not measured.
        checkpoints: what measures -> digest of its weights, `RANDOM` if drawn.
        seconds: what measures -> seconds that it took.
    """

    def __init__(self, options: BenchOptions) -> None:
        """Find the weights, and load those of networks.

        Args:
            options: benchmark, mode, which columns, which weights.

        Raises:
            CliError: nothing can be measured, or weights are damaged or too large.
        """
        self._options = options
        self.left_out: dict[str, str] = {}
        self.checkpoints: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        wanted = _wanted(options)
        self._measures = self._find_verifiers(wanted)
        self._views = self._group()
        self._networks = self._find_networks(wanted)
        columns = columns_of(options.benchmark)
        found = [name for view in self._networks for name in view.gives]
        self.features = tuple(name for name in found if name not in columns)
        given = {*found, *(measure.column for measure, _ in self._measures)}
        self.columns = tuple(
            key
            for key, column in columns.items()
            if key in wanted and given.issuperset(column.features or (key,))
        )
        if not self.columns:
            reasons = "; ".join(dict.fromkeys(self.left_out.values()))
            raise CliError(f"no column can be measured: {reasons}")

    def judge(
        self, files: Sequence[ClipFile], cells: Sequence[Cells]
    ) -> list[EvaluatedClip]:
        """Read clips and measure them; what is broken is in the result.

        Args:
            files: of some rows.
            cells: of the prompts' table, likewise.
        """
        with self._timed("reading"):
            reads = [_read(file) for file in files]
        whole = {n: r for n, r in enumerate(reads) if isinstance(r, ReadClip)}
        found = {n: _Found({}, {}, {}) for n in whole}
        for group in _alike(whole):
            clips = [whole[n] for n in group]
            told = [cells[n] for n in group]
            scored = self._score(clips, told)
            for n, read, (scores, failed) in zip(group, clips, scored, strict=True):
                found[n].scores.update(scores)
                found[n].failed.update(failed)
                self._look(read, found[n])
        return [
            EvaluatedClip(file.row, *found[n])
            if n in found
            else EvaluatedClip(file.row, fault=str(reads[n]))
            for n, file in enumerate(files)
        ]

    def _find_verifiers(
        self, wanted: frozenset[str]
    ) -> list[tuple[Measure, tuple[Resolved, ...]]]:
        found = []
        for measure in measures_of(self._options.benchmark, self._options.mode):
            if measure.column not in wanted:
                continue
            try:
                resolved = tuple(self._resolve(name) for name in measure.verifiers)
            except ValueError as error:
                self.left_out[measure.column] = str(error)
                continue
            found.append((measure, resolved))
            for each in resolved:
                self._note(each)
        return found

    def _note(self, resolved: Resolved) -> None:
        """Keep what tells the weights of a part from others."""
        drawn = resolved.drawn
        self.checkpoints[resolved.name] = RANDOM if drawn else resolved.digest

    def _resolve(self, name: str) -> Resolved:
        plain, colon, mode = name.partition(":")
        if self._options.tiny and family_of(plain).checkpoint:
            name = f"{plain}@{TINY}{colon}{mode}"
        return resolve_verifier(name, self._options.random_weights)

    def _group(self) -> dict[tuple[str, float | None], OwnView]:
        """Return a view for each reward model and how much of a clip it sees."""
        settings = ModelOptions(
            dtype=self._options.dtype, random_weights=self._options.random_weights
        )
        networks: dict[Any, Any] = {}
        groups: dict[tuple[str, float | None], list[Resolved]] = {}
        for measure, resolved in self._measures:
            model = family_of(measure.verifiers[0].partition(":")[0]).module
            groups.setdefault((model, measure.seconds), []).extend(resolved)
        everyone = tuple(each for group in groups.values() for each in group)
        if everyone:
            memory.check_weights(Resolution(None, everyone), self._options.dtype)
        return {
            key: OwnView(settings, tuple(resolved), networks)
            for key, resolved in groups.items()
        }

    def _find_networks(self, wanted: frozenset[str]) -> list[NetworkView]:
        found = []
        for network in NETWORKS[self._options.benchmark]:
            columns = _columns_of(self._options.benchmark, network) & wanted
            if not columns:
                continue
            tiny, random = self._options.tiny, self._options.random_weights
            try:
                resolved = resolve_network(network.name, random, tiny)
            except ValueError as error:
                self.left_out |= dict.fromkeys(sorted(columns), str(error))
                continue
            with as_cli_error():
                view = NetworkView(resolved, network.gives, self._options.mode)
            found.append(view)
            self._note(resolved)
        return found

    def _score(
        self, reads: Sequence[ReadClip], cells: Sequence[Cells]
    ) -> list[tuple[dict[str, float], dict[str, str]]]:
        """Return the columns of verifiers, for clips of one size and rate."""
        rewards: list[dict[str, float]] = [{} for _ in reads]
        reasons: list[dict[str, str]] = [{} for _ in reads]
        for (model, seconds), view in self._views.items():
            clips = [_cut(read.clip, seconds) for read in reads]
            with self._timed(model):
                found = view.score_all(clips, [self._told(told) for told in cells])
            for n, scores in enumerate(found):
                rewards[n] |= scores.rewards
                reasons[n] |= scores.reasons
        return [
            self._columns(own, why) for own, why in zip(rewards, reasons, strict=True)
        ]

    def _told(self, cells: Cells) -> dict[str, str]:
        """Return the text that each verifier is told of a clip."""
        return {
            each.name: cells.get(measure.text) or cells.get(TEXT, "")
            for measure, resolved in self._measures
            for each in resolved
        }

    def _columns(
        self, rewards: Mapping[str, float], reasons: Mapping[str, str]
    ) -> tuple[dict[str, float], dict[str, str]]:
        scores, failed = {}, {}
        for measure, resolved in self._measures:
            names = [each.name for each in resolved]
            value = measure.sign * float(np.mean([rewards[name] for name in names]))
            if math.isfinite(value):
                scores[measure.column] = value
            else:
                why = [reasons[name] for name in names if name in reasons]
                failed[measure.column] = why[0] if why else _NO_NUMBER
        return scores, failed

    def _look(self, read: ReadClip, found: "_Found") -> None:
        """Add what networks find."""
        columns = columns_of(self._options.benchmark)
        for view in self._networks:
            try:
                with self._timed(view.name):
                    given = view.find(read)
            except ValueError as error:
                found.failed.update(dict.fromkeys(view.gives, str(error)))
                continue
            for name, value in given.items():
                if not np.isfinite(value).all():
                    found.failed[name] = _NO_NUMBER
                elif name in columns:
                    found.scores[name] = float(value)
                else:
                    found.features[name] = value

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - started
            self.seconds[what] = self.seconds.get(what, 0.0) + passed


def _wanted(options: BenchOptions) -> frozenset[str]:
    return frozenset(options.columns or columns_of(options.benchmark))


def _columns_of(benchmark: str, network: Network) -> frozenset[str]:
    """Return the columns that a network's features, or itself, go into."""
    given = set(network.gives)
    return frozenset(
        key
        for key, column in columns_of(benchmark).items()
        if key in given or given & set(column.features)
    )


def _read(file: ClipFile) -> ReadClip | str:
    """Read a clip, its sound from beside it where that is; or say why not."""
    if file.video is None or file.sound is None:
        return "there is no clip"
    try:
        clip = read_clip(file.video, max_seconds=None, needs_sound=False)
        if file.sound != file.video:
            rate = _rate_of(file)
            sound = read_bench_sound(file.sound, rate)
            clip = clip._replace(audio=sound[None], sample_rate=rate, layout="mono")
    except (OSError, ValueError) as error:
        return str(error)
    return ReadClip(clip, file.sound)


def _rate_of(file: ClipFile) -> int:
    import av

    try:
        with av.open(file.sound) as opened:
            return int(opened.streams.audio[0].rate)
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"sound file {file.sound} cannot be read: {error}") from error


def _cut(clip: Clip, seconds: float | None) -> Clip:
    if seconds is None:
        return clip
    frames, samples = round(seconds * clip.fps), round(seconds * clip.sample_rate)
    return clip._replace(
        video=clip.video[: max(frames, 1)], audio=clip.audio[:, : max(samples, 1)]
    )


def _alike(reads: Mapping[int, ReadClip]) -> list[list[int]]:
    """Return the places of clips of one size, length and rates, together."""
    groups: dict[Any, list[int]] = {}
    for place, read in reads.items():
        clip = read.clip
        key = clip.video.shape, clip.audio.shape, clip.fps, clip.sample_rate
        groups.setdefault(key, []).append(place)
    return list(groups.values())
