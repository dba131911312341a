"""Eight definitions of collapse, each as a test on the records of a study.

They are those that Schaeffer, Kazdan, Arulandu and Koyejo (2025, https://arxiv.org/abs/2503.03150) found in the
literature. They speak of population risk, which a study of images does not observe: the Fréchet distance stands for it
here, recall for the tails, precision for what is not hallucinated, the classes for the modes, as the registry of
metrics says of them and of any other.

Two of them speak of a limit, which a finite study does not see. Where the arm has a law that it follows, its limit
decides; else a limit is claimed only where the curve is seen to level off, to run away or to have gone (``limits``).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..measure.roles import reads_classes, standing_for
from .facts import Endpoint, StudyFacts
from .findings import Finding, not_testable
from .laws import limit_of
from .limits import Curves, Tendency, tendencies, tendencies_of_sizes
from .records import Record, indexed, lineages
from .statistics import FEWEST, contrast, estimate, first_and_last, is_constant, ratio_interval
from .words import and_ended, span, spell

CATASTROPHE = 10.0  # times the first risk; the literature names no number, so this is the report's own
ZERO = 0.05  # of the first generation's variance: what is less has gone to zero; the report's own, too
FINITE = ", as far as a finite study can tell"
CLASSES_GIVEN = "the model is told the class of every sample, so the shares of the classes are fixed"
NO_RISK = "no Fréchet distance was measured, which would stand for the risk"


def stand_in(facts: StudyFacts, records: Sequence[Record], what: str, arm: str = "") -> Endpoint | None:
    """What stands for risk, variance, modes, tails or reality: in the primary's feature space if measured there.

    Where the classes of an arm are given, what sees nothing but classes says little of it, and comes last.
    """
    spaces: dict[str, set[str]] = {}
    for metric, extractor, _ in indexed(records).measured:
        spaces.setdefault(metric.partition(".")[0], set()).add(extractor)
    best = sorted(standing_for(what, spaces), key=lambda metric: arm in facts.classes_given and reads_classes(metric))
    if not best:
        return None
    home = facts.primary.extractor
    return Endpoint(best[0], home if home in spaces[best[0]] else min(spaces[best[0]]), facts.primary.set)


# -- from the first generation to the last -----------------------------------------------------------------------------


def _growth(
    name: str, facts: StudyFacts, records: Sequence[Record], factor: float, above: str, below: str
) -> list[Finding]:
    """Whether the last risk is more than so many times the first: the mean of last - factor * first is above 0."""
    endpoint = stand_in(facts, records, "risk")
    if endpoint is None:
        return not_testable(name, facts.arms, NO_RISK)
    ends = {arm: first_and_last(lineages(records, arm, endpoint)) for arm in facts.arms}
    excess = {arm: _sums(start, end, -factor) for arm, (_, _, start, end) in ends.items()}
    findings, metric = [], facts.label(endpoint.metric)
    for arm, found in estimate(excess).items():
        first, last, start, end = ends[arm]
        if found.lineages >= FEWEST and not any(_sums(start, end, -1.0)):
            sentence, status = f"{metric} does not change from generation {first} to {last}: no collapse", "no collapse"
        elif factor != 1 and found.lineages and min(start) <= 0:  # an estimate of what is 0 may lie below it
            change = f"{metric} of generation {last} is {_times(start, end)} that of generation {first}"
            sentence, status = f"{change}: inconclusive, since it does not begin above 0", "inconclusive"
        else:
            change, status = metric, found.status()
            if found.lineages:
                change = f"{metric} of generation {last} is {_times(start, end)} that of generation {first}"
            sentence = f"{change}: {found.conclusion(above, below)}"
        sentence += f".{and_ended(records, facts, arm)}"
        numbers = {"ratio": float(end.mean() / start.mean())} if found.lineages and start.mean() > 0 else {}
        findings.append(Finding(name, arm, status, sentence, found.numbers() | numbers))
    return findings


def _sums(start: np.ndarray, end: np.ndarray, factor: float) -> list[float]:
    return [contrast(np.array(pair), np.array([factor, 1.0])) for pair in zip(start, end, strict=True)]


def _times(start: np.ndarray, end: np.ndarray) -> str:
    """``3.20 times (95 % interval 2.81 to 3.77, 5 lineages)``, where the first values are surely above 0."""
    if min(start) <= 0:
        return f"{spell(float(end.mean()))} against {spell(float(start.mean()))}, no multiple of"
    low, high = ratio_interval(end, start)
    words = f"{spell(float(end.mean() / start.mean()))} times"
    if not np.isfinite(low) or is_constant(np.append(end[start > 0] / start[start > 0], end.mean() / start.mean())):
        return words
    return f"{words} (95 % interval {span(low, high)}, {len(start)} lineages)"


def catastrophic_risk(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 1, a catastrophic rise of risk: it grows more than tenfold from the first generation to the last."""
    above, below = f"more than {CATASTROPHE:.0f}-fold: collapse", f"less than {CATASTROPHE:.0f}-fold: no collapse"
    return _growth("catastrophic_risk", facts, records, CATASTROPHE, above, below)


def any_rise_of_risk(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 2, any rise of risk: the risk of the last generation is larger than that of the first."""
    return _growth("any_rise_of_risk", facts, records, 1.0, "collapse", "no collapse")


def _loss(name: str, what: str, lacks: str, facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    endpoint = stand_in(facts, records, what)
    if endpoint is None:
        return not_testable(name, facts.arms, lacks)
    changes, spans = {}, {}
    for arm in facts.arms:
        first, last, start, end = first_and_last(lineages(records, arm, endpoint))
        changes[arm], spans[arm] = _sums(start, end, -1.0), f" from generation {first} to {last}"
    findings, metric = [], facts.label(endpoint.metric)
    for arm, found in estimate(changes).items():
        change = found.change(metric, spans[arm]) if found.lineages else metric
        conclusion = "no collapse" if found.unchanged else found.conclusion("no collapse", "collapse")
        status = "no collapse" if found.unchanged else found.status(-1)
        sentence = f"{change}: {conclusion}.{and_ended(records, facts, arm)}"
        findings.append(Finding(name, arm, status, sentence, found.numbers()))
    return findings


def lost_tails(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 7, the tails of the real data disappear: recall at the last generation is below that at the first."""
    return _loss("lost_tails", "tails", "no true_recall was measured", facts, records)


def hallucination(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 8, data appear that are not in the real distribution: precision falls from first to last."""
    return _loss("hallucination", "reality", "no true_precision was measured", facts, records)


# -- in the limit ------------------------------------------------------------------------------------------------------


def diverging_risk(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 3, risk that grows without bound.

    Collapse where the arm follows a law that does, or where the rise gains pace to the end; no collapse where the law
    has a limit, or the risk falls at the end or is seen to level off. What goes on rising at an even or a slowing pace
    may have a bound or none: inconclusive.
    """
    endpoint = stand_in(facts, records, "risk")
    if endpoint is None:
        return not_testable("diverging_risk", facts.arms, NO_RISK)

    def judged(arm: str, found: Tendency, law: tuple[float, bool] | None) -> tuple[str, str]:
        if law and law[1]:
            return ("collapse" if np.isinf(law[0]) else "no collapse"), ""
        if found.speeds and found.word == "rises on":
            return "collapse", f"it rises ever faster: collapse{FINITE}"
        if found.word in ("constant", "falls on"):
            return "no collapse", "no collapse"
        if found.word == "levels off":
            return "no collapse", f"no collapse{FINITE}"
        if found.word == "rises on":
            return "inconclusive", "with or without bound, which these generations cannot tell: inconclusive"
        return "inconclusive", found.pace.conclusion("inconclusive", "inconclusive")

    return _limits("diverging_risk", dict.fromkeys(facts.arms, endpoint), facts, records, judged)


def collapsing_variance(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 4, variance that goes to zero.

    Collapse where the arm follows a law whose limit is less than a twentieth of the first generation's variance, or
    where less than that is left in the last; no collapse where the law's limit is more, or the variance levels off
    above it or rises at the end. What goes on falling may have a floor or none: inconclusive.
    """
    name, said = "collapsing_variance", {arm: stand_in(facts, records, "variance", arm) for arm in facts.arms}
    endpoints = {arm: one for arm, one in said.items() if one is not None}
    if not endpoints:  # what was measured is so of every arm
        return not_testable(name, facts.arms, "no variance and no class entropy was measured")
    given = [arm for arm, one in endpoints.items() if arm in facts.classes_given and reads_classes(one.metric)]
    endpoints = {arm: one for arm, one in endpoints.items() if arm not in given}
    ends = {arm: first_and_last(lineages(records, arm, one)) for arm, one in endpoints.items()}
    # Of what begins at 0, or below, no share can be left.
    left = estimate({arm: _sums(s, e, -ZERO) if (s > 0).all() else [] for arm, (_, _, s, e) in ends.items()})

    def judged(arm: str, found: Tendency, law: tuple[float, bool] | None) -> tuple[str, str]:
        _, _, start, end = ends[arm]
        if law and law[1] and len(start):
            return ("collapse" if law[0] < ZERO * start.mean() else "no collapse"), ""
        if left[arm].side < 0:
            part = f"{spell(100 * float(end.mean() / start.mean()))} %"
            return "collapse", f"{part} of the first is left, less than {ZERO:.0%}: collapse"
        if found.word in ("constant", "rises on"):
            return "no collapse", "no collapse"
        if found.word == "levels off" and left[arm].side > 0:
            return "no collapse", f"no collapse{FINITE}"
        if found.word == "falls on":
            return "inconclusive", "to zero or to a floor, which these generations cannot tell: inconclusive"
        return "inconclusive", found.pace.conclusion("inconclusive", "inconclusive")

    untold = {one.arm: one for one in not_testable(name, given, CLASSES_GIVEN)}
    told = {one.arm: one for one in _limits(name, endpoints, facts, records, judged, tendencies_of_sizes)}
    return [(untold | told)[arm] for arm in facts.arms]


Judged = Callable[[str, Tendency, tuple[float, bool] | None], tuple[str, str]]


def _limits(
    name: str,
    endpoints: Mapping[str, Endpoint],
    facts: StudyFacts,
    records: Sequence[Record],
    judged: Judged,
    tending: Callable[[Curves], dict[str, Tendency]] = tendencies,
) -> list[Finding]:
    """endpoints: what stands for it in each arm. judged: (arm, what its curve tends to, its law's limit and whether it
    follows that) -> status, and in words.
    """
    found, findings = {arm: lineages(records, arm, endpoint) for arm, endpoint in endpoints.items()}, []
    for arm, one in tending(found).items():
        law, metric = limit_of(facts, records, arm, endpoints[arm]), facts.label(endpoints[arm].metric)
        if sum(map(bool, found[arm].values())) < FEWEST:
            law = None  # which no experiment was held against
        status, conclusion = judged(arm, one, law)
        words = [_at_the_end(metric, one), *([conclusion] if conclusion else [])]
        said = ": ".join(words) + (f"; {_law(law, status)}" if law else "")
        numbers = one.pace.numbers() | ({"limit": law[0]} if law and np.isfinite(law[0]) else {})
        findings.append(Finding(name, arm, status, f"{said}.{and_ended(records, facts, arm)}", numbers))
    return findings


def _at_the_end(metric: str, found: Tendency) -> str:
    if found.word == "constant":
        return f"{metric} does not change"
    if found.word == "levels off":
        return f"{metric} levels off near {spell(found.level)}"
    if not found.pace.lineages:
        return metric
    return f"At the end, {found.pace.change(metric, ' a generation')}"


def _law(law: tuple[float, bool], status: str) -> str:
    limit, follows = law
    words = "grows without bound" if np.isinf(limit) else f"tends to {spell(limit)}"
    return f"its law {words}: {status}" if follows else f"its law, which it leaves, {words}"
