"""How the coverage of regions changes from one model to the next, and how much of it is chance."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..core.ask import Ask
from ..features.base import Features
from ..metrics.estimates import CONFIDENCE, Estimate
from ..metrics.regions import covered, regions_of

GRID = np.linspace(-8, 8, 4000)  # standard errors, on which the law of the least of several is summed; 0 is between two


class Change(NamedTuple):
    """A region of real rows: how many it has, its mean coverage by the samples of the model before and after, and the
    difference, with an interval that holds for all regions at once. error: its standard error; once: that of one set of
    samples of each model."""

    region: int
    rows: int
    before: float
    after: float
    change: Estimate
    error: float
    once: float


def changes(before: np.ndarray, after: np.ndarray, regions: np.ndarray) -> list[Change]:
    """Of each region of n rows how its coverage changes, from S sets of samples of each of two models.

    With D_s the difference of the region's coverage by the sets s, which begin at the same noise, and d_i that of row i
    in the mean over the sets,

        error^2 = Var(D_s) / S + max(0, Var(d_i) - E Var_s(D_si) / S) / n

    which is the chance of the samples and that of the real rows: other samples would reach other rows, and other rows
    would lie elsewhere. The interval is t_{S-1} errors wide to either side, at 1 - (1 - .95) / (2 R): with 95 % none of
    the R regions lies outside its own, however the regions hang together (Bonferroni). In it the chance of the rows is
    that of one row at least, 1 / n^2: where all are reached, none of the few that would not be may be among them.

    before, after: (S, n) bool, which rows a set reaches. regions: (n,) of each row, from 0.
    Raises ValueError for a single set, of which nobody knows its chance.
    """
    from scipy.stats import t

    sets = len(before)
    if sets < 2:
        raise ValueError(f"sets: found {sets}; allowed are 2 or more, by which their chance is known")
    count = int(regions.max()) + 1
    wide = float(t.ppf(1 - (1 - CONFIDENCE) / (2 * count), sets - 1))
    found = []
    for region in range(count):
        rows = regions == region
        then, now = before[:, rows].astype(np.float64), after[:, rows].astype(np.float64)
        moved, n = now - then, int(rows.sum())
        of_sets = float(moved.mean(1).var(ddof=1))
        own = float(moved.mean(0).var(ddof=1)) if n > 1 else 0.0
        of_rows = max(0.0, own - float(moved.var(0, ddof=1).mean()) / sets) / n
        change, error = float(moved.mean()), float(np.sqrt(of_sets / sets + of_rows))
        half = wide * float(np.sqrt(of_sets / sets + max(of_rows, n**-2)))  # one row at least is never known
        interval = Estimate(change, max(-1.0, change - half), min(1.0, change + half))
        once = float(np.sqrt(of_sets + of_rows))
        found.append(Change(region, n, float(then.mean()), float(now.mean()), interval, error, once))
    return found


def least_by_chance(errors: Sequence[float]) -> float:
    """What the least of several changes would be in the mean if nothing had changed: that of independent normal
    numbers about 0 with these standard errors.

        E min = - sum over the parts of the line below 0 of P(min < x) + that above 0 of P(min > x)
    """
    from scipy.stats import norm

    if not max(errors, default=0.0) > 0:
        return 0.0
    line = GRID * max(errors)
    above = np.prod([norm.sf(line / one) if one > 0 else (line < 0) * 1.0 for one in errors], axis=0)
    return float(np.trapezoid(above - (line < 0), line))


def changed(
    before: Any, after: Any, ask: Ask, sets: int, look: Callable[[Any], Features], real: Features, count: int, k: int
) -> list[Change]:
    """:func:`changes` from a model to what it was made.

    ask: for the samples of one set; further sets go on in its random stream, the same for both models. real: (n, d)
    features; count: of their regions. k: of :func:`metrics.regions.covered`.
    """

    def reached(model: Any) -> np.ndarray:
        asks = [replace(ask, start=ask.start + number * ask.count) for number in range(sets)]
        return np.stack([covered(real, look(model.sample(one).data), k) for one in asks])

    return changes(reached(before), reached(after), regions_of(real, count).of_rows)
