"""Dense optical flow by polynomial expansion (Farneback, SCIA 2003), in-graph.

Follows OpenCV's ``calcOpticalFlowFarneback`` with its box window (``flags=0``): each
frame is approximated around every pixel by a quadratic; a shift between two frames
changes its linear part, so shifts are solved for, averaged over a window, and refined
from coarse to fine.

Upstream: opencv/opencv, modules/video/src/optflowgf.cpp.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num

from avits_jax.nn.resize import resize

_SMALLEST = 32  # pixels; OpenCV adds no pyramid level with a shorter side
_RIDGE = 1e-3  # keeps flat regions solvable
# OpenCV trusts the five outermost pixels less.
_BORDER = np.array([0.14, 0.14, 0.4472, 0.4472, 0.4472])


@dataclass(frozen=True)
class FlowConfig:
    """OpenCV's parameters; the defaults are AV-Align's.

    Attributes:
        pyr_scale: size of a pyramid level relative to the one below, below 1.
        levels: most levels above the full size.
        winsize: side of the averaging window in pixels.
        iterations: refinements per level.
        poly_n: reach of the polynomial expansion, pixels to each side.
        poly_sigma: standard deviation of its Gaussian weight in pixels.
    """

    pyr_scale: float = 0.5
    levels: int = 3
    winsize: int = 15
    iterations: int = 3
    poly_n: int = 5
    poly_sigma: float = 1.2


AV_ALIGN_FLOW = FlowConfig()


def _slide(
    x: Float[Array, "*B H W"], taps: np.ndarray, axis: int, mode: str
) -> Float[Array, "*B H W"]:
    """Correlate along an axis with an odd number of taps; ``mode`` pads the ends."""
    reach, length = len(taps) // 2, x.shape[axis]
    pad = [(0, 0)] * x.ndim
    pad[axis] = (reach, reach)
    padded = jnp.pad(x, pad, mode=mode)
    total = jnp.zeros_like(x)
    for start, tap in enumerate(taps):
        part = jax.lax.slice_in_dim(padded, start, start + length, axis=axis)
        total = total + float(tap) * part
    return total


def _blur(gray: Float[Array, "H W"], scale: float) -> Float[Array, "H W"]:
    """Apply OpenCV's Gaussian blur before a frame is shrunk by ``scale``."""
    sigma = (1 / scale - 1) * 0.5
    size = max(round(sigma * 5) | 1, 3)
    if sigma == 0:
        taps = np.array([0.25, 0.5, 0.25])
    else:
        taps = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
        taps = taps / taps.sum()
    return _slide(_slide(gray, taps, -2, "reflect"), taps, -1, "reflect")


def _expand(image: Float[Array, "H W"], config: FlowConfig) -> Float[Array, "5 H W"]:
    """Fit a quadratic around every pixel: coefficients of y, x, y^2, x^2 and x y."""
    reach = config.poly_n
    x = np.arange(-reach, reach + 1)
    weight = np.exp(-(x**2) / (2 * config.poly_sigma**2))
    weight = weight / weight.sum()
    basis = np.stack([weight, x * weight, x * x * weight])
    down = [_slide(image, taps, -2, "edge") for taps in basis]

    def moment(dy: int, dx: int) -> Float[Array, "H W"]:
        return _slide(down[dy], basis[dx], -1, "edge")

    # Normal equations of the weighted fit; only these moments are not zero.
    second, fourth = (weight * x**2).sum(), (weight * x**4).sum()
    gram = np.array(
        [
            [1, second, second],
            [second, fourth, second**2],
            [second, second**2, fourth],
        ]
    )
    inverse = np.linalg.inv(gram)
    mean = float(inverse[0, 1]) * moment(0, 0)
    curve = float(inverse[1, 1])
    return jnp.stack(
        [
            moment(1, 0) / float(second),
            moment(0, 1) / float(second),
            mean + curve * moment(2, 0),
            mean + curve * moment(0, 2),
            moment(1, 1) / float(second**2),
        ]
    )


def _scales(height: int, width: int, config: FlowConfig) -> tuple[float, ...]:
    """Return the scales of the pyramid, coarsest first."""
    scales = [1.0]
    for _ in range(config.levels):
        scale = scales[0] * config.pyr_scale
        if min(height * scale, width * scale) < _SMALLEST:
            break
        scales.insert(0, scale)
    return tuple(scales)


def pyramid(
    gray: Float[Array, "H W"], config: FlowConfig
) -> tuple[Float[Array, "5 _ _"], ...]:
    """Return one frame's quadratics at every scale, coarsest first.

    Args:
        gray: grey levels in [0, 255].
        config: parameters of the method.
    """
    height, width = gray.shape
    levels = []
    for scale in _scales(height, width, config):
        size = (round(height * scale), round(width * scale))
        small = resize(_blur(gray, scale)[..., None], size)[..., 0]
        levels.append(_expand(small, config))
    return tuple(levels)


def _trust(height: int, width: int) -> Float[np.ndarray, "H W"]:
    """Return the weight of every pixel, lower near the border."""

    def along(length: int) -> np.ndarray:
        weight = np.ones(length)
        count = min(len(_BORDER), length)
        weight[:count] *= _BORDER[:count]
        weight[length - count :] *= _BORDER[:count][::-1]
        return weight

    return (along(height)[:, None] * along(width)).astype(np.float32)


def _look_up(
    field: Float[Array, "5 H W"], flow: Float[Array, "2 H W"]
) -> tuple[Float[Array, "5 H W"], Bool[Array, "H W"]]:
    """Interpolate ``field`` where ``flow`` (x, y) points; say what lies inside."""
    height, width = field.shape[1:]
    x = jnp.arange(width) + flow[0]
    y = jnp.arange(height)[:, None] + flow[1]
    left, top = jnp.floor(x), jnp.floor(y)
    inside = (left >= 0) & (left < width - 1) & (top >= 0) & (top < height - 1)
    right_part, low_part = x - left, y - top
    column = jnp.where(inside, left, 0).astype(jnp.int32)
    row = jnp.where(inside, top, 0).astype(jnp.int32)
    upper = (1 - right_part) * field[:, row, column]
    upper = upper + right_part * field[:, row, column + 1]
    lower = (1 - right_part) * field[:, row + 1, column]
    lower = lower + right_part * field[:, row + 1, column + 1]
    return (1 - low_part) * upper + low_part * lower, inside


def _equations(
    first: Float[Array, "5 H W"],
    second: Float[Array, "5 H W"],
    flow: Float[Array, "2 H W"],
) -> Float[Array, "5 H W"]:
    """Return per pixel the symmetric 2x2 system (3 numbers) and right side (2)."""
    moved, inside = _look_up(second, flow)
    linear_y, linear_x = (
        0.5 * (first[i] - jnp.where(inside, moved[i], 0.0)) for i in (0, 1)
    )
    yy, xx, xy = (
        jnp.where(inside, 0.5 * (first[i] + moved[i]), first[i]) for i in (2, 3, 4)
    )
    xy = 0.5 * xy
    trust = _trust(*flow.shape[1:])
    linear_y = (linear_y + yy * flow[1] + xy * flow[0]) * trust
    linear_x = (linear_x + xy * flow[1] + xx * flow[0]) * trust
    yy, xx, xy = yy * trust, xx * trust, xy * trust
    return jnp.stack(
        [
            yy * yy + xy * xy,
            (yy + xx) * xy,
            xx * xx + xy * xy,
            yy * linear_y + xy * linear_x,
            xy * linear_y + xx * linear_x,
        ]
    )


def _solve(equations: Float[Array, "5 H W"], winsize: int) -> Float[Array, "2 H W"]:
    """Solve for the flow (x, y) of equations averaged over a box window."""
    side = winsize // 2 * 2 + 1
    box = np.full(side, 1 / winsize)
    means = _slide(_slide(equations, box, -2, "edge"), box, -1, "edge")
    yy, xy, xx, right_y, right_x = means
    determinant = yy * xx - xy * xy + _RIDGE
    return jnp.stack([yy * right_x - xy * right_y, xx * right_y - xy * right_x]) / (
        determinant
    )


def flow_between(
    first: Sequence[Float[Array, "5 _ _"]],
    second: Sequence[Float[Array, "5 _ _"]],
    config: FlowConfig,
) -> Float[Array, "H W 2"]:
    """Return the motion (x right, y down) in pixels between two frames' pyramids."""
    flow = jnp.zeros((2, *first[0].shape[1:]))
    for one, two in zip(first, second, strict=True):
        if flow.shape[1:] != one.shape[1:]:
            size = (one.shape[1], one.shape[2])
            flow = resize(flow[..., None], size)[..., 0] / config.pyr_scale

        def refine(_, flow, one=one, two=two):
            return _solve(_equations(one, two, flow), config.winsize)

        flow = jax.lax.fori_loop(0, config.iterations, refine, flow)
    return jnp.moveaxis(flow, 0, -1)


def mean_motion(
    gray: Num[Array, "F H W"], config: FlowConfig = AV_ALIGN_FLOW
) -> Float[Array, " F"]:
    """Return the flow's mean length up to every frame, in pixels per frame.

    The first frame has no predecessor and takes the second's value. Frames are scanned,
    so that memory holds one pair at a time and no frame is expanded twice.

    Args:
        gray: grey levels in [0, 255], floats or bytes.
        config: parameters of the method.

    Raises:
        ValueError: if there are fewer than two frames.
    """
    if len(gray) < 2:
        raise ValueError(f"gray must hold at least 2 frames, got {len(gray)}")

    def expand(index):
        return pyramid(gray[index].astype(jnp.float32), config)

    def step(previous, index):
        current = expand(index)
        flow = flow_between(previous, current, config)
        return current, jnp.mean(jnp.linalg.norm(flow, axis=-1))

    # By index: the frames but the first, as the loop's input, would be copied.
    rest = jnp.arange(1, len(gray))
    _, motion = jax.lax.scan(step, expand(0), rest)
    return jnp.concatenate([motion[:1], motion])
