"""True precision, recall and coverage, where the truth is known: what the neighbours' estimates can be judged by.

All read the columns of the extractor ``truth`` and look at the fakes alone; the truth stands in the place of the real
samples. A cell is a part of what is possible, with a known probability p_k (``Population.masses``).
"""

import numpy as np

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from .estimates import Estimate, share_over


def true_precision(real: Features, fake: Features) -> Estimate:
    """The share of the fakes that are possible, with Wilson's interval.

    Its value for the truth itself is sum_k p_k: 1, or a little less where the truth has tails that are not counted.
    """
    return share_over(_column(fake, "possible"), 1.0)


def hallucination_rate(real: Features, fake: Features) -> Estimate:
    """The share of the fakes that are impossible, 1 - :func:`true_precision`, with Wilson's interval."""
    return share_over(1 - _column(fake, "possible"), 1.0)


def true_recall(real: Features, fake: Features) -> float:
    """The true probability of the cells that the fakes reach, sum p_k over them.

    n fakes of the truth itself reach :func:`expected_true_recall` of it, not all.
    """
    return _sum_over_cells(fake, "mass")


def true_coverage(real: Features, fake: Features) -> float:
    """The share of the cells that the fakes reach: rare ones count as much as common ones.

    n fakes of the truth itself reach :func:`expected_true_coverage` of them, not all.
    """
    return _sum_over_cells(fake, "share")


def true_total_variation(real: Features, fake: Features) -> float:
    """Half of sum_k |n_k / n - p_k| over all cells, and what lies outside of them as one more: 0 to 1.

    Cells that no fake reaches count with their probability. It is not 0 for the truth itself: n fakes of it come to
    about sum_k sqrt(p_k (1 - p_k) / (2 pi n)).
    """
    rows, counts = _cells(fake)
    mass, shares, total = _column(fake, "mass")[rows], counts / len(fake), _column(fake, "all_mass")[0]
    unreached, outside = max(total - mass.sum(), 0.0), abs(shares.sum() - total)
    return float((np.abs(shares - mass).sum() + unreached + outside) / 2)


def rare_calibration(real: Features, fake: Features) -> Estimate:
    """How often the fakes fall into rare cells, over how often the truth does: 1 if rare is as rare as it should be.

    (n_rare / n) / sum of p_k over the rare cells

    Rare are the least likely cells that have 5 % of the probability together. 0 where they were lost. The interval is
    Wilson's. Raises Undefined where no cell is rare, as of equal ones.
    """
    rare_mass = float(_column(fake, "rare_mass")[0])
    if rare_mass == 0:
        raise Undefined("truth: no cells have 5 % of the probability or less together, so none is rare")
    return share_over(_column(fake, "rare"), rare_mass)


def expected_true_recall(masses: np.ndarray, n: int) -> float:
    """The expectation of :func:`true_recall` for n draws of the truth: sum_k p_k (1 - (1 - p_k)^n).

    masses: (K,) float, the probabilities of the cells.
    """
    masses = np.asarray(masses, np.float64)
    return float(masses @ _reached(masses, n))


def expected_true_coverage(masses: np.ndarray, n: int) -> float:
    """The expectation of :func:`true_coverage` for n draws of the truth: the mean of 1 - (1 - p_k)^n over the cells."""
    return float(_reached(np.asarray(masses, np.float64), n).mean())


def _reached(masses: np.ndarray, n: int) -> np.ndarray:
    """The probability that a cell holds one of n draws: (K,) float64."""
    with np.errstate(divide="ignore"):  # of a cell that has it all
        return -np.expm1(n * np.log1p(-np.minimum(masses, 1.0)))


def _column(fake: Features | Array, name: str) -> np.ndarray:
    """A column of the judgement: (n,) float64. Raises Undefined without rows, ValueError for other features."""
    fake = Features.of(fake)
    if fake.names is None or name not in fake.names:
        raise ValueError(f"fake: found columns {fake.names}, allowed are those of truth, with {name!r}")
    fake.require(1, "fake")
    return on_host(fake.values)[:, fake.names.index(name)].astype(np.float64)


def _cells(fake: Features) -> tuple[np.ndarray, np.ndarray]:
    """A row of each cell that the fakes reach, and how many fakes lie in it: two arrays, in the order of the cells."""
    cells, rows, counts = np.unique(_column(fake, "cell"), return_index=True, return_counts=True)
    return rows[cells >= 0], counts[cells >= 0]


def _sum_over_cells(fake: Features, name: str) -> float:
    rows, _ = _cells(fake)
    return float(min(_column(fake, name)[rows].sum(), 1.0))
