"""What the moments of a loop tend to with ever more generations, where that is known."""

import math
from collections.abc import Callable

import numpy as np

from ..compose.regimes import Regime, recipe
from .gaussian import accumulate_limit, accumulate_subsample_moments
from .moments import Moments, shrinkage
from .recursion import regime_moments

SETTLED = 1e-6  # a change in as many generations again that is none
LONGEST = 256  # generations of a recursion that are worth a limit
MEMORY = 16  # generations that a training set reaches back: one that keeps all its past settles too slowly
POOL = 20_000  # generations after which a subsample of all rows so far changes by less than 1 / POOL


def replace_limit(n: int, ddof: int, sampling_bias: float = 1.0) -> Moments:
    """The limit of :func:`replace_moments`: with f = lambda a, V tends to 0, stays or grows as f is below, at or above
    1, and D to 1 / (n (1 - f)), or without bound from f = 1 on.
    """
    factor = sampling_bias * shrinkage(n, ddof)
    if math.isclose(factor, 1.0, rel_tol=1e-12):
        return Moments(math.inf, shrinkage(n, ddof))
    if factor > 1:
        return Moments(math.inf, math.inf)
    return Moments(1 / (n * (1 - factor)), 0.0)


def recursion_limit(
    regime: Regime,
    ddof: int,
    samples: int,
    sampling_bias: float | dict[int, float],
    kernel: float | Callable[[float], float],
) -> Moments | None:
    """What :func:`regime_moments` settles at within a few hundred generations; None where it is still moving then, and
    for training sets that reach far back.
    """
    eaten = [draw.generation for draw in recipe(regime, "self", LONGEST).draws if not draw.is_real]
    if min(eaten, default=LONGEST) < LONGEST - MEMORY:
        return None
    ends = [regime_moments(regime, last, ddof, samples, sampling_bias, kernel) for last in (LONGEST // 2, LONGEST)]
    early, late = (np.array([end.drift[-1], end.variance[-1]]) for end in ends)
    return Moments(*map(float, late)) if np.allclose(early, late, rtol=SETTLED, atol=0) else None


def accumulated_limit(n: int, ddof: int) -> Moments | None:
    """The limit where all rows are kept, for ddof 0."""
    return accumulate_limit(n) if ddof == 0 else None


def subsampled_limit(n: int) -> Moments:
    """The limit of :func:`accumulate_subsample_moments`, which has no closed form: the end of many generations."""
    found = accumulate_subsample_moments(POOL, n)
    return Moments(float(found.drift[-1]), float(found.variance[-1]))
