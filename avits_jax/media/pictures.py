"""Decoded pictures as upright RGB with square pixels, at the size that is kept."""

import math
from typing import Any, NamedTuple

import numpy as np

_ASPECTS = (1 / 8, 8)  # width of a pixel by its height that can be meant
_ALIGNMENT = 64  # bytes


class Shape(NamedTuple):
    """How the pictures of a clip are drawn.

    Attributes:
        width: of the picture as it is coded, once its pixels are square.
        height: of the picture as it is coded.
        matrix: two by two, what turns or mirrors it for showing.
    """

    width: int
    height: int
    matrix: tuple[int, int, int, int] = (1, 0, 0, 1)

    def shown(self) -> tuple[int, int]:
        """Return width and height as shown."""
        size = self.width, self.height
        return size[::-1] if self._turned() else size

    def scaled(self, most: float) -> "Shape":
        """Return a shape of the same aspect with at most ``most`` pixels."""
        factor = min(1.0, math.sqrt(most / (self.width * self.height)))
        width, height = (max(1, int(x * factor)) for x in self[:2])
        return self._replace(width=width, height=height)

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Return ``[h, w, 3]`` as it is shown."""
        across, down = self.matrix[0], self.matrix[3]
        if self._turned():
            pixels, across, down = pixels.swapaxes(0, 1), self.matrix[2], self.matrix[1]
        return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]

    def _turned(self) -> bool:
        return abs(self.matrix[1]) > abs(self.matrix[0])


def shape_of(frame: Any, stream: Any) -> Shape:
    """Return the shape of a clip whose first picture is ``frame``.

    Raises:
        ValueError: pixels are too far from square to be meant.
    """
    aspect = float(stream.sample_aspect_ratio or 1)
    if not _ASPECTS[0] <= aspect <= _ASPECTS[1]:
        raise ValueError(
            f"says that its pixels are {aspect:.3g} times as wide as high; 1/8 to 8 "
            "are accepted"
        )
    width = max(1, round(frame.width * aspect))
    return Shape(width, frame.height, _matrix(frame))


def _matrix(frame: Any) -> tuple[int, int, int, int]:
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # of EXIF, beside which PyAV tells of nothing but the angle
        angle = math.radians(frame.rotation)
        a, b = round(math.cos(angle)), -round(math.sin(angle))
        return a, b, -b, a
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(data, np.int32).tolist()
    return a, b, c, d


class Strip:
    """The pictures of a clip, scaled and laid in place as they are decoded."""

    def __init__(self, shape: Shape, picks: np.ndarray) -> None:
        """Make room.

        Args:
            shape: of the pictures.
            picks: ``[F]``, which decoded picture each frame shows, rising.
        """
        self._shape, self._picks = shape, picks
        self._room = _aligned(len(picks), *shape.shown()[::-1], 3)
        self._seen = self._filled = 0
        self._source: tuple[Any, ...] = ()
        self._graph: Any = None

    @property
    def full(self) -> bool:
        """Tell whether all frames are there."""
        return self._filled == len(self._picks)

    def add(self, frame: Any) -> None:
        """Take the next decoded picture; one that no frame shows is not converted."""
        begin = self._filled
        self._filled = int(np.searchsorted(self._picks, self._seen, side="right"))
        self._seen += 1
        if self._filled > begin:
            self._room[begin : self._filled] = self._rgb(frame)

    def pictures(self) -> np.ndarray:
        """Return ``[F, H, W, 3]`` uint8; the last one stands for any that are missing.

        Raises:
            ValueError: there is none.
        """
        if not self._filled:
            raise ValueError("has no frames that can be decoded")
        self._room[self._filled :] = self._room[self._filled - 1]
        return self._room

    def _rgb(self, frame: Any) -> np.ndarray:
        source = frame.width, frame.height, frame.format.name
        if source != self._source:
            self._source, self._graph = source, self._new_graph(frame)
        self._graph.push(frame)
        return self._shape.upright(self._graph.pull().to_ndarray())

    def _new_graph(self, frame: Any) -> Any:
        """Return FFmpeg's scaler, which heeds what a frame says of its colours."""
        from av.filter import Graph

        width, height, _ = self._shape
        # Averages over areas cannot alias.
        smaller = width * height < frame.width * frame.height
        flags = f"{'area' if smaller else 'bicubic'}+accurate_rnd+full_chroma_int"
        graph = Graph()
        graph.link_nodes(
            graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format.name,
                time_base=frame.time_base,
            ),
            graph.add("scale", f"{width}:{height}:flags={flags}"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ).configure()
        return graph


def _aligned(*shape: int) -> np.ndarray:
    """Return room at a 64-byte boundary, which JAX takes on a CPU without a copy."""
    size = math.prod(shape)
    room = np.empty(size + _ALIGNMENT, np.uint8)
    begin = -room.ctypes.data % _ALIGNMENT
    return room[begin : begin + size].reshape(shape)
