"""Eight definitions of collapse, each as a test on the records of a study.

They are those that Schaeffer, Kazdan, Arulandu and Koyejo (2025, https://arxiv.org/abs/2503.03150) found in the
literature. They speak of population risk, which a study of images does not observe: the Fréchet distance stands for it
here, recall for the tails, precision for what is not hallucinated, the classes for the modes, as the registry of
metrics says of them and of any other.
"""

from collections.abc import Sequence

import numpy as np

from ..measure.roles import reads_classes, standing_for
from .facts import Endpoint, StudyFacts
from .findings import Finding, not_testable
from .records import Record, indexed, lineages
from .statistics import FEWEST, estimate, first_and_last, slope
from .words import and_diverged, natural, spell

CATASTROPHE = 10.0  # times the first risk; the literature names no number, so this is the report's own
LOST = 0.1  # a class is lost when its share falls below this part of the real one
CLASSES_GIVEN = "the model is told the class of every sample, so the shares of the classes are fixed"


def _stand_in(facts: StudyFacts, records: Sequence[Record], what: str) -> Endpoint | None:
    """What stands for risk, variance, modes, tails or reality: in the primary's feature space if measured there.

    Where classes are given, what sees nothing but classes says little, and comes last.
    """
    spaces: dict[str, set[str]] = {}
    for metric, extractor, _ in indexed(records).measured:
        spaces.setdefault(metric.partition(".")[0], set()).add(extractor)
    best = sorted(standing_for(what, spaces), key=lambda metric: facts.classes_given and reads_classes(metric))
    if not best:
        return None
    home = facts.primary.extractor
    return Endpoint(best[0], home if home in spaces[best[0]] else min(spaces[best[0]]), facts.primary.set)


def _growth(
    name: str, facts: StudyFacts, records: Sequence[Record], factor: float, above: str, below: str
) -> list[Finding]:
    endpoint = _stand_in(facts, records, "risk")
    if endpoint is None:
        return not_testable(name, facts.arms, "no Fréchet distance was measured, which would stand for the risk")
    samples, spans = {}, {}
    for arm in facts.arms:
        first, last, start, end = first_and_last(lineages(records, arm, endpoint))
        positive = (start > 0) & (end > 0)
        samples[arm] = np.log(end[positive] / start[positive])
        spans[arm] = first, last
    findings, metric = [], facts.label(endpoint.metric)
    for arm, found in estimate(samples, np.log(factor)).items():
        change = metric
        if found.lineages:
            interval = f" ({found.interval(np.exp)})" if found.lineages >= FEWEST else ""
            first, last = spans[arm]
            times = f"{spell(np.exp(found.mean))} times that of generation {first}"
            change = f"{metric} of generation {last} is {times}{interval}"
        sentence = f"{change}: {found.conclusion(above, below)}.{and_diverged(records, facts, arm)}"
        findings.append(Finding(name, arm, found.status(), sentence, found.numbers()))
    return findings


def catastrophic_risk(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 1, a catastrophic rise of risk: it grows more than tenfold from the first generation to the last."""
    above, below = f"more than {CATASTROPHE:.0f}-fold: collapse", f"less than {CATASTROPHE:.0f}-fold: no collapse"
    return _growth("catastrophic_risk", facts, records, CATASTROPHE, above, below)


def any_rise_of_risk(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 2, any rise of risk: the risk of the last generation is larger than that of the first."""
    return _growth("any_rise_of_risk", facts, records, 1.0, "collapse", "no collapse")


def diverging_risk(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 3, risk that grows without bound: it still rises at the end, and the rise is not seen to slow.

    A least-squares parabola through each lineage of at least four generations gives its slope at the last one and its
    curvature. A finite study cannot prove a limit: what rises but slows is called inconclusive.
    """
    name, endpoint = "diverging_risk", _stand_in(facts, records, "risk")
    if endpoint is None:
        return not_testable(name, facts.arms, "no Fréchet distance was measured, which would stand for the risk")
    if facts.generations < 3:
        return not_testable(name, facts.arms, "a change of pace shows from four generations on")
    slopes, curvatures = {}, {}
    for arm in facts.arms:
        long = [lineage for lineage in lineages(records, arm, endpoint).values() if len(lineage) >= 4]
        fits = [np.polynomial.Polynomial.fit(list(lineage), list(lineage.values()), 2) for lineage in long]
        slopes[arm] = [fit.deriv()(fit.domain[1]) for fit in fits]
        curvatures[arm] = [fit.deriv(2)(fit.domain[1]) for fit in fits]
    findings, bends, metric = [], estimate(curvatures), facts.label(endpoint.metric)
    for arm, found in estimate(slopes).items():
        slows = found.side > 0 and bends[arm].side < 0
        status = "inconclusive" if slows else found.status()
        rises = (
            "but slows: inconclusive"
            if slows
            else "and is not seen to slow: collapse, as far as a finite study can tell"
        )
        change = f"At the end, {found.change(metric, ' a generation')}" if found.lineages else metric
        joint = " " if found.side > 0 else ": "
        conclusion = found.conclusion(rises, "no collapse")
        sentence = f"{change}{joint}{conclusion}.{and_diverged(records, facts, arm)}"
        numbers = found.numbers() | ({"curvature": bends[arm].mean} if found.lineages else {})
        findings.append(Finding(name, arm, status, sentence, numbers))
    return findings


def collapsing_variance(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 4, variance that goes to zero: the slope of its logarithm is negative."""
    name, endpoint = "collapsing_variance", _stand_in(facts, records, "variance")
    if endpoint is None:
        return not_testable(name, facts.arms, "no variance and no class entropy was measured")
    if facts.classes_given and reads_classes(endpoint.metric):
        return not_testable(name, facts.arms, CLASSES_GIVEN)
    rates = {}
    for arm in facts.arms:
        found = lineages(records, arm, endpoint).values()
        rates[arm] = [slope({t: np.log(v) for t, v in lineage.items() if v > 0}) for lineage in found]
    findings, metric = [], facts.label(endpoint.metric)
    for arm, found in estimate(rates).items():
        unit = " % a generation"
        change = found.change(metric, unit, lambda rate: 100 * np.expm1(rate)) if found.lineages else metric
        conclusion = found.conclusion("no collapse", "collapse")
        sentence = f"{change}: {conclusion}.{and_diverged(records, facts, arm)}"
        findings.append(Finding(name, arm, found.status(-1), sentence, found.numbers()))
    return findings


def scaling_law(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 5, a change in the scaling law: how risk falls with more data, which one study does not vary."""
    reason = "a scaling law needs the same arm at several training-set sizes, and here all arms have one size"
    return not_testable("scaling_law", facts.arms, reason)


def lost_modes(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 6, modes of the real data disappear: classes whose share falls below a tenth of the real one.

    The real share is that of the reference, or else that of the lineage's own first generation. A class is there or
    gone, so lineages are counted, not averaged: collapse when each of them has lost one.
    """
    name, endpoint = "lost_modes", _stand_in(facts, records, "modes")
    if facts.classes_given and (endpoint is None or reads_classes(endpoint.metric)):
        return not_testable(name, facts.arms, CLASSES_GIVEN)
    if endpoint is None:
        return not_testable(name, facts.arms, "no class histogram was measured")
    metrics = {metric for metric, _, _ in indexed(records).measured}
    classes = sorted((metric for metric in metrics if metric.startswith(f"{endpoint.metric}.")), key=natural)
    real = facts.reference.get(endpoint.extractor, {})
    findings = []
    for arm in facts.arms:
        lost: dict[int, list[str]] = {}
        for metric in classes:
            found = lineages(records, arm, Endpoint(metric, endpoint.extractor, endpoint.set))
            for seed, lineage in found.items():
                if len(shares := list(lineage.values())) >= 2:
                    gone = shares[-1] < LOST * real.get(metric, shares[0])
                    lost.setdefault(seed, []).extend([metric.split(".", 1)[1]] if gone else ())
        losers = sum(map(bool, lost.values()))
        status = "no collapse" if not losers else "collapse" if losers == len(lost) else "inconclusive"
        conclusion = status
        if len(lost) < FEWEST:
            status = "inconclusive"
            conclusion = f"inconclusive, since a verdict needs at least {FEWEST} lineages and there are {len(lost)}"
        names = ", ".join(sorted({name for gone in lost.values() for name in gone}, key=natural))
        found = f"Classes are lost in {losers} of {len(lost)} lineages ({names})" if losers else "No class is lost"
        sentence = f"{found}: {conclusion}.{and_diverged(records, facts, arm)}"
        findings.append(Finding(name, arm, status, sentence, {"lineages": len(lost), "lineages_with_loss": losers}))
    return findings


def _loss(name: str, what: str, lacks: str, facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    endpoint = _stand_in(facts, records, what)
    if endpoint is None:
        return not_testable(name, facts.arms, lacks)
    changes, spans = {}, {}
    for arm in facts.arms:
        first, last, start, end = first_and_last(lineages(records, arm, endpoint))
        changes[arm], spans[arm] = end - start, f" from generation {first} to {last}"
    findings, metric = [], facts.label(endpoint.metric)
    for arm, found in estimate(changes).items():
        change = found.change(metric, spans[arm]) if found.lineages else metric
        conclusion = found.conclusion("no collapse", "collapse")
        sentence = f"{change}: {conclusion}.{and_diverged(records, facts, arm)}"
        findings.append(Finding(name, arm, found.status(-1), sentence, found.numbers()))
    return findings


def lost_tails(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 7, the tails of the real data disappear: recall at the last generation is below that at the first."""
    return _loss("lost_tails", "tails", "no true_recall was measured", facts, records)


def hallucination(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 8, data appear that are not in the real distribution: precision falls from first to last."""
    return _loss("hallucination", "reality", "no true_precision was measured", facts, records)
