"""How an endpoint depends on an axis of the study's sweep: its scaling law, and whether the loop has changed it.

The curves of a sweep are those of its arms, each along one axis with the others held, and beside each that of its
controls at the same points. Dohmatob et al. (2024, https://arxiv.org/abs/2402.07043) call it collapse where the law by
which the risk falls with more data changes; it is the fifth of Schaeffer et al.'s definitions.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from . import powerlaw
from .definitions import NO_RISK, stand_in
from .facts import Endpoint, StudyFacts
from .findings import Column, Finding, Table, not_testable
from .powerlaw import Interval, Law
from .records import Record, lineages
from .statistics import FEWEST, Estimate, estimate, t_interval
from .words import and_ended, span, spell

CHANGED = 0.1  # of an exponent: a law whose exponent has become smaller by more is another; this report's own number
SIZES_MIN = 3  # at which a change of exponents is looked for
REAL = "initial.real"
UNSWEPT = (
    "a scaling law needs the same loop at several sizes, as a sweep of initial.real makes them; this study has one"
)


class Series(NamedTuple):
    """A curve along an axis. name: the arm as it was typed, with what is held of other axes. axis: as it was typed.
    arms: value of the axis -> arm, in the order of the values. control: whether it is one of controls.
    """

    name: str
    axis: str
    arms: Mapping[float, str]
    control: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the other curves of a study."""
        return self.name, self.axis

    @property
    def x(self) -> np.ndarray:
        """The values of the axis."""
        return np.array(list(self.arms), np.float64)


class Values(NamedTuple):
    """What an endpoint has along a curve: at x (P,), of several seeds (S, P), at the last generation that all have."""

    x: np.ndarray
    values: np.ndarray
    seeds: tuple[int, ...]
    generation: int


def curves(facts: StudyFacts) -> list[Series]:
    """The curves of the arms along every axis of numbers above 0, in the order of the arms."""
    found: dict[tuple[str, str, tuple[tuple[str, object], ...]], dict[float, str]] = {}
    for arm, point in facts.points.items():
        for axis, value in point.at.items():
            held = tuple((other, at) for other, at in point.at.items() if other != axis)
            found.setdefault((point.arm, axis, held), {})[value] = arm
    series = []
    for (arm, axis, held), arms in found.items():
        if len(arms) > 1 and all(_is_size(value) for value in arms):
            beside = ", ".join(f"{other} {value}" for other, value in held)
            name = f"{arm} ({beside})" if beside else arm
            series.append(Series(name, axis, {float(value): arms[value] for value in sorted(arms)}))
    return series


def _is_size(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def control_of(facts: StudyFacts, series: Series) -> Series | None:
    """The curve of the controls beside another; None where some have none, or all have the same."""
    arms = {x: facts.control_of(arm) for x, arm in series.arms.items()}
    if any(arm is None for arm in arms.values()) or len(set(arms.values())) < len(arms):
        return None
    return Series(f"control of {series.name}", series.axis, arms, control=True)


def all_curves(facts: StudyFacts) -> list[Series]:
    """The curves of arms, then those of controls, each once: where all arms have the same it is called ``control``."""
    own = curves(facts)
    beside: dict[tuple[object, ...], Series] = {}
    for one in own:
        if control := control_of(facts, one):
            beside.setdefault((one.axis, *control.arms.items()), control)
    axes = [one.axis for one in beside.values()]
    named = [one._replace(name="control") if axes.count(one.axis) == 1 else one for one in beside.values()]
    return [*own, *named]


def values_of(
    facts: StudyFacts, records: Sequence[Record], series: Series, endpoint: Endpoint, beside: Iterable[str] = ()
) -> Values | None:
    """An endpoint along a curve; of points that are not there yet, nothing; None where none is. beside: other arms that
    the generation has to be one of.
    """
    generation = facts.horizon(*series.arms.values(), *beside)
    at = {}
    for x, arm in series.arms.items():
        found = {seed: one[generation] for seed, one in lineages(records, arm, endpoint).items() if generation in one}
        if found:
            at[x] = found
    seeds = sorted(set.intersection(*map(set, at.values()))) if at else []
    if not seeds:
        return None
    values = np.array([[at[x][seed] for x in at] for seed in seeds])
    return Values(np.array(list(at)), values, tuple(seeds), generation)


# -- the law of each curve ---------------------------------------------------------------------------------------------


def scaling(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """The scaling law of the primary endpoint for each curve of the sweep, controls last."""
    findings = []
    for series in all_curves(facts) if facts.points else ():
        there = values_of(facts, records, series, facts.primary)
        if there is None:
            continue
        law = powerlaw.fit(there.x, there.values)
        metric, words = facts.label(facts.primary.metric), {"series": series.name, "axis": series.axis}
        where = f"{metric} of generation {there.generation}"
        overall = _overall(there)
        numbers: dict[str, float] = {"points": len(there.x), "lineages": len(there.seeds)}
        numbers |= {"slope": overall.value} if overall else {}
        whole = f" On the whole it goes as x^{_spelt(overall, 'lineages', len(there.seeds))}." if overall else ""
        if isinstance(law, str):
            status, sentence = "no law", f"{where}: {law}.{whole}"
        else:
            numbers |= {"exponent": law.exponent.value, "floor": law.floor.value, "factor": law.factor.value}
            numbers |= _ends("exponent", law.exponent) | _ends("floor", law.floor)
            status = "not determined" if law.why else "law"
            sentence = f"{where} is {_formula(law)}{_certainty(law, len(there.seeds))}.{whole}"
        last = list(series.arms.values())[-1]
        words |= {"exponent_words": _exponent_words(law)}
        findings.append(Finding("scaling", last, status, sentence, numbers, words))
    return findings


def _overall(there: Values) -> Interval | None:
    """The slope of the mean in logarithms, from the first to the last size."""
    pseudo = powerlaw.slopes(there.x, there.values) if len(there.x) > 1 else np.empty(0)
    if not len(pseudo):
        return None
    low, high, _ = t_interval(pseudo)
    return Interval(float(pseudo.mean()), low, high)


def _ends(name: str, interval: Interval) -> dict[str, float]:
    ends = {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {key: float(end) for key, end in ends.items() if np.isfinite(end)}


def _formula(law: Law) -> str:
    sign = "+" if law.factor.value >= 0 else "−"
    return f"{spell(law.floor.value)} {sign} {spell(abs(law.factor.value))} x^{spell(-law.exponent.value)}"


def _certainty(law: Law, seeds: int) -> str:
    if law.why:
        return f", but the exponent is not determined: {law.why}"
    exponent, floor = (span(one.low, one.high) for one in (law.exponent, law.floor))
    said = f" (exponent {exponent}, floor {floor}; 95 % intervals, {seeds} seeds)"
    return said + (f"; the means are {spell(law.apart)} standard errors off it" if np.isfinite(law.apart) else "")


def _exponent_words(law: Law | str) -> str:
    if isinstance(law, str) or law.why:
        return "–"
    return f"{spell(law.exponent.value)} ({span(law.exponent.low, law.exponent.high)})"


def _spelt(one: Interval, noun: str, count: int) -> str:
    found = spell(one.value)
    return found if not np.isfinite(one.low) else f"{found} (95 % interval {span(one.low, one.high)}, {count} {noun})"


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "How the primary endpoint depends on the axes x of the sweep, each arm along one with the others held: "
        "a + b x^−c through the means over seeds, by weighted least squares; a is where it would end, c the exponent. "
        "Its interval is of a bootstrap over seeds, widened for their number. Through fewer than 4 points no such law "
        "is laid, and where the points do not tell a floor from a slope the exponent is left open. The slope on the "
        "whole is of logarithms, and needs no curvature."
    )


TABLE = Table(
    "scaling",
    "Scaling laws",
    "Law",
    _about,
    before=(Column("Along", "axis", "soft"), Column("Exponent", "exponent_words", "number")),
)


# -- has it changed? ---------------------------------------------------------------------------------------------------


class _Pair(NamedTuple):
    """A curve of arms beside that of its controls, of the same seeds."""

    series: Series
    own: Values
    control: Values

    @property
    def apart(self) -> np.ndarray:
        """Pseudo-values, seed by seed, of the difference of the two slopes."""
        own, control = (powerlaw.slopes(one.x, one.values) for one in (self.own, self.control))
        return own - control if len(own) == len(control) else np.empty(0)


def scaling_law(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 5, a change in the scaling law: risk that falls with more data as another power than without a loop.

    risk ~ x^-c in the arm and x^-c' in the controls of its sizes, over the sizes of the sweep: collapse where c is
    surely smaller than c' by more than a tenth, no collapse where that is surely not so. The exponents are slopes of
    logarithms, so a floor that the loop puts under the risk counts, and a mere factor does not: it is told.
    """
    name = "scaling_law"
    if not facts.points:
        return not_testable(name, facts.arms, UNSWEPT)
    endpoint = stand_in(facts, records, "risk")
    if endpoint is None:
        return not_testable(name, facts.arms, NO_RISK)
    of = _series_of(facts)
    pairs, reasons = {}, {}
    for key, series in {one.key: one for one in of.values()}.items():
        found = _paired(facts, records, series, endpoint)
        (reasons if isinstance(found, str) else pairs)[key] = found
    changes = estimate({key: pair.apart for key, pair in pairs.items()}, CHANGED)
    findings = []
    for arm in facts.arms:
        if arm not in of:
            reason = "it is what arms of the sweep are held against" if facts.is_control(arm) else "it has one size"
            findings += not_testable(name, [arm], reason)
            continue
        key = of[arm].key
        if key in reasons:
            findings += not_testable(name, [arm], reasons[key])
            continue
        findings.append(_judged(facts, records, arm, endpoint, pairs[key], changes[key]))
    return findings


def _series_of(facts: StudyFacts) -> dict[str, Series]:
    """The curve that an arm is judged by: along the number of real rows where it has that axis, else its first."""
    found: dict[str, Series] = {}
    for series in sorted(curves(facts), key=lambda one: one.axis != REAL):
        for arm in series.arms.values():
            found.setdefault(arm, series)
    return found


def _paired(facts: StudyFacts, records: Sequence[Record], series: Series, endpoint: Endpoint) -> _Pair | str:
    """A curve beside its controls'; or why they cannot be compared."""
    if len(series.arms) < SIZES_MIN:
        return f"a change of exponents needs at least {SIZES_MIN} sizes, and {series.axis} has {len(series.arms)}"
    control = control_of(facts, series)
    if control is None:
        return f"beside the points of {series.axis} stand not as many controls, by which its own law would be known"
    own = values_of(facts, records, series, endpoint, control.arms.values())
    other = values_of(facts, records, control, endpoint, series.arms.values())
    if own is None or other is None or len(own.x) < len(series.arms) or len(other.x) < len(series.arms):
        return "not all sizes have been measured yet"
    seeds = [seed for seed in own.seeds if seed in other.seeds]
    own, other = (
        one._replace(values=one.values[[one.seeds.index(seed) for seed in seeds]], seeds=tuple(seeds))
        for one in (own, other)
    )
    for whose, one in (("the arm's", own), ("the controls'", other)):
        if len(seeds) > 1 and not len(powerlaw.slopes(one.x, one.values)):
            return f"{whose} risk is estimated as no more than 0 at some size, of which there is no logarithm"
    return _Pair(series, own, other)


def _judged(
    facts: StudyFacts, records: Sequence[Record], arm: str, endpoint: Endpoint, pair: _Pair, change: Estimate
) -> Finding:
    """Whether an arm's exponent is smaller than its controls'."""
    metric, axis = facts.label(endpoint.metric), pair.series.axis
    slopes = [_overall(one) for one in (pair.own, pair.control)]
    if change.lineages < FEWEST or None in slopes:
        said = f"{metric} along {axis}: {change.conclusion('', '')}"
        return Finding("scaling_law", arm, "inconclusive", f"{said}.{and_ended(records, facts, arm)}", change.numbers())
    own, control = slopes
    numbers = change.numbers() | {"exponent": -own.value, "control_exponent": -control.value}
    where = f"{metric} of generation {pair.own.generation} goes as {axis}^{spell(own.value)}"
    where += f", and in the controls as {axis}^{spell(control.value)}"
    if control.high >= 0 or not np.isfinite(control.high):
        said = f"{where}: inconclusive, since the controls' does not surely fall, and no law is there to change"
        return Finding("scaling_law", arm, "inconclusive", f"{said}.{and_ended(records, facts, arm)}", numbers)
    ratio = float(np.exp(np.mean(np.log(pair.own.values.mean(axis=0) / pair.control.values.mean(axis=0)))))
    numbers["factor"] = ratio
    apart = "" if change.alike or change.unchanged else f"; {change.interval()} of the difference"
    above = f"its exponent is smaller by more than {CHANGED}: collapse"
    below = f"its exponent is not smaller by {CHANGED}: no collapse"
    status = change.status()
    conclusion = change.conclusion(above, below)
    if change.alike and change.sd == 0 and change.mean <= 0:  # the arm is its control, seed by seed
        status, conclusion = "no collapse", below
    factor = f" On average over the sizes it is {spell(ratio)} times the controls', which is no change of exponent."
    said = f"{where}{apart}: {conclusion}.{factor if status == 'no collapse' else ''}"
    return Finding("scaling_law", arm, status, f"{said}{and_ended(records, facts, arm)}", numbers)
