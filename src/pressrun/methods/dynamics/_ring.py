"""A contact zone on a ring: its profile and the derivatives by centre and width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def bump(angles: Floats, center: Floats, width: Floats, edge: float) -> tuple[Floats, Floats, Floats]:
    """½ [tanh((φ + w/2) / s) - tanh((φ - w/2) / s)] with φ the angle from the centre, and its derivatives by centre and width.

    Summed over the images of φ one turn away, so that it is smooth all round; then it is 1 everywhere at a width of 2π.

    Args:
        angles: (sites,), radians.
        center: broadcasts with the angles.
        width: broadcasts with the angles, 0 to 2π.
        edge: softness s of the edges, radians.
    """
    distance = np.pi - np.mod(np.pi - (angles - center), 2 * np.pi)
    shape = np.broadcast_shapes(distance.shape, np.shape(width))
    height, by_center, by_width = (np.zeros(shape) for _ in range(3))
    for turn in (-2 * np.pi, 0.0, 2 * np.pi):
        rise, fall = np.tanh((distance + turn + width / 2) / edge), np.tanh((distance + turn - width / 2) / edge)
        height += (rise - fall) / 2
        by_center += (rise**2 - fall**2) / (2 * edge)
        by_width += (2 - rise**2 - fall**2) / (4 * edge)
    return height, by_center, by_width


def best_window(gain: Floats) -> tuple[Floats, Floats, Floats]:
    """The run of neighbouring segments of a ring with the largest sum of gains, neither empty nor all of them.

    Args:
        gain: (cells, segments), segments of equal width from -π on.

    Returns:
        The sum, the centre and the width of the run, (cells,) each, in radians.
    """
    cells, segments = gain.shape
    total = np.concatenate([np.zeros((cells, 1)), np.cumsum(gain, axis=1)], axis=1)
    row = np.arange(cells)
    # A run ends at the boundary `stop` and began at the lowest (of a run across ±π: at the highest) sum before it.
    lowest, highest = _argmin_so_far(total[:, :-1]), _argmin_so_far(-total[:, 1:-1])
    inside = np.take_along_axis(total, lowest, 1)
    straight = total[:, 1:] - inside
    straight[:, -1] = np.where(lowest[:, -1] == 0, -np.inf, straight[:, -1])
    around = total[:, -1:] - (total[:, 2:] - np.take_along_axis(total[:, 1:-1], highest, 1))
    end, turn = straight.argmax(axis=1), around.argmax(axis=1)
    wraps = around[row, turn] > straight[row, end]
    start = np.where(wraps, turn + 2, lowest[row, end]).astype(np.float64)
    stop = np.where(wraps, highest[row, turn] + 1 + segments, end + 1).astype(np.float64)
    step = 2 * np.pi / segments
    center = -np.pi + (start + stop) / 2 * step
    return np.maximum(around[row, turn], straight[row, end]), center, (stop - start) * step


def _argmin_so_far(values: Floats) -> NDArray[np.intp]:
    """Where the smallest value up to and with each column stands, by row."""
    columns = np.arange(values.shape[1])
    lowest = np.minimum.accumulate(values, axis=1)
    first = np.where(np.concatenate([np.ones((len(values), 1), dtype=bool), np.diff(lowest, axis=1) < 0], axis=1), columns, 0)
    return np.asarray(np.maximum.accumulate(first, axis=1))
