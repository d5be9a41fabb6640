"""Decoded sound on one line that keeps to its timestamps."""

from typing import Any

import numpy as np

_MAX_SAMPLES = 48_000 * 64  # a second, of all channels together
_JITTER = 0.005  # seconds by which timestamps may differ from the samples before them


class SoundLine:
    """Sound from one moment to another; FFmpeg's resampler fills and trims it.

    What lies outside is left out before the resampler sees it, so that no timestamp
    can ask for more silence than there is time.
    """

    def __init__(self, start: float, end: float) -> None:
        """Begin a line.

        Args:
            start: where it begins, seconds.
            end: where it ends at the latest, seconds.
        """
        self.rate, self.layout = 0, ""
        self.offset = 0.0  # of the first sample from the start, seconds
        self.cut = False  # whether there is sound beyond the end
        self.end = end
        self._start, self._next = start, start
        self._format: tuple[Any, ...] = ()
        self._graph: Any = None
        self._pieces: list[np.ndarray] = []

    def add(self, frame: Any) -> None:
        """Put a decoded frame where its timestamp says; without one, after the last.

        Raises:
            ValueError: rate or channels changed, or are too many.
        """
        first = not self._format
        self._check(frame)
        begin = self._next if frame.time is None else frame.time
        self._next = begin + frame.samples / frame.sample_rate
        if first:
            self.offset = begin - self._start
        if begin >= self.end:
            self.cut = True
        elif self._next > self._start:
            if self._graph is None:
                self._graph = self._new_graph(frame)
            self._graph.push(frame)
            self._pull()

    def samples(self) -> np.ndarray:
        """Return ``[C, S]`` float32 from the start; nothing more can come.

        There is no channel where there was no sound between start and end.
        """
        if self._graph is None:
            return np.zeros((0, 0), np.float32)
        self._graph.push(None)
        self._pull()
        return np.concatenate(self._pieces, axis=1)

    def _check(self, frame: Any) -> None:
        if not 0 < frame.sample_rate * frame.layout.nb_channels <= _MAX_SAMPLES:
            raise ValueError(
                f"has sound of {frame.sample_rate} Hz in {frame.layout.nb_channels} "
                f"channels; {_MAX_SAMPLES} samples a second are accepted"
            )
        found = frame.sample_rate, frame.layout.name, frame.format.name
        if self._format not in ((), found):
            raise ValueError("changes its sample rate or channels midway")
        self._format = found
        self.rate, self.layout, _ = found

    def _new_graph(self, frame: Any) -> Any:
        from av.filter import Graph

        first = round(self._start * self.rate)
        graph = Graph()
        graph.link_nodes(
            graph.add_abuffer(
                sample_rate=self.rate,
                format=frame.format.name,
                layout=self.layout,
                time_base=frame.time_base,
            ),
            graph.add(
                "aresample",
                f"async=1:min_hard_comp={_JITTER}:first_pts={first}:osf=fltp",
            ),
            graph.add("abuffersink"),
        ).configure()
        return graph

    def _pull(self) -> None:
        import av

        while True:
            try:
                self._pieces.append(self._graph.pull().to_ndarray())
            except (av.BlockingIOError, av.EOFError):
                return
