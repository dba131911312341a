"""What the known truth says of samples: which are possible, and which cell of the truth each falls into."""

from typing import Any

import numpy as np

from ..models.capabilities import Judges
from .base import Features

RARE = 0.05  # the most that the rare cells have together, of the mass of all cells
NAMES = ("possible", "cell", "mass", "share", "rare", "rare_mass", "all_mass")


def truth(data: np.ndarray, weights: Any = None) -> Features:
    """The judgement of a known truth on each sample, as columns: (n, 7) float64.

    ``possible``: 1, or 0 for what the truth never gives. ``cell``: the number of its cell, -1 outside. ``mass``: the
    true probability of that cell, 0 outside. ``share``: 1 / the number of cells, 0 outside. ``rare``: 1 if the cell is
    rare (:func:`rare_cells`). ``rare_mass``, ``all_mass``: the probability of the rare cells and of all cells, the same
    in every row; what is missing in ``all_mass`` to 1 is what the truth itself gives outside of its cells.

    data: as in a sample set. weights: the population. Raises ValueError for one without ``judge`` and ``masses``.
    """
    if not isinstance(weights, Judges):
        kind = "None" if weights is None else type(weights).__name__.lower()
        raise ValueError(f"weights: found {kind}, truth needs a population that judges samples")
    possible, cell = weights.judge(data)
    masses = np.asarray(weights.masses)
    rare = rare_cells(masses)
    everywhere = np.ones(len(cell))
    columns = (
        possible,
        cell,
        np.where(possible, masses[cell], 0.0),
        possible / len(masses),
        possible & rare[cell],
        everywhere * masses[rare].sum(),
        everywhere * masses.sum(),
    )
    return Features(np.stack(columns, axis=1).astype(np.float64), names=NAMES)


def rare_cells(masses: np.ndarray) -> np.ndarray:
    """Which cells are rare: (K,) bool. The least ones, as many as have at most RARE of the mass together.

    Cells of equal mass are rare together or not at all; of uniform masses none is.
    """
    masses = np.asarray(masses, np.float64)
    order = np.argsort(masses)
    # Of cells that are equal to rounding, the last in the order says what they have together.
    last = np.searchsorted(masses[order], masses * (1 + 1e-9), side="right") - 1
    return np.cumsum(masses[order])[last] <= RARE * masses.sum()
