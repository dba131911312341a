"""When will it have halved? A collapse law, fitted to the first generations, tells the later ones.

Each lineage is fitted by least squares with a law r(t) = r_0 f(lambda t), which starts at f = 1 and falls at the rate
lambda a generation:

exponential           f = exp(-lambda t)                 what a loop multiplies by the same factor every generation
hyperbolic            f = 1 / (1 + lambda t)             what drifts as distinct items do, of which about 2n / t remain
exponential to floor  f = c + (1 - c) exp(-lambda t)     what fresh data holds up; c is one number for an arm

The law is chosen for the whole study and not for each arm, by the AICc (Hurvich and Tsai 1989) over all fitted points
of the arms that fall: arms of one study are compared, and a choice for each would follow its noise. The interval is a
t-interval over the rates lambda of an arm's lineages, at 95 %, turned into generations: a rate is defined for a lineage
that rises too, as the logarithm of tau = 1 / lambda is not, and an interval of rates that reaches 0 says "no halving in
sight" with the earliest generation that it leaves possible. With a floor it is an interval for the given c.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..measure.roles import losable
from .facts import Endpoint, StudyFacts
from .findings import Finding, Table
from .records import Record, indexed, lineages
from .statistics import FEWEST, estimate, slope, t_interval
from .words import digits_apart, spell

FEWEST_POINTS = 4  # generations that a law is fitted to
SIGHT = 10  # times the fitted generations: what halves later than that is out of sight
FASTEST = 1e3  # rate a generation: all is lost in the first
FLOORS = tuple(i / 20 for i in range(20))  # shares of generation 0 at which an arm may level off


class Fit(NamedTuple):
    """Rates (lineages,) of one arm, the floor that they share, and the sum of squared residuals."""

    rates: np.ndarray
    floor: float
    squares: float


# -- laws --------------------------------------------------------------------------------------------------------------


def exponential(x: np.ndarray) -> np.ndarray:
    """exp(-x), of x = rate times generation."""
    return np.exp(-np.clip(x, -50, None))


def hyperbolic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + x), of x = rate times generation, which a rise lets blow up at -1."""
    return 1 / np.maximum(1 + x, 1e-3)


def fit(values: np.ndarray, law: Callable[[np.ndarray], np.ndarray], floor: float = 0.0) -> tuple[np.ndarray, float]:
    """The least-squares rates of lineages: (rates (lineages,), sum of squared residuals).

    values: (lineages, generations) from generation 0 on, NaN where there is none. For a given rate r_0 is linear and
    has its closed form, so that the rate alone is searched, on a grid that is narrowed around its best point.
    """
    time = np.arange(values.shape[1], dtype=np.float64)
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)

    def squares(rates: np.ndarray) -> np.ndarray:  # (lineages, grid) -> (lineages, grid)
        shape = np.where(there[:, None], floor + (1 - floor) * law(rates[..., None] * time), 0.0)
        start = np.einsum("lgt,lt->lg", shape, filled) / np.einsum("lgt,lgt->lg", shape, shape)
        return ((filled[:, None] - start[..., None] * shape) ** 2).sum(axis=-1)

    slowest = -0.9 / max(1, len(time) - 1)  # the steepest rise that both laws allow
    grid = np.concatenate([np.linspace(slowest, 0, 20, endpoint=False), [0.0], np.geomspace(1e-4, FASTEST, 140)])
    grid = np.tile(grid, (len(values), 1))
    rows = np.arange(len(values))
    for _ in range(4):
        best = squares(grid).argmin(axis=1)
        left, right = grid[rows, np.maximum(best - 1, 0)], grid[rows, np.minimum(best + 1, grid.shape[1] - 1)]
        grid = left[:, None] + (right - left)[:, None] * np.linspace(0, 1, 41)
    left_over = squares(grid)
    best = left_over.argmin(axis=1)
    return grid[rows, best], float(left_over[rows, best].sum())


def fit_exponential(values: np.ndarray) -> Fit:
    """The exponential law, which falls to nothing."""
    rates, squares = fit(values, exponential)
    return Fit(rates, 0.0, squares)


def fit_hyperbolic(values: np.ndarray) -> Fit:
    """The hyperbolic law."""
    rates, squares = fit(values, hyperbolic)
    return Fit(rates, 0.0, squares)


def fit_to_floor(values: np.ndarray) -> Fit:
    """The exponential law that levels off: of the floors tried, the one with the least squares over the arm."""
    fits = [(floor, *fit(values, exponential, floor)) for floor in FLOORS]
    floor, rates, squares = min(fits, key=lambda one: one[-1])
    return Fit(rates, floor, squares)


def halving(law: str, floor: float, rate: float) -> float:
    """The generation at which a law is at half of its start; infinite where it never is."""
    if rate <= 0 or floor >= 0.5:
        return math.inf
    return 1 / rate if law == "hyperbolic" else math.log((1 - floor) / (0.5 - floor)) / rate


def aicc(squares: float, points: int, parameters: int) -> float:
    """Akaike's criterion with its correction for small samples: n log(S / n) + 2K + 2K(K + 1) / (n - K - 1)."""
    if points <= parameters + 1:
        return math.inf
    spread = max(squares / points, 1e-30)  # an exact fit of noiseless curves
    return points * math.log(spread) + 2 * parameters + 2 * parameters * (parameters + 1) / (points - parameters - 1)


# -- forecasts ---------------------------------------------------------------------------------------------------------


def endpoint_of(facts: StudyFacts, records: Iterable[Record]) -> Endpoint | None:
    """What halves: recall in the primary's feature space, else in another, else the next of what can be lost.

    The primary itself goes before them, where it can be lost.
    """
    spaces: dict[str, set[str]] = {}
    for metric, extractor, _ in indexed(records).determined:
        spaces.setdefault(metric, set()).add(extractor)
    best = sorted(losable(spaces), key=lambda metric: metric != facts.primary.metric)
    if not best:
        return None
    home = facts.primary.extractor
    return Endpoint(best[0], home if home in spaces[best[0]] else min(spaces[best[0]]), facts.primary.set)


def forecast(facts: StudyFacts, records: Iterable[Record], fitted: int | None = None) -> list[Finding]:
    """What the first generations foretell of each arm, in the order of the study; empty where nothing can halve.

    status: forecast, no halving in sight (it does not surely fall, levels off above the half, or falls so slowly that
    the whole interval is later than ten times the fitted generations), or cannot tell. generation, low, high: the
    halving and its 95 % interval, infinite where none is in sight, NaN where it cannot be told. floor: the share of
    generation 0 at which the arm levels off by the study's law. measured: the generation at which half of the lineages
    have lost half of their first values, infinite when that is later than the last generation, NaN when no later
    generation is known. error: measured less foretold.

    fitted: the last generation that is looked at, by default that of the first half and at least of the fourth; with
    fewer generations than four nothing is foretold.
    """
    records = indexed(records)
    endpoint = endpoint_of(facts, records)
    if endpoint is None or facts.generations + 1 < FEWEST_POINTS:
        return []
    if fitted is None:
        fitted = max(FEWEST_POINTS - 1, facts.generations // 2)
    found = {arm: lineages(records, arm, endpoint) for arm in facts.loops.arms}
    # A lineage needs its first value, which is halved, and enough of the others.
    early = {
        arm: {
            seed: {t: v for t, v in lineage.items() if t <= fitted}
            for seed, lineage in of_seeds.items()
            if lineage.get(0, 0) > 0 and sum(t <= fitted for t in lineage) >= FEWEST_POINTS
        }
        for arm, of_seeds in found.items()
    }
    slopes = estimate({arm: list(map(slope, of_seeds.values())) for arm, of_seeds in early.items()})
    falling = {arm: slopes[arm].side < 0 for arm in early}
    curves = {
        arm: np.array([[lineage.get(t, np.nan) for t in range(fitted + 1)] for lineage in of_seeds.values()])
        for arm, of_seeds in early.items()
    }
    law, fits = _chosen({arm: curves[arm] for arm in curves if falling[arm]})
    return [
        _forecast(facts, endpoint, arm, fitted, law, fits.get(arm), falling[arm], len(early[arm]), found[arm])
        for arm in facts.loops.arms
    ]


def _chosen(curves: Mapping[str, np.ndarray]) -> tuple[str, dict[str, Fit]]:
    """The law with the least AICc over all arms, and its fits; "" without arms that fall."""
    found: dict[str, tuple[float, dict[str, Fit]]] = {}
    points = sum(int(np.isfinite(values).sum()) for values in curves.values())
    lines = sum(map(len, curves.values()))
    for law, (fit_arm, own) in LAWS.items() if curves else ():
        # Each lineage has its start and its rate, each arm its floor if there is one; and there is the noise.
        fits = {arm: fit_arm(values) for arm, values in curves.items()}
        squares = sum(one.squares for one in fits.values())
        # What adds a parameter must leave the others no support (a difference of 10, Burnham and Anderson 2002).
        found[law] = aicc(squares, points, 2 * lines + own * len(curves) + 1) + 10 * own, fits
    law = min(found, key=lambda name: found[name][0], default="")
    return law, found[law][1] if law else {}


def crossing(lineage: Mapping[int, float]) -> float:
    """The generation at which a curve first reaches half of its value at generation 0, interpolated; else infinite."""
    half, before = lineage[0] / 2, 0
    for generation, number in lineage.items():
        if number <= half:
            part = (lineage[before] - half) / (lineage[before] - number)
            return before + part * (generation - before)
        before = generation
    return math.inf


def _measured(found: Mapping[int, Mapping[int, float]], fitted: int) -> float:
    """The generation at which half of the lineages have lost half; NaN when no generation after ``fitted`` is known.

    Lineages wander, and each first touches its half earlier than it is there to stay: the median of those first
    touches comes well before what a rate foretells. So the median over lineages is taken first.
    """
    known = [lineage for lineage in found.values() if lineage.get(0, 0) > 0 and max(lineage) > fitted]
    left = {t: [lineage[t] / lineage[0] for lineage in known if t in lineage] for t in sorted(set().union(*known))}
    return crossing({t: float(np.median(shares)) for t, shares in left.items()}) if known else math.nan


def _forecast(
    facts: StudyFacts,
    endpoint: Endpoint,
    arm: str,
    fitted: int,
    law: str,
    found: Fit | None,
    falls: bool,
    count: int,
    known: Mapping[int, Mapping[int, float]],
) -> Finding:
    what = facts.label(endpoint.metric)
    measured = _measured(known, fitted)
    last = max((max(lineage) for lineage in known.values() if lineage), default=0)
    floor, generation, low, high, error = 0.0, math.nan, math.nan, math.nan, math.nan
    if count < FEWEST:
        status = "cannot tell"
        needed = f"at least {FEWEST} lineages with {FEWEST_POINTS} generations that begin above 0"
        sentence = f"A forecast needs {needed}; there are {count}."
    elif not falls:
        status, generation, low, high = "no halving in sight", math.inf, float(fitted), math.inf
        sentence = f"{what} is not seen to fall up to generation {fitted}: no halving in sight, later than {fitted}."
    else:
        floor = found.floor
        slowest, fastest, _ = t_interval(found.rates)
        generation, low, high = (halving(law, floor, float(rate)) for rate in (found.rates.mean(), fastest, slowest))
        status = "no halving in sight" if low > SIGHT * fitted else "forecast"
        if floor >= 0.5:
            sentence = f"{what} levels off at {floor:.0%} of generation 0: no halving in sight."
        elif math.isinf(generation) or status != "forecast":
            sentence = f"{what} falls too slowly for a halving to be in sight: later than {spell(low)}."
        else:
            digits = digits_apart(low, high) if math.isfinite(high) else 3
            end = f"to {spell(high, low, digits)}" if math.isfinite(high) else "on, without end"
            sentence = f"{what} halves at generation {spell(generation, digits=digits)} "
            sentence += f"(95 % interval {spell(low, digits=digits)} {end}; {count} lineages)."
    if math.isfinite(measured):
        error = measured - generation if math.isfinite(generation) else math.nan
        if measured <= fitted:
            sentence += f" It was there already: halved at {spell(measured)}, within the fitted generations."
        else:
            sentence += f" Measured: {spell(measured)}"
            apart = f", {spell(abs(error))} generations {'later' if error > 0 else 'earlier'} than foretold."
            sentence += apart if math.isfinite(error) else "."
    elif math.isinf(measured):
        sentence += f" Measured: not halved by generation {last}"
        late = status == "forecast" and generation < last
        sentence += f", at least {spell(last - generation)} later than foretold." if late else "."
    numbers = {"generation": generation, "low": low, "high": high, "floor": floor, "fitted": fitted}
    numbers |= {"measured": measured, "error": error, "lineages": count}
    return Finding("halving", arm, status, sentence, numbers, {"law": law})


# -- how it is told ----------------------------------------------------------------------------------------------------


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    law = found[0].words["law"]
    by_law = f", by the law that fits this study best: {law}" if law else ""
    return (
        f"When it is down to half of generation 0, foretold from generations 0 to {found[0].numbers['fitted']} "
        f"alone{by_law}; the intervals are t-intervals over lineages. The law is chosen as if every generation erred "
        "by itself: where lineages wander, another may hold. Where later generations are known, they say how good it "
        "was."
    )


TABLE = Table("forecast", "Forecast", "Forecast", _about)
LAWS: dict[str, tuple[Callable[[np.ndarray], Fit], int]] = {  # law: how an arm is fitted, parameters that it adds
    "exponential": (fit_exponential, 0),
    "hyperbolic": (fit_hyperbolic, 0),
    "exponential to a floor": (fit_to_floor, 1),
}
