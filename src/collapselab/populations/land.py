"""Points on land and never in the sea: what a model invents or forgets can be seen on a map.

The mask ``land.txt`` beside this module has 90 lines of 180 characters, from 90 N and 180 W, one for 2 degrees by 2
degrees: ``#`` is land, ``.`` is sea. It was made from the elevation model GLOBE of NOAA's National Geophysical Data
Center (Hastings and Dunbar 1999, 30 arc-seconds, in the public domain), in which the sea has no elevation, as the
package global-land-mask 1.0.0 (Karin 2019, MIT licence) stores it. A cell is land if at least half of its 240 by 240
points are; lakes count as land. South of 60 S all is sea here: on this map Antarctica would be a quarter of the land.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import ClassVar, Self

import numpy as np

from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import Judgement
from ..models.options import Options
from .base import as_rows, judged, words

ROWS, COLUMNS = 90, 180
DEGREES = 2  # a cell of the mask, either way
BLOCK = 3  # cells of the mask along the side of a cell of the partition, 6 degrees
UNITS = np.array([90.0, 45.0])  # degrees of longitude and of latitude to the unit
SIZE = DEGREES / UNITS  # of a cell of the mask on the map
WEST, NORTH = -2.0, 2.0


class LandOptions(Options):
    """Nothing to choose."""


@cache
def mask() -> np.ndarray:
    """Which cells are land: (90, 180) bool, the first row the northernmost, the first column east of 180 W."""
    text = resources.files(__package__).joinpath("land.txt").read_text(encoding="ascii")
    found = np.array([list(line) for line in text.splitlines()]) == "#"
    found.flags.writeable = False
    return found


def _centres(cells: np.ndarray) -> np.ndarray:
    """The middles of cells (n, 2) of (row, column): points (n, 2) of the map."""
    return np.stack([WEST + (cells[:, 1] + 0.5) * SIZE[0], NORTH - (cells[:, 0] + 0.5) * SIZE[1]], axis=1)


@dataclass(frozen=True, eq=False)
class Land:
    """The uniform law on the land of a plate carrée map, where x = longitude / 90 and y = latitude / 45, in degrees.

    So the map is the square [-2, 2] x [-2, 2], and a country near the poles has more mass than its area. A sample is
    possible on land. Its cell is the block of 6 by 6 degrees that it lies in.
    """

    PopulationOptions: ClassVar = LandOptions
    gives: ClassVar = "vectors"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: LandOptions

    @classmethod
    def population(cls, options: LandOptions) -> Self:
        """The law on the shipped mask."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (2,)."""
        return (2,)

    @cached_property
    def cells(self) -> np.ndarray:
        """The land cells of the mask: (n, 2) int64, row and column."""
        return np.argwhere(mask())

    @cached_property
    def _blocks(self) -> tuple[np.ndarray, np.ndarray]:
        """The number of each block, -1 without land, (30, 60); and how many land cells those with land have, (K,)."""
        counts = mask().reshape(ROWS // BLOCK, BLOCK, COLUMNS // BLOCK, BLOCK).sum(axis=(1, 3))
        return np.where(counts > 0, np.cumsum(counts > 0).reshape(counts.shape) - 1, -1), counts[counts > 0]

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, 2) float64, x and y."""
        check_ask(ask, self)
        which, within = words(ask.seed, ask.start, ask.count, 1, 2)
        cells = self.cells[(which[:, 0] * len(self.cells)).astype(np.int64)]
        return SampleSet(_centres(cells) + (within - 0.5) * SIZE)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (2,) and covariance (2, 2): those of the cells' middles, and a cell's own size^2 / 12."""
        centres = _centres(self.cells)
        return centres.mean(axis=0), np.cov(centres.T, bias=True) + np.diag(SIZE**2 / 12)

    @property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (581,) float64: its share of the land."""
        counts = self._blocks[1]
        return counts / counts.sum()

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each point is on land, and its block of 6 by 6 degrees.

        data: (n, 2) float; points beyond the map and rows that are not finite are impossible.
        """
        rows = as_rows(data, 2)
        inside = (np.abs(rows) < 2).all(axis=1)
        x, y = np.where(inside[:, None], rows, 0.0).T
        row = np.clip(((NORTH - y) / SIZE[1]).astype(np.int64), 0, ROWS - 1)
        column = np.clip(((x - WEST) / SIZE[0]).astype(np.int64), 0, COLUMNS - 1)
        return judged(inside & mask()[row, column], self._blocks[0][row // BLOCK, column // BLOCK])


def three_points(low: Sequence[float], high: Sequence[float]) -> dict[str, np.ndarray]:
    """What the minimal model, a box that was fitted to points on land, gets wrong and right: three points (2,) float64.

    ``sea_inside``: in the box and in the sea, as far from land as can be: the model calls it likely, wrongly.
    ``land_outside``: on land beyond the side of the box from which most land sticks out: the model calls it impossible,
    wrongly. ``land_inside``: on land and in the box, as far from the sea as can be: the model is right.

    low, high: the corners of the box, (2,), x and y on the map. Raises ValueError where a kind has no point, such as
    land beyond a box that holds it all; a box around draws of :class:`Land` never does.
    """
    from scipy.spatial import KDTree

    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if low.shape != (2,) or high.shape != (2,) or not (low < high).all():
        raise ValueError(
            f"low, high: found {low.tolist()} and {high.tolist()}, allowed are two corners, low below high"
        )
    land, sea = _centres(np.argwhere(mask())), _centres(np.argwhere(~mask()))

    def deepest(points: np.ndarray, others: np.ndarray, name: str) -> np.ndarray:
        points = points[((low < points) & (points < high)).all(axis=1)]
        if not len(points):
            raise ValueError(f"low, high: found a box around no cell's middle for {name}, allowed are larger boxes")
        return points[int(np.argmax(KDTree(others).query(points)[0]))]

    sides = [(axis, sign, edge) for axis in (0, 1) for sign, edge in ((-1, low[axis]), (1, high[axis]))]
    beyond = [(sign * land[:, axis]).max() + SIZE[axis] / 2 - sign * edge for axis, sign, edge in sides]
    if max(beyond) <= 0:
        raise ValueError("low, high: found a box that holds all land, allowed are boxes that land sticks out of")
    axis, sign, edge = sides[int(np.argmax(beyond))]
    outside = land[int(np.argmax(sign * land[:, axis]))].copy()
    end = outside[axis] + sign * SIZE[axis] / 2
    # In the outermost cell, halfway from its end to the box, or to its other end where that is nearer.
    start = edge if abs(end - edge) < SIZE[axis] else end - sign * SIZE[axis]
    outside[axis] = (start + end) / 2
    return {
        "sea_inside": deepest(sea, land, "sea"),
        "land_outside": outside,
        "land_inside": deepest(land, sea, "land"),
    }
