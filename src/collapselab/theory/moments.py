"""Drift and variance of a loop, and what its laws share: the fits behind a curve, and what a fit keeps of variance."""

from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Drift D and variance V of the Gaussian loop in one dimension: curves (generations + 1,), or their limits."""

    drift: np.ndarray | float
    variance: np.ndarray | float


def fits(generations: int) -> np.ndarray:
    """t = 1 .. generations + 1, the number of fits behind each entry of a curve."""
    return np.arange(1, generations + 2)


def shrinkage(n: int, ddof: int) -> float:
    """a, the share of the variance of n rows that one fit keeps on average."""
    return (n - 1) / (n - ddof)
