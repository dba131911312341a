"""Many arms against one, in pairs of one seed, with the spread of all arms in common: Dunnett (1955).

Three seeds say next to nothing of one arm's spread, and much of that of twenty arms together. Numbers of arm a and seed
s are taken for m_a + b_s + e, with e normal and of one variance in all arms: a layout of two ways, one number a cell.
With k arms beside the one and n seeds, s^2 is the sum of squared residuals over k (n - 1), and the differences over
s sqrt(2 / n) follow the k-variate t law with correlation 1/2. Its intervals hold for all arms at once.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np

from ..core.significance import holm
from .statistics import CONFIDENCE, FEWEST, Estimate

Arm = TypeVar("Arm", bound=Hashable)
Table = Mapping[Arm, Mapping[int, float]]
"""Numbers of arms: arm -> seed -> number."""

NODES = 96  # of each quadrature


@dataclass(frozen=True)
class Gain(Estimate):
    """A difference from the one arm. low, high: simultaneous over all arms. agree: whether all seeds are on one side.

    What is of one variance in all arms may be so only nearly: that no seed contradicts is asked for beside.
    """

    agree: bool = True

    @property
    def side(self) -> int:
        """1 or -1 where the interval has no 0 in it and all seeds agree, else 0."""
        sure = self.lineages >= FEWEST and self.low * self.high > 0 and self.agree
        return int(np.sign(self.mean)) if sure else 0

    def conclusion(self, above: str, below: str, noun: str = "lineages") -> str:
        """The words for the side, or the reason why there is none."""
        if self.lineages >= FEWEST and self.low * self.high > 0 and not self.agree:
            return f"inconclusive, since not all {self.lineages} {noun} agree"
        return super().conclusion(above, below, noun)


class Spread(NamedTuple):
    """The spread that all arms have in common: the standard deviation of a cell, its degrees of freedom, the seeds."""

    sd: float
    freedom: int
    seeds: tuple[int, ...]


def spread_of(numbers: Table) -> Spread:
    """The spread of the arms' numbers beside arms and seeds, over the seeds that all of them have.

    NaN for fewer than two arms or seeds.
    """
    seeds = tuple(sorted(set.intersection(*(set(of) for of in numbers.values())))) if numbers else ()
    freedom = (len(numbers) - 1) * (len(seeds) - 1)
    if freedom <= 0:
        return Spread(np.nan, 0, seeds)
    cells = np.array([[of[seed] for seed in seeds] for of in numbers.values()], np.float64)
    rest = cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()
    return Spread(float(np.sqrt((rest**2).sum() / freedom)), freedom, seeds)


def gains(numbers: Table, against: Arm) -> dict[Arm, Gain]:
    """The difference of every other arm from one, with intervals and p-values that hold for all of them at once.

    Arms that lack a seed which the one has are left out: a lineage that ended is not compared by those that did not.
    Without a spread, as of equal numbers, and of fewer than two seeds, intervals are infinite and p-values 1.
    """
    whole = {arm: of for arm, of in numbers.items() if set(of) >= set(numbers[against])}
    spread, others = spread_of(whole), [arm for arm in whole if arm != against]
    return {arm: _gain(whole, arm, against, spread, len(others)) for arm in others}


def apart(numbers: Table, arm: Arm, other: Arm, arms: int = 1) -> Gain | None:
    """The difference of one arm from another, one of ``arms`` differences; None where a lineage of the first ended."""
    whole = {name: of for name, of in numbers.items() if set(of) >= set(numbers[other])}
    return _gain(whole, arm, other, spread_of(whole), arms) if arm in whole else None


def _gain(numbers: Table, arm: Arm, other: Arm, spread: Spread, arms: int) -> Gain:
    pairs = np.array([numbers[arm][seed] - numbers[other][seed] for seed in spread.seeds])
    low, high, p = _interval(pairs, spread, arms)
    agree = bool((pairs > 0).all() or (pairs < 0).all())
    sd = float(pairs.std(ddof=1)) if len(pairs) > 1 else np.nan
    mean = float(pairs.mean()) if len(pairs) else np.nan
    return Gain(mean, low, high, p, len(pairs), arms, 0.0, sd, agree)


def _interval(pairs: np.ndarray, spread: Spread, arms: int) -> tuple[float, float, float]:
    if len(pairs) and not pairs.any():
        return 0.0, 0.0, 1.0  # the same course in both
    if not spread.sd > 0:
        return -np.inf, np.inf, 1.0
    error = spread.sd * np.sqrt(2 / len(pairs))
    mean, half = float(pairs.mean()), critical(arms, spread.freedom) * error
    return mean - half, mean + half, 1 - within(abs(mean) / error, arms, spread.freedom)


def surely_above(numbers: Table, pairs: Sequence[tuple[Arm, Arm]]) -> set[tuple[Arm, Arm]]:
    """The pairs of which the first is surely above the second: t by the spread in common, Holm over all pairs."""
    from scipy import special

    spread = spread_of(numbers)
    if len(spread.seeds) < FEWEST or not spread.sd > 0:
        return set()
    apart = {pair: np.array([numbers[pair[0]][s] - numbers[pair[1]][s] for s in spread.seeds]) for pair in pairs}
    error = spread.sd * np.sqrt(2 / len(spread.seeds))
    told = {pair: 2 * special.stdtr(spread.freedom, -abs(of.mean()) / error) for pair, of in apart.items()}
    return {pair for pair, p in holm(told).items() if p <= 1 - CONFIDENCE and (apart[pair] > 0).all()}


# -- the law of the largest of k differences --------------------------------------------------------------------------


@cache
def _nodes(freedom: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points and weights of a standard normal number, and of s / sigma with ``freedom`` degrees of freedom."""
    from scipy import special

    z, of_z = np.polynomial.hermite_e.hermegauss(NODES)
    u, of_u = np.polynomial.legendre.leggauss(NODES)
    u = (u + 1) / 2
    return z, of_z / of_z.sum(), np.sqrt(special.chdtri(freedom, 1 - u) / freedom), of_u / 2


def within(bound: float, arms: int, freedom: int) -> float:
    """The chance that none of ``arms`` differences, each over its error, is farther from 0 than ``bound``.

    P = E_s E_z [Phi(z + sqrt(2) bound s) - Phi(z - sqrt(2) bound s)]^arms, by quadrature over both.
    """
    from scipy import special

    z, of_z, s, of_s = _nodes(freedom)
    reach = np.sqrt(2) * bound * s[:, None]
    inside = special.ndtr(z + reach) - special.ndtr(z - reach)
    return float(min(1.0, of_s @ (inside**arms @ of_z)))


@cache
def critical(arms: int, freedom: int) -> float:
    """The bound that all of them keep in 95 of 100 studies: bisected, as the chance rises with it."""
    low, high = 0.0, 1.0
    while within(high, arms, freedom) < CONFIDENCE:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, arms, freedom) < CONFIDENCE else (low, middle)
    return high
