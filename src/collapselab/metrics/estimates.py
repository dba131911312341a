"""Numbers that know how sure they are."""

from typing import Self

import numpy as np

from ..core.distances import on_host
from ..core.errors import Undefined
from ..core.progress import counted
from ..core.seeds import generator
from ..features import Array

RESAMPLES = 1000
CONFIDENCE = 0.95
Z = 1.959963984540054  # 95 % of a normal law lie within so many standard deviations
BLOCK_ENTRIES = 2**22


class Estimate(float):
    """A number with the ends of its 95 % interval: ``low <= high`` float."""

    low: float
    high: float

    def __new__(cls, value: float, low: float, high: float) -> Self:
        estimate = super().__new__(cls, value)
        estimate.low, estimate.high = float(low), float(high)
        return estimate

    def __getnewargs__(self) -> tuple[float, float, float]:
        return float(self), self.low, self.high

    def __repr__(self) -> str:
        return f"{float(self)!r} ({self.low:.4g} to {self.high:.4g})"


def mean_of(scores: Array) -> Estimate:
    """The mean of a score of each sample, and its bootstrap interval (Efron 1979; percentiles of 1000 resamples).

    The samples are drawn anew, what they are compared with stays: the interval is that of the samples' chance, and not
    of the reference's. The resamples are the same in every process.

    scores: (n,) numbers. Raises Undefined without scores, or for those that are not finite.
    """
    scores = on_host(scores).astype(np.float64)
    if not len(scores):
        raise Undefined("scores: found none, needed is at least 1")
    if not np.isfinite(scores).all():
        raise Undefined(f"scores: {np.count_nonzero(~np.isfinite(scores))} of {len(scores)} are not finite")
    random, means = generator(len(scores)), []
    # A mean depends on how often each value was drawn: of few distinct values (hits or misses), only on their counts.
    distinct, counts = np.unique(scores, return_counts=True)
    step = max(1, BLOCK_ENTRIES // len(distinct))
    for start in counted(range(0, RESAMPLES, step), "blocks of resamples"):
        rows = min(step, RESAMPLES - start)
        means.append(random.multinomial(len(scores), counts / len(scores), size=rows) @ distinct / len(scores))
    tail = (1 - CONFIDENCE) / 2
    return Estimate(scores.mean(), *np.quantile(np.concatenate(means), [tail, 1 - tail]))


def from_error(value: float, error: float) -> Estimate:
    """A number with a known standard error: 1.96 of it to either side."""
    return Estimate(value, value - Z * error, value + Z * error)


def share_of(hits: Array) -> Estimate:
    """The share of hits among n, with Wilson's (1927) 95 % interval, which says something of none and of all, too.

    The ends r solve (share - r)^2 = z^2 r (1 - r) / n. As of :func:`mean_of` it is the interval of the samples' chance.

    hits: (n,) booleans. Raises Undefined without any.
    """
    hits = on_host(hits).astype(np.float64)
    if not len(hits):
        raise Undefined("scores: found none, needed is at least 1")
    found = share_over(hits, 1.0)
    return Estimate(found, found.low, min(found.high, 1.0))  # up to rounding


def exact_share_of(hits: Array) -> Estimate:
    """The share of hits among n, with the exact 95 % interval of Clopper and Pearson (1934, Biometrika 26, 404).

    Its ends are the shares at which as many hits or more, or as few or less, have a chance of 2.5 %: it holds the true
    share in at least 95 % of all samples, also where hits are few. hits: (n,) booleans. Raises Undefined without any.
    """
    from scipy.special import betaincinv

    hits = on_host(hits)
    if not len(hits):
        raise Undefined("scores: found none, needed is at least 1")
    n, k, tail = len(hits), int(np.count_nonzero(hits)), (1 - CONFIDENCE) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return Estimate(k / n, low, high)


def share_over(scores: np.ndarray, expected: float, relative_variance: float = 0.0) -> Estimate:
    """The mean of n scores of 0 to 1 over its expectation p, with a 95 % interval that says something of none, too.

    The ends r solve (value - r)^2 = z^2 (r (1 - r p) / (n p) + value^2 relative_variance): Wilson's (1927) interval of
    the share r p, wider by what is not known of p itself, whose relative variance is given.
    """
    value, n = float(scores.mean()) / expected, len(scores)
    middle, stretch = value + Z**2 / (2 * n * expected), 1 + Z**2 / n
    half = np.sqrt(middle**2 - stretch * value**2 * (1 - Z**2 * relative_variance))
    # Where all scores are 0 or 1 an end is the value itself, but for rounding.
    return Estimate(value, min(max((middle - half) / stretch, 0.0), value), max((middle + half) / stretch, value))
