"""When will it have halved? Collapse laws, fitted to the first generations, tell the later ones.

What is foretold is the generation at which half of the lineages have lost half (the median lineage): the mean curve may
halve much later, where a few lineages keep much. No law is chosen: the interval has 95 % of the mixture of all laws,
each by its probability (``curves``; Hoeting et al. 1999, Bayesian model averaging), and reaches to no halving at all
where a rate of 0 or a floor above the half is that likely.

What is known of later generations is not fitted, and judges: where it stops falling there, nothing is foretold.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..measure.roles import losable
from .curves import LATEST, Candidate, candidates, halvings
from .facts import Endpoint, StudyFacts
from .findings import Column, Finding, Table
from .records import Record, indexed, lineages, up_to
from .statistics import FEWEST, Estimate, estimate, slope
from .words import digits_apart, span, spell

FEWEST_POINTS = 4  # generations that a law is fitted to
SIGHT = 10  # times the fitted generations: what halves later than that is out of sight
FITTED = 200  # lineages that are fitted, evenly chosen where there are more: their mean rate is sure enough
LIKELY = 0.05  # the least probability of a law that is named


class Known(NamedTuple):
    """What is known of an arm: seed -> generation -> value, all of it and the first generations, which are fitted.

    slope: that of the first generations over lineages. fitted: the last of them.
    """

    lineages: Mapping[int, Mapping[int, float]]
    early: Mapping[int, Mapping[int, float]]
    slope: Estimate
    fitted: int


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

    status: forecast, no halving in sight (it does not surely fall, falls no more after the fitted generations, levels
    off above the half, or falls so slowly that the whole interval is later than ten times the fitted generations), or
    cannot tell (of fewer than three lineages, of equal ones, where the interval has no end, and where what is not seen
    to fall has halved all the same). generation, low, high: the halving and its 95 % interval, infinite where none is
    in sight, NaN where it cannot be told. floor: the share of generation 0 at which the arm levels off by the likeliest
    law, above the half where that is likely. measured: the generation at which half of the lineages have lost half of
    their first values, infinite when that is later than the last generation, NaN when no later generation is known.
    error: measured less foretold.

    fitted: the last generation that is looked at, by default that of the first half and at least of the fourth; with
    fewer generations than four nothing is foretold.
    """
    records = indexed(records)
    endpoint = endpoint_of(facts, records)
    if endpoint is None or facts.generations + 1 < FEWEST_POINTS:
        return []
    if fitted is None:
        fitted = max(FEWEST_POINTS - 1, facts.generations // 2)
    found = {arm: up_to(lineages(records, arm, endpoint), facts.horizon(arm)) for arm in facts.loops.arms}
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
    known = {arm: Known(found[arm], early[arm], slopes[arm], fitted) for arm in found}
    return [_forecast(facts.label(endpoint.metric), arm, one) for arm, one in known.items()]


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


def _goes_on(known: Known) -> bool:
    """Whether what is known of the generations after the fitted ones still falls; true where nothing is."""
    later = [{t: v for t, v in lineage.items() if t >= known.fitted} for lineage in known.lineages.values()]
    slopes = [slope(lineage) for lineage in later if len(lineage) >= 2]
    return not slopes or float(np.mean(slopes)) < 0


def _forecast(what: str, arm: str, known: Known) -> Finding:
    measured, fitted = _measured(known.lineages, known.fitted), known.fitted
    halved = math.isfinite(measured)
    generation, low, high, floor, law = math.inf, float(fitted), math.inf, 0.0, ""
    if len(known.early) < FEWEST:
        needed = f"at least {FEWEST} lineages with {FEWEST_POINTS} generations that begin above 0"
        status, sentence = "cannot tell", f"A forecast needs {needed}; there are {len(known.early)}."
        generation = low = high = math.nan
    elif known.slope.alike:
        status, sentence = "cannot tell", f"All {len(known.early)} lineages are equal, which foretells nothing."
        generation = low = high = math.nan
    elif known.slope.side >= 0 and measured <= fitted:
        status, sentence = "cannot tell", f"{what} is not surely seen to fall up to generation {fitted}."
        generation = low = high = math.nan
    elif known.slope.side >= 0:
        status = "no halving in sight"
        sentence = f"{what} is not seen to fall up to generation {fitted}: no halving in sight, later than {fitted}."
    elif not halved and not _goes_on(known):
        status, last = "no halving in sight", _last(known)
        low = float(last)
        sentence = f"{what} falls up to generation {fitted} and no more from there to {last}: no halving in sight."
    else:
        chosen = list(known.early.values())[:: max(1, len(known.early) // FITTED)]
        values = np.array([[lineage.get(t, np.nan) for t in range(fitted + 1)] for lineage in chosen])
        laws = candidates(values)
        low, generation, high = halvings(laws, (0.025, 0.5, 0.975))
        floor, law = _floor(laws), _laws(laws)
        status = "cannot tell" if math.isinf(high) else "forecast"
        status = "no halving in sight" if low > SIGHT * fitted or math.isinf(generation) else status
        sentence = _foretold(what, known, status, (low, generation, high), laws)
    error = measured - generation if halved and status == "forecast" else math.nan
    sentence += _held_against(known, status, generation, measured)
    numbers = {"generation": generation, "low": low, "high": high, "floor": floor, "fitted": fitted}
    numbers |= {"measured": measured, "error": error, "lineages": len(known.early)}
    return Finding("halving", arm, status, sentence, numbers, {"law": law})


def _last(known: Known) -> int:
    return max((max(lineage) for lineage in known.lineages.values() if lineage), default=0)


def _above(found: Sequence[Candidate]) -> float:
    """The probability that an arm levels off above the half."""
    return sum(one.probability for one in found if one.floor >= 0.5)


def _floor(found: Sequence[Candidate]) -> float:
    """Where the likeliest law levels off; above the half where that is likely, as no one floor there need be."""
    return next(one.floor for one in found if one.floor >= 0.5 or _above(found) <= 0.5)


def _laws(found: Sequence[Candidate]) -> str:
    """``exponential 0.83, hyperbolic 0.17``: the laws that are likely at all, with their probabilities."""
    chances: dict[str, float] = {}
    for one in found:
        chances[one.law] = chances.get(one.law, 0.0) + one.probability
    likely = sorted((item for item in chances.items() if item[1] >= LIKELY), key=lambda item: -item[1])
    return ", ".join(f"{law} {chance:.2f}" for law, chance in likely)


def _foretold(
    what: str, known: Known, status: str, times: tuple[float, float, float], laws: Sequence[Candidate]
) -> str:
    low, generation, high = times
    if _above(laws) > 0.5:
        return f"{what} probably levels off at about {_floor(laws):.0%} of generation 0: no halving in sight."
    if status == "no halving in sight":
        return f"{what} falls too slowly for a halving to be in sight: later than {spell(min(low, LATEST))}."
    if status == "cannot tell":
        return f"{what} halves later than at generation {spell(low)}, or never: the interval has no end."
    digits = digits_apart(low, high)
    return (
        f"{what} has halved in half of the lineages at generation {spell(generation, digits=digits)} "
        f"(95 % interval {span(low, high)}; {len(known.early)} lineages)."
    )


def _held_against(known: Known, status: str, generation: float, measured: float) -> str:
    """What the later generations say of the forecast; "" where none is known."""
    last = _last(known)
    if math.isnan(measured):
        return ""
    if math.isinf(measured):
        late = status == "forecast" and generation < last
        return f" Measured: not halved by generation {last}" + (
            f", at least {spell(last - generation)} later than foretold." if late else "."
        )
    if measured <= known.fitted:
        return f" It was there already: halved at {spell(measured)}, within the fitted generations."
    if status != "forecast":
        return f" Measured: {spell(measured)}."
    error = measured - generation
    return (
        f" Measured: {spell(measured)}, {spell(abs(error))} generations {'later' if error > 0 else 'earlier'} "
        "than foretold."
    )


# -- how it is told ----------------------------------------------------------------------------------------------------


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "The generation at which half of the lineages have lost half of their generation 0 (the median lineage; the "
        f"mean over lineages may halve later), foretold from generations 0 to {found[0].numbers['fitted']} alone. The "
        "interval has 95 % of all laws that a collapse may follow, each by its probability given the arm. Where later "
        "generations are known, they say how good the forecast was, and where they fall no more there is none."
    )


TABLE = Table("forecast", "Forecast", "Forecast", _about, after=(Column("Laws", "law", "soft"),))
