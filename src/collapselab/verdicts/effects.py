"""How large the differences between arms are, whether two arms are alike, and what a study of this size can see.

All of it is about the slope of the primary endpoint, in pairs of one seed, whose shared luck drops out. A difference is
told in its own unit and in standard deviations over pairs: Hedges' g (1981), d (1 - 3 / (4 (n - 1) - 1)). Two arms are
alike where it is surely smaller than a margin, by two one-sided tests at 5 % (Schuirmann 1987): a tenth of what the
control has at first, over the whole study. The smallest effect that a study sees is the difference that its test would
find in 80 of 100 studies like it, by the noncentral t law.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from .facts import StudyFacts
from .findings import Column, Finding, Table
from .records import Record, comparable, lineages
from .statistics import CONFIDENCE, FEWEST, Estimate, estimate, slope_apart
from .words import spell

MARGIN = 0.1  # of the first value, over the whole study: a smaller difference is none
POWER = 0.8
MOST_SEEDS = 10_000


def contrasts(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Every two arms against each other, by their names; Holm's correction runs over all pairs.

    status: higher or lower slope (the first arm's is surely above or below the second's), alike (surely within the
    margin, and not surely apart), inconclusive. numbers: the difference with its interval, g, and the margin.
    """
    pairs = list(combinations(sorted(arm for arm in facts.arms if not facts.is_chance(arm)), 2))
    found = estimate({pair: _differences(facts, records, *pair) for pair in pairs})
    margin, metric = _margin(facts, records), facts.label(facts.primary.metric)
    findings = []
    for (arm, other), one in found.items():
        status = {1: "higher slope", -1: "lower slope", 0: "inconclusive"}[one.side]
        if one.unchanged or (not one.side and is_alike(one, margin)):
            status = "alike"
        sentence = _contrasted(metric, one, status, margin)
        numbers = one.numbers() | {"g": standardised(one), "margin": margin}
        findings.append(Finding(f"contrast.{other}", arm, status, sentence, numbers, {"other": other}))
    return findings


def _differences(facts: StudyFacts, records: Sequence[Record], arm: str, other: str) -> list[float]:
    """The differences of slopes in pairs of one seed, over the generations that both have."""
    beside = lineages(records, other, facts.primary)
    pairs = [(own, beside.get(seed, {})) for seed, own in comparable(facts, records, arm, other).items()]
    return [slope_apart(own, theirs) for own, theirs in pairs]


def _margin(facts: StudyFacts, records: Sequence[Record]) -> float:
    """A tenth of the first values of the control, else of all arms, a generation; NaN where there is none."""
    arms = [facts.control] if facts.control is not None else list(facts.arms)
    first = [lineage[0] for arm in arms for lineage in lineages(records, arm, facts.primary).values() if 0 in lineage]
    return MARGIN * abs(float(np.mean(first))) / max(1, facts.generations) if first else math.nan


def standardised(found: Estimate) -> float:
    """Hedges' g of a mean of n differences: mean / sd, times what makes up for its bias at few; NaN without an sd."""
    if found.lineages < 2 or not found.sd > 0:
        return math.nan
    return found.mean / found.sd * (1 - 3 / (4 * (found.lineages - 1) - 1))


def is_alike(found: Estimate, margin: float) -> bool:
    """Whether a mean surely lies within the margin on either side: its 90 % interval does."""
    from scipy import special

    if found.lineages < FEWEST or not found.sd > 0:
        return False
    half = special.stdtrit(found.lineages - 1, CONFIDENCE) * found.sd / math.sqrt(found.lineages)
    return abs(found.mean) + half < margin


def _contrasted(metric: str, found: Estimate, status: str, margin: float) -> str:
    unit = " a generation"
    if status == "alike" and found.unchanged:
        return f"{metric} takes the same course in both."
    if found.lineages < FEWEST or found.alike:
        return f"{metric}: {found.conclusion('', '', noun='pairs')}."
    side = "higher" if found.mean > 0 else "lower"
    told = f"The slope of {metric} is {side} by {spell(abs(found.mean))}{unit}"
    ends = found.interval(float if found.mean > 0 else lambda end: -end, noun="pairs")
    told += f" ({ends}; g = {spell(standardised(found))})"
    if status == "alike":
        return f"{told}: alike, within {spell(margin)}{unit}."
    return told + ("." if found.side else f": {found.conclusion('', '', noun='pairs')}.")


# -- what a study of this size can see ---------------------------------------------------------------------------------


def power(effect: float, sd: float, n: int) -> float:
    """The chance that a two-sided t-test at 5 % finds a mean of n numbers, by the noncentral t law of effect / sd."""
    from scipy import special

    shift, bound = effect / sd * math.sqrt(n), special.stdtrit(n - 1, (1 + CONFIDENCE) / 2)
    return float(1 - special.nctdtr(n - 1, shift, bound) + special.nctdtr(n - 1, shift, -bound))


def smallest_effect(sd: float, n: int) -> float:
    """The mean that n numbers find with a power of 80 %: bisected, as the power rises with it."""
    low, high = 0.0, sd
    while power(high, sd, n) < POWER:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, sd, n) < POWER else (low, middle)
    return high


def seeds_needed(effect: float, sd: float) -> int | None:
    """The fewest seeds, of at least three, that find an effect with a power of 80 %; None above ten thousand."""
    low, high = FEWEST, FEWEST
    while power(effect, sd, high) < POWER:
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power(effect, sd, middle) < POWER else (low, middle)
    return low if power(effect, sd, low) >= POWER else high


def resolution(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """What a comparison of each arm with its control can see, at its number of seeds and its spread over pairs.

    status: enough or too few seeds for an effect of the margin, or cannot tell. numbers: the smallest effect that is
    found with a power of 80 %, and the seeds that the margin needs.
    """
    if facts.control is None:
        return []
    arms = [arm for arm in facts.arms if not (facts.is_control(arm) or facts.is_chance(arm))]
    found = estimate({arm: _differences(facts, records, arm, facts.control_of(arm)) for arm in arms})
    margin, findings = _margin(facts, records), []
    for arm, one in found.items():
        numbers: dict[str, float | int | None] = {"lineages": one.lineages, "margin": margin}
        status, sentence = "cannot tell", f"It needs at least {FEWEST} pairs that differ; there are {one.lineages}."
        if one.lineages >= FEWEST and one.sd > 0 and margin > 0:
            least, needed = smallest_effect(one.sd, one.lineages), seeds_needed(margin, one.sd)
            status = "enough seeds" if least <= margin else "too few seeds"
            numbers |= {"smallest_effect": least, "seeds_needed": needed, "sd": one.sd}
            seeds = f"{needed} seeds" if needed else f"more than {MOST_SEEDS} seeds"
            sentence = (
                f"With {one.lineages} pairs a difference of {spell(least)} a generation is found in 80 of 100 studies; "
                f"one of {spell(margin)} needs {seeds}."
            )
        findings.append(Finding("resolution", arm, status, sentence, numbers))
    return findings


def _about_contrasts(facts: StudyFacts, found: Sequence[Finding]) -> str:
    margin = next((one.numbers["margin"] for one in found), math.nan)
    about = (
        "Slopes of the primary endpoint, each arm against each other, in pairs of one seed, corrected over all pairs "
        "(Holm 1979). g is the difference in standard deviations over pairs (Hedges 1981)."
    )
    if not margin > 0:  # no first value, or one of 0
        return about
    return (
        f"{about} Two arms are alike when they surely differ by less than {spell(margin)} a generation (two one-sided "
        f"tests at 5 %): {MARGIN:.0%} of the first value over the whole study, which is this report's own margin."
    )


def _about_resolution(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "The smallest difference from the control's slope that a study of so many seeds finds in 80 of 100 cases, "
        "given how much pairs differ here, and the seeds that a difference of the margin would need."
    )


CONTRASTS = Table("contrasts", "Arm against arm", "Slope", _about_contrasts, before=(Column("Against", "other"),))
RESOLUTION = Table("resolution", "What it can see", "Verdict", _about_resolution)
