"""Which of two sets of numbers is the larger, by ranks alone."""

from typing import NamedTuple

import numpy as np


class Superiority(NamedTuple):
    """How often a number of the first set lies above one of the second, ties counted half.

    share: of all pairs; 1/2 when both have one law. error: its standard error, from the pairs themselves. null_error:
    its standard deviation when both have one law, 0 where all numbers are equal.
    """

    share: float
    error: float
    null_error: float


def superiority(first: np.ndarray, second: np.ndarray) -> Superiority:
    """U / (m n) of Mann and Whitney (1947), for m numbers (m,) and n numbers (n,), each at least 2.

    Under one law its variance is (m + n + 1 - sum (t^3 - t) / ((m + n)(m + n - 1))) / (12 m n) over ties of t numbers
    (Lehmann 1975). In general it is that of the two means of placements, each number's share of the other set below it
    (DeLong, DeLong and Clarke-Pearson 1988). Infinite numbers have a rank like others.
    """
    m, n = len(first), len(second)
    ranks, ties = midranks(np.concatenate([first, second]))
    of_first = (ranks[:m] - midranks(first)[0]) / n
    of_second = (ranks[m:] - midranks(second)[0]) / m
    error = np.sqrt(of_first.var(ddof=1) / m + of_second.var(ddof=1) / n)
    total = m + n
    tied = np.sum(ties**3 - ties) / (total * (total - 1))
    return Superiority(float(of_first.mean()), float(error), float(np.sqrt(max(total + 1 - tied, 0.0) / (12 * m * n))))


def midranks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each number's rank from 1, the mean rank where numbers are equal; and how many share each distinct number."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    counts = counts.astype(np.float64)
    return (np.cumsum(counts) - (counts - 1) / 2)[place], counts
