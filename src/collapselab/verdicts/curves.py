"""Collapse laws, fitted to the lineages of an arm: how probable each of them is, and what follows for the halving.

Each lineage is fitted by least squares with laws r(t) = r_0 f(lambda t) that start at f = 1 and fall at the rate lambda
a generation:

exponential           f = exp(-lambda t)                 what a loop multiplies by the same factor every generation
hyperbolic            f = 1 / (1 + lambda t)             what drifts as distinct items do, of which about 2n / t remain
exponential to floor  f = c + (1 - c) exp(-lambda t)     what fresh data holds up; c is one number for an arm
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

FASTEST = 1e3  # rate a generation: all is lost in the first
FLOORS = tuple(i / 40 for i in range(1, 40))  # shares of generation 0 at which an arm may level off
LATEST = 1e6  # generations: a halving that is later is none
LEAST_SPREAD = 1e-9  # of a rate: what rounding leaves of equal ones


class Candidate(NamedTuple):
    """A law and its floor, as an arm's lineages follow it: rates (lineages,), its probability among the laws."""

    law: str
    floor: float
    rates: np.ndarray
    probability: float


# -- laws --------------------------------------------------------------------------------------------------------------


def exponential(x: np.ndarray) -> np.ndarray:
    """exp(-x), of x = rate times generation."""
    return np.exp(-np.clip(x, -50, None))


def hyperbolic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + x), of x = rate times generation, which a rise lets blow up at -1."""
    return 1 / np.maximum(1 + x, 1e-3)


def fit(
    values: np.ndarray, law: Callable[[np.ndarray], np.ndarray], floor: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The least-squares rates of lineages: (rates (lineages,), residuals (lineages, generations), NaN where no value).

    values: (lineages, generations) from generation 0 on, NaN where there is none. For a given rate r_0 is linear and
    has its closed form, so that the rate alone is searched, on a grid that is narrowed around its best point.
    """
    time = np.arange(values.shape[1], dtype=np.float64)
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)

    def left_over(rates: np.ndarray) -> np.ndarray:  # (lineages, grid) -> (lineages, grid, generations)
        shape = np.where(there[:, None], floor + (1 - floor) * law(rates[..., None] * time), 0.0)
        start = np.einsum("lgt,lt->lg", shape, filled) / np.einsum("lgt,lgt->lg", shape, shape)
        return filled[:, None] - start[..., None] * shape

    slowest = -0.9 / max(1, len(time) - 1)  # the steepest rise that both laws allow
    grid = np.concatenate([np.linspace(slowest, 0, 20, endpoint=False), [0.0], np.geomspace(1e-4, FASTEST, 140)])
    grid = np.tile(grid, (len(values), 1))
    rows = np.arange(len(values))
    for _ in range(4):
        best = (left_over(grid) ** 2).sum(axis=-1).argmin(axis=1)
        left, right = grid[rows, np.maximum(best - 1, 0)], grid[rows, np.minimum(best + 1, grid.shape[1] - 1)]
        grid = left[:, None] + (right - left)[:, None] * np.linspace(0, 1, 41)
    found = left_over(grid)
    best = (found**2).sum(axis=-1).argmin(axis=1)
    return grid[rows, best], np.where(there, found[rows, best], np.nan)


def candidates(values: np.ndarray) -> list[Candidate]:
    """Every law and floor, with its probability given an arm's lineages, the most probable first.

    values: as in :func:`fit`. Laws have equal chances beforehand, and so have the floors of one. With flat priors for
    starts, rates and the logarithm of the noise the probability is in proportion to S^(-(n - 2L) / 2), S the sum of
    squared residuals over n points of L lineages. Neighbouring generations of lineages that wander err together: with
    the correlation r of neighbouring residuals n points are worth n (1 - r) / (1 + r).
    """
    tried = [("exponential", 0.0, exponential), ("hyperbolic", 0.0, hyperbolic)]
    tried += [("exponential to a floor", floor, exponential) for floor in FLOORS]
    fits = [fit(values, shape, floor) for _, floor, shape in tried]
    squares = np.maximum([np.nansum(residuals**2) for _, residuals in fits], 1e-30)  # curves without noise
    _, residuals = fits[int(squares.argmin())]
    r = max(0.0, neighbours(residuals))
    worth = np.isfinite(values).sum() * (1 - r) / (1 + r)
    before = np.array([1.0, 1.0, *[1 / len(FLOORS)] * len(FLOORS)])
    logs = np.log(before) - 0.5 * max(1.0, worth - 2 * len(values)) * np.log(squares)
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    found = [
        Candidate(law, floor, rates, float(chance))
        for (law, floor, _), (rates, _), chance in zip(tried, fits, chances, strict=True)
    ]
    return sorted(found, key=lambda one: -one.probability)


def neighbours(residuals: np.ndarray) -> float:
    """The correlation of a lineage's residuals (lineages, generations) at one generation and the next; 0 of none."""
    pairs = residuals[:, 1:] * residuals[:, :-1]
    both = np.isfinite(pairs)
    scale = np.nansum(residuals**2)
    return float(np.nansum(pairs) / both.sum() / (scale / np.isfinite(residuals).sum())) if scale and both.any() else 0


# -- what follows ------------------------------------------------------------------------------------------------------


def halving(law: str, floor: float, rate: float) -> float:
    """The generation at which a law is at half of its start; infinite where it never is."""
    if rate <= 0 or floor >= 0.5:
        return math.inf
    return 1 / rate if law == "hyperbolic" else math.log((1 - floor) / (0.5 - floor)) / rate


def halvings(found: Sequence[Candidate], chances: Sequence[float]) -> list[float]:
    """The generations by which the halving has come with the given chances, ascending; infinite where it need not come.

    Given a law the mean rate over L lineages has a t(L - 1) law about the one measured; the laws are mixed by their
    probabilities.
    """
    from scipy import special

    times = np.geomspace(1e-3, LATEST, 2000)
    passed = np.zeros_like(times)
    for one in found:
        # The rate that would halve at each of the times: halving is in proportion to 1 / rate.
        of_one = halving(one.law, one.floor, 1.0)
        if math.isinf(of_one) or one.probability < 1e-6:
            continue
        mean, n = one.rates.mean(), len(one.rates)
        error = max(one.rates.std(ddof=1) / math.sqrt(n), LEAST_SPREAD * abs(mean), 1e-300)
        passed += one.probability * special.stdtr(n - 1, (mean - of_one / times) / error)
    return [float(np.interp(chance, passed, times)) if passed[-1] >= chance else math.inf for chance in chances]
