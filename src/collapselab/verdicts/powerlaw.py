"""A scaling law y = a + b x^-c through the means of lineages at several sizes; intervals by a bootstrap over seeds.

For a given exponent c the law is linear in a and b, which weighted least squares gives; c is where these are best. The
weights are the inverse variances of the means, smoothed over the sizes. The bootstrap draws whole seeds, so that what
the sizes share of a seed counts (Efron and Tibshirani 1993, chapter 8); since few seeds have too small a spread, the
intervals are +- t(S - 1) sqrt(S / (S - 1)) of its standard deviation, on the logarithm of the exponent.
"""

from typing import NamedTuple

import numpy as np

from .statistics import is_constant
from .words import ROUNDING

SIZES_MIN = 4  # points, through fewer of which a law of three numbers can be laid exactly
SEEDS_MIN = 3  # as everywhere: with fewer an interval says next to nothing
LOWEST, HIGHEST = 0.02, 10.0  # exponents: below no floor, above no slope can be told from the other sizes
STEPS = 150  # of the exponents that are tried
DRAWS = 500  # of the bootstrap
EDGE = 0.025  # of the draws at either end: what lies beyond is the interval, so more leave it open
SEED = 20_25


class Interval(NamedTuple):
    """A number with its 95 % interval, which is infinite where there is none."""

    value: float
    low: float = -np.inf
    high: float = np.inf


class Law(NamedTuple):
    """y = floor + factor x^-exponent. why: why the exponent is not determined; empty where it is.

    apart: the root of the mean square of what the means are off it, in their standard errors; NaN without these.
    """

    floor: Interval
    factor: Interval
    exponent: Interval
    why: str = ""
    apart: float = np.nan

    def at(self, x: np.ndarray) -> np.ndarray:
        """The law's values at x (n,)."""
        return self.floor.value + self.factor.value * np.asarray(x, np.float64) ** -self.exponent.value


def fit(x: np.ndarray, values: np.ndarray) -> Law | str:
    """The law through the means of values (S, P) of S seeds at P sizes x > 0; or why there is none, in words."""
    x, values = np.asarray(x, np.float64), np.asarray(values, np.float64)
    if len(x) < SIZES_MIN:
        return f"a law of three numbers needs at least {SIZES_MIN} points, and there are {len(x)}"
    means = values.mean(axis=0)
    if is_constant(means):
        return "it does not change along the axis"
    unit = np.exp(np.log(x).mean())  # powers of x as it is may be no numbers
    solver = _Solver(x / unit, _weights(x, values))
    exponent, (floor, factor) = solver.best(means)
    found = Law(Interval(floor), Interval(factor * unit**exponent), Interval(exponent))
    why = _open_end(exponent)
    if len(values) < SEEDS_MIN:
        reason = why or f"an interval needs at least {SEEDS_MIN} seeds, and there are {len(values)}"
        return found._replace(why=reason)
    apart = _apart(found, x, values)
    if (np.ptp(values, axis=0) <= ROUNDING * np.abs(values).max(axis=0)).all():
        return found._replace(why=why or "all seeds are equal, which leaves no spread to judge by")
    draws = np.random.default_rng(SEED).integers(0, len(values), (DRAWS, len(values)))
    exponents, parts = solver.all(values[draws].mean(axis=1))
    ends = [float(np.mean(exponents <= solver.tried[1])), float(np.mean(exponents >= solver.tried[-2]))]
    if max(ends) > EDGE:
        words = "no floor and no curvature are seen" if ends[0] > ends[1] else "all but the first sizes are alike"
        why = why or f"the bootstrap leaves it open, since {words}"
    return found._replace(**_intervals(found, exponents, parts, unit, len(values)), why=why, apart=apart)


def _open_end(exponent: float) -> str:
    if exponent <= LOWEST * 1.01:
        return "the points bend the other way, or lie on a logarithm: no power of the axis fits best"
    return "all but the first sizes are alike" if exponent >= HIGHEST / 1.01 else ""


def _intervals(found: Law, exponents: np.ndarray, parts: np.ndarray, unit: float, seeds: int) -> dict[str, Interval]:
    from scipy import special

    wide = special.stdtrit(seeds - 1, 0.975) * np.sqrt(seeds / (seeds - 1))
    half = wide * np.log(exponents).std(ddof=1)
    of_factor = wide * np.log(np.maximum(np.abs(parts[:, 1]) * unit**exponents, 1e-300)).std(ddof=1)
    of_floor = float(wide * parts[:, 0].std(ddof=1))
    floor, factor, exponent = found.floor.value, found.factor.value, found.exponent.value
    factors = sorted((factor * np.exp(-of_factor), factor * np.exp(of_factor)))
    return {
        "floor": Interval(floor, floor - of_floor, floor + of_floor),
        "factor": Interval(factor, *map(float, factors)),
        "exponent": Interval(exponent, float(exponent * np.exp(-half)), float(exponent * np.exp(half))),
    }


def _weights(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The inverse variance of the mean at each size, up to a factor: a power of x through the seeds' variances."""
    means, spread = values.mean(axis=0), values.var(axis=0)
    if len(values) >= SEEDS_MIN and (spread > 0).all():
        slope, start = np.polyfit(np.log(x), np.log(spread), 1)
        variances = np.exp(start + slope * np.log(x))
    else:
        variances = means**2 if (means > 0).all() else np.ones(len(x))
    return variances.min() / variances


def _apart(law: Law, x: np.ndarray, values: np.ndarray) -> float:
    errors = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    if not (errors > 0).all():
        return np.nan
    return float(np.sqrt(np.mean(((values.mean(axis=0) - law.at(x)) / errors) ** 2)))


class _Solver:
    """Least squares for every exponent: the constant is taken out first, and the power of what is left of it."""

    def __init__(self, x: np.ndarray, weights: np.ndarray) -> None:
        self.log_x, self.weights = np.log(x), weights
        self.tried = np.geomspace(LOWEST, HIGHEST, STEPS)
        self.powers = self._powers(self.tried)

    def _powers(self, exponents: np.ndarray) -> np.ndarray:
        """x^-c for several exponents: (G, P)."""
        return np.exp(-np.asarray(exponents)[:, None] * self.log_x)

    def _centred(self, rows: np.ndarray) -> np.ndarray:
        return rows - (rows @ self.weights / self.weights.sum())[:, None]

    def _rests(self, powers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What is left of the squares of rows (B, P) at each exponent: (G, B)."""
        along, of = self._centred(powers), self._centred(rows)
        explained = (along * self.weights) @ of.T  # (G, B)
        return (of**2 @ self.weights) - explained**2 / (along**2 @ self.weights)[:, None]

    def _parts(self, powers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Floor and factor of rows (B, P), each at its own power (B, P): (B, 2)."""
        along, of = self._centred(powers), self._centred(rows)
        factors = (along * of) @ self.weights / (along**2 @ self.weights)
        floors = (rows - factors[:, None] * powers) @ self.weights / self.weights.sum()
        return np.stack([floors, factors], axis=1)

    def best(self, means: np.ndarray) -> tuple[float, tuple[float, float]]:
        """The exponent that leaves least of means (P,), and floor and factor at it."""
        from scipy import optimize

        def rest(log_exponent: float) -> float:
            powers = self._powers(np.array([np.exp(log_exponent)]))
            floor, factor = self._parts(powers, means[None])[0]
            return float(self.weights @ (means - floor - factor * powers[0]) ** 2)

        index = int(np.argmin(self._rests(self.powers, means[None])[:, 0]))
        near = np.log(self.tried[[max(index - 2, 0), min(index + 2, STEPS - 1)]])
        found = optimize.minimize_scalar(rest, bounds=tuple(near), method="bounded", options={"xatol": 1e-10})
        exponent = float(np.exp(found.x))
        floor, factor = self._parts(self._powers(np.array([exponent])), means[None])[0]
        return exponent, (float(floor), float(factor))

    def all(self, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The exponents (B,) of several rows of means (B, P), between those tried by a parabola; floors and factors."""
        rests = self._rests(self.powers, means)
        index = np.clip(np.argmin(rests, axis=0), 1, STEPS - 2)
        column = np.arange(len(means))
        before, here, after = (rests[index + step, column] for step in (-1, 0, 1))
        bend = before - 2 * here + after
        shift = np.divide(0.5 * (before - after), bend, out=np.zeros_like(bend), where=bend > 0)
        step = np.log(self.tried[1] / self.tried[0])
        exponents = np.exp(np.log(self.tried[index]) + np.clip(shift, -1, 1) * step)
        return exponents, self._parts(self._powers(exponents), means)


# -- the slope of one curve, or of one over another, in logarithms -----------------------------------------------------


def slopes(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Pseudo-values (S,) of the jackknife over seeds of d log(mean) / d log(x), of values (S, P) at sizes x (P,).

    Their mean is the slope without the bias of order 1/S, and a t-interval of them is that of the slope (Tukey 1958).
    Empty where a mean, or one without some seed, is not above 0.
    """
    seeds = len(values)
    if seeds < 2:
        return np.empty(0)
    others = (values.sum(axis=0) - values) / (seeds - 1)
    means = np.vstack([values.mean(axis=0), others])
    if not (means > 0).all():
        return np.empty(0)
    along = np.log(x) - np.log(x).mean()
    found = np.log(means) @ (along / (along @ along))
    return seeds * found[0] - (seeds - 1) * found[1:]
