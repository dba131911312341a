"""The primary endpoint: its slope, and its slope against the control's.

They say whether it falls and how the fall is spread over the generations, not whether that is collapse: a fall that
levels off is not what most mean by the word.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .facts import StudyFacts
from .findings import Finding, not_testable
from .records import Record, comparable, lineages
from .statistics import FEWEST, Estimate, estimate, slope, slope_apart
from .words import and_ended, spell


def _worse(facts: StudyFacts) -> int:
    return 1 if facts.direction(facts.primary.metric) == "lower" else -1


def _slope_status(found: Estimate, worse: int) -> str:
    """What the slope does, and no more: whether that is collapse depends on who defines it."""
    seen, unseen = ("rises", "no rise seen") if worse > 0 else ("falls", "no fall seen")
    if found.unchanged:
        return unseen
    return {1: seen, -1: unseen, 0: "inconclusive"}[found.side * worse]


def _course(found: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """The mean over the lineages of at least two points, at the generations that all of these have.

    Empty where they do not begin and end together: slopes are over more than what they share, and of another pace.
    """
    long = [lineage for lineage in found.values() if len(lineage) >= 2]
    if len({(min(lineage), max(lineage)) for lineage in long}) > 1:
        return {}
    shared = sorted(set.intersection(*map(set, long))) if long else []
    return {t: float(np.mean([lineage[t] for lineage in long])) for t in shared}


def _shape(course: Mapping[int, float]) -> dict[str, float]:
    """How much of a course of at least three generations comes first, and its pace in the second half."""
    times = list(course)
    if len(times) < 4 or times[1] != times[0] + 1:
        return {}
    middle = times[len(times) // 2]
    pace = (course[times[-1]] - course[middle]) / (times[-1] - middle)
    return {"first_step": course[times[1]] - course[times[0]], "second_half_slope": pace}


def _told(found: Estimate, metric: str, course: Mapping[int, float]) -> str:
    """``Recall falls from 0.83 to 0.65 over 4 generations, 0.041 a generation (95 % interval ...); ...``."""
    times = list(course)
    if len(times) < 2:
        return found.change(metric, " a generation") if found.lineages else metric
    start, end, count = course[times[0]], course[times[-1]], times[-1] - times[0]
    if found.unchanged:
        return f"{metric} does not change over {count} generation{'s' * (count > 1)}"
    span = f"from {spell(start, end)} to {spell(end, start)} over {count} generation{'s' * (count > 1)}"
    interval = f" ({found.interval()})" if found.lineages >= FEWEST and not found.alike else ""
    if not found.side or np.sign(end - start) != found.side:
        return f"{metric} goes {span}, a slope of {spell(found.mean)} a generation{interval}"
    told = f"{metric} {'rises' if found.side > 0 else 'falls'} {span}, {spell(abs(found.mean))} a generation"
    told += f" ({found.interval(abs)})"
    if shape := _shape(course):
        first, pace = (number * found.side for number in shape.values())
        back = "fall" if found.side > 0 else "rise"
        size = {key: spell(abs(number), end - start) for key, number in shape.items()}
        told += (
            f"; {size['first_step']} of it in the first generation"
            if first >= 0
            else (f"; after a {back} by {size['first_step']} in the first generation")
        )
        told += (
            f", {size['second_half_slope']} a generation in the second half"
            if pace >= 0
            else (f", and a {back} by {size['second_half_slope']} a generation in the second half")
        )
    return told


def primary_slope(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Whether the primary metric gets worse, and by how much a generation: the least-squares slope of each lineage.

    The sentence gives the shape too: a straight fall and one that levels off can have the same slope.
    """
    worse, metric = _worse(facts), facts.label(facts.primary.metric)
    control = {arm: facts.control_of(arm) for arm in facts.arms}
    found_lineages = {arm: comparable(facts, records, arm, control[arm]) for arm in facts.arms}
    slopes = {arm: [slope(lineage) for lineage in found.values()] for arm, found in found_lineages.items()}
    findings = []
    for arm, found in estimate(slopes).items():
        course = _course(found_lineages[arm])
        sentence = _told(found, metric, course)
        if not found.side and not found.unchanged:
            sentence += f": {found.conclusion('', '')}"
        if found.lineages >= FEWEST and not found.side and not found.alike and not found.unchanged:
            # What an inconclusive arm still says: how bad it can be at most.
            bound, verb = (found.low, "fall") if worse < 0 else (found.high, "rise")
            sentence += f"; {'a' if bound * worse > 0 else 'any'} {verb}"
            sentence += (
                f" by more than {spell(abs(bound))} a generation is ruled out" if bound * worse > 0 else " is ruled out"
            )
        sentence += f".{and_ended(records, facts, arm)}"
        numbers = found.numbers()
        if len(course) >= 2:
            numbers |= {"first": course[min(course)], "last": course[max(course)]} | _shape(course)
        findings.append(Finding("primary_slope", arm, _slope_status(found, worse), sentence, numbers))
    return findings


def slope_against_control(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Whether the primary metric gets worse faster than in the control: slope differences, paired by seed.

    Arm and control of one seed share their random numbers, so that what both suffer drops out of the difference; each
    pair is compared over the generations that both have.
    """
    name, worse, metric = "slope_against_control", _worse(facts), facts.label(facts.primary.metric)
    if facts.control is None:
        return not_testable(name, facts.arms, "the study has no control")
    differences = {}
    for arm in facts.arms:
        if not (facts.is_control(arm) or facts.is_chance(arm)):
            control = lineages(records, facts.control_of(arm), facts.primary)
            own_lineages = comparable(facts, records, arm, facts.control_of(arm))
            pairs = [(own, control.get(seed, {})) for seed, own in own_lineages.items()]
            differences[arm] = [slope_apart(own, other) for own, other in pairs]
    findings = not_testable(name, [arm for arm in facts.arms if facts.is_control(arm)], "this is a control")
    # Asked of the arm that it stands beside: asked twice, Holm's correction would have twice the questions.
    findings += not_testable(name, [arm for arm in facts.arms if facts.is_chance(arm)], "here chance selects")
    for arm, found in estimate(differences).items():
        control_name = facts.control_of(arm)
        unit = f" a generation relative to {control_name}"
        change = found.change(metric, unit, noun="pairs") if found.lineages else f"{metric} relative to {control_name}"
        if found.unchanged:
            change = f"{metric} takes the same course as in {control_name}"
        told = found.side or found.unchanged
        conclusion = "" if told else f": {found.conclusion('', '', noun='pairs')}"
        findings.append(Finding(name, arm, _slope_status(found, worse), f"{change}{conclusion}.", found.numbers()))
    return sorted(findings, key=lambda finding: list(facts.arms).index(finding.arm))
