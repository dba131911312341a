"""Tests over lineages: a t-interval of one number from each, corrected over the arms.

The unit is the lineage (one arm, one seed): a lineage gives one number, such as the slope of its recall over the
generations, and an arm is judged by a t-interval over its lineages.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..core.significance import holm
from .words import ROUNDING, span, spell

FEWEST = 3  # lineages; with fewer a t-interval says next to nothing
CONFIDENCE = 0.95

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Estimate:
    """A mean over lineages, and on which side of a boundary it surely lies.

    low, high: the 95 % interval of this arm alone. p: two-sided, Holm-corrected over ``arms`` arms. sd: the standard
    deviation over lineages, NaN for fewer than two.
    """

    mean: float
    low: float
    high: float
    p: float
    lineages: int
    arms: int
    boundary: float
    sd: float = np.nan

    @property
    def unchanged(self) -> bool:
        """Whether there are enough lineages, and every one of them lies on the boundary itself."""
        return self.lineages >= FEWEST and self.low == self.high == self.boundary

    @property
    def alike(self) -> bool:
        """Whether all lineages have one number, off the boundary: they say nothing of how another would differ."""
        return self.lineages >= FEWEST and self.sd == 0 and not self.unchanged

    @property
    def side(self) -> int:
        """1 above the boundary, -1 below, 0 undecided."""
        return 0 if self.lineages < FEWEST or self.p > 1 - CONFIDENCE else int(np.sign(self.mean - self.boundary))

    def status(self, worse: int = 1) -> str:
        """The verdict, where ``worse`` is the side on which collapse lies."""
        return {1: "collapse", -1: "no collapse", 0: "inconclusive"}[self.side * worse]

    def numbers(self) -> dict[str, float | int]:
        """The finite ones of mean, low, high and p, and the number of lineages."""
        named = {"mean": self.mean, "low": self.low, "high": self.high, "p_holm": self.p}
        return {key: float(number) for key, number in named.items() if np.isfinite(number)} | {
            "lineages": self.lineages
        }

    def interval(self, write: Callable[[float], float] = float, unit: str = "", noun: str = "lineages") -> str:
        """``95 % interval 0.071 to 0.093, 3 lineages``, with ends transformed by ``write``."""
        low, high = sorted((float(write(self.low)), float(write(self.high))))
        return f"95 % interval {span(low, high)}{unit}, {self.lineages} {noun}"

    def change(self, what: str, unit: str, write: Callable[[float], float] = float, noun: str = "lineages") -> str:
        """``Recall falls by 0.082 a generation (95 % interval ...)``, or ``changes by`` when unsure."""
        mean = float(write(self.mean))
        if self.unchanged and write(self.boundary) == 0:
            return f"{what} does not change"
        if self.lineages < FEWEST or self.alike:
            return f"{what} {'rises' if mean > 0 else 'falls'} by {spell(abs(mean))}{unit}"
        if self.side and write(self.low) * write(self.high) > 0:
            ends = self.interval(lambda end: abs(write(end)), noun=noun)
            return f"{what} {'rises' if mean > 0 else 'falls'} by {spell(abs(mean))}{unit} ({ends})"
        return f"{what} changes by {spell(mean)}{unit} ({self.interval(write, noun=noun)})"

    def conclusion(self, above: str, below: str, noun: str = "lineages") -> str:
        """The words for the side, or the reason why there is none."""
        if self.lineages < FEWEST:
            return f"inconclusive, since an interval needs at least {FEWEST} {noun} and there are {self.lineages}"
        if self.alike:
            return f"inconclusive, since all {self.lineages} {noun} are equal, which leaves no spread to judge by"
        if self.side:
            return above if self.side > 0 else below
        if (self.low - self.boundary) * (self.high - self.boundary) > 0:
            return f"inconclusive after Holm's correction over {self.arms} arms (p = {spell(self.p)})"
        return "inconclusive"


def t_interval(sample: np.ndarray, boundary: float = 0.0) -> tuple[float, float, float]:
    """The 95 % interval of a mean and the two-sided p-value against the boundary: (low, high, p).

    mean +- t(n - 1) * s / sqrt(n) with the n - 1 standard deviation s. Infinite and p = 1 for fewer than 2 numbers,
    and for equal ones, which may be one lineage several times; those that lie on the boundary have it as both ends.
    """
    from scipy import special

    sample = np.asarray(sample, np.float64)
    n = len(sample)
    if n < 2:
        return -np.inf, np.inf, 1.0
    mean, spread = sample.mean(), _spread(sample)
    if not spread:
        rounding = ROUNDING * max(np.abs(sample).max(), abs(boundary))
        return (boundary, boundary, 1.0) if abs(mean - boundary) <= rounding else (-np.inf, np.inf, 1.0)
    error = spread / np.sqrt(n)
    half = special.stdtrit(n - 1, (1 + CONFIDENCE) / 2) * error
    return float(mean - half), float(mean + half), float(2 * special.stdtr(n - 1, -abs(mean - boundary) / error))


def ratio_interval(above: np.ndarray, below: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the ratio of two means of pairs (n,) each, by Fieller (1954): the ratios r at which the mean
    of above - r * below is not surely other than 0. Infinite where ``below`` is not surely above 0, or n < 2.
    """
    from scipy import special

    n = len(above)
    if n < 2:
        return -np.inf, np.inf
    scale = max(np.abs(above).max(), np.abs(below).max()) or 1.0  # the squares of what is huge are no numbers
    above, below = above / scale, below / scale
    means, spread = np.array([above.mean(), below.mean()]), np.cov(above, below) / n
    square = special.stdtrit(n - 1, (1 + CONFIDENCE) / 2) ** 2
    # (m_a - r m_b)^2 = t^2 (s_aa - 2 r s_ab + r^2 s_bb) is a r^2 - 2 b r + c = 0.
    a, b = means[1] ** 2 - square * spread[1, 1], means[0] * means[1] - square * spread[0, 1]
    c = means[0] ** 2 - square * spread[0, 0]
    if a <= 0:
        return -np.inf, np.inf
    half = np.sqrt(max(b**2 - a * c, 0.0))
    return float((b - half) / a), float((b + half) / a)


def _spread(sample: np.ndarray) -> float:
    """The n - 1 standard deviation, 0 where no more than rounding sets the numbers apart, NaN for fewer than two."""
    if len(sample) < 2:
        return np.nan
    scale = float(np.abs(sample).max())  # the squares of what is huge are no numbers
    return 0.0 if is_constant(sample) else scale * float((sample / scale).std(ddof=1))


def estimate(samples: Mapping[Key, np.ndarray], boundary: float = 0.0) -> dict[Key, Estimate]:
    """One estimate per arm from one number per lineage; Holm's correction over the arms with enough of them."""
    samples = {arm: (array := np.asarray(sample, np.float64))[np.isfinite(array)] for arm, sample in samples.items()}
    intervals = {arm: t_interval(sample, boundary) for arm, sample in samples.items()}
    adjusted = holm({arm: p for arm, (_, _, p) in intervals.items() if len(samples[arm]) >= FEWEST})
    return {
        arm: Estimate(
            mean=float(np.mean(sample)) if len(sample) else np.nan,
            low=intervals[arm][0],
            high=intervals[arm][1],
            p=adjusted.get(arm, 1.0),
            lineages=len(sample),
            arms=len(adjusted),
            boundary=boundary,
            sd=_spread(sample),
        )
        for arm, sample in samples.items()
    }


def is_constant(values: np.ndarray) -> bool:
    """Whether no more than rounding, relative to their own size, sets values (k,) apart."""
    return float(np.ptp(values)) <= ROUNDING * float(np.abs(values).max())


# -- what a lineage gives: a weighted sum of its values ----------------------------------------------------------------


def contrast(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted sum of values (k,), whose weights (k,) add up to 0, without the digits that are but rounding.

    These are of the size of the terms, however small the sum: equal values have 0, and lineages that differ by
    rounding alone have one number.
    """
    terms = weights * values
    found, grain = float(terms.sum()), ROUNDING * float(np.abs(terms).sum())
    if abs(found) <= grain < math.inf:
        return 0.0
    return round(found, -math.floor(math.log10(grain))) if 0 < grain < math.inf else found


def slope(lineage: Mapping[int, float]) -> float:
    """The least-squares slope of values over generations; NaN for fewer than two points."""
    if len(lineage) < 2:
        return np.nan
    return contrast(np.array(list(lineage.values())), _slope_weights(lineage))


def slope_apart(lineage: Mapping[int, float], other: Mapping[int, float]) -> float:
    """The slope of one lineage less that of another, over the generations that both have; NaN for fewer than two."""
    shared = [t for t in lineage if t in other]
    if len(shared) < 2:
        return np.nan
    weights = _slope_weights(shared)
    return contrast(np.array([of[t] for of in (lineage, other) for t in shared]), np.append(weights, -weights))


def _slope_weights(generations: Iterable[int]) -> np.ndarray:
    time = np.array(list(generations), np.float64)
    time -= time.mean()
    return time / (time @ time)


def first_and_last(found: Mapping[int, Mapping[int, float]]) -> tuple[int, int, np.ndarray, np.ndarray]:
    """An arm's values at two generations, the first and the last that its lineages share: (first, last, two arrays).

    Lineages with a single generation are left out, so that one failure at the start does not silence the others.
    """
    long = [lineage for lineage in found.values() if len(lineage) >= 2]
    shared = sorted(set.intersection(*map(set, long))) if long else []
    if len(shared) < 2:
        return 0, 0, np.empty(0), np.empty(0)
    first, last = shared[0], shared[-1]
    return first, last, np.array([entry[first] for entry in long]), np.array([entry[last] for entry in long])
