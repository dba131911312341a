"""What was forgotten, and what else with it: each arm beside the one that was trained without it from scratch."""

from collections.abc import Sequence

import numpy as np

from ..measure.roles import roles_of
from .facts import Endpoint, StudyFacts
from .findings import Column, Finding, Table
from .records import Record, indexed, lineages
from .statistics import FEWEST, Estimate, contrast, estimate
from .words import spell


def unlearned(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """The differences of each arm from the one that was trained without what is forgotten, at the last generation that
    a seed has of both, in pairs of one seed, corrected over all rows (Holm).

    Of the metrics by which forgetting is judged, and the primary endpoint. None for a study without such an arm.
    status: better or worse than it (higher or lower, where neither is good), the same, or inconclusive. numbers:
    ``value``, the arm's own mean, and ``without``, the other's, beside the difference.
    """
    if not facts.without:
        return []
    records = indexed(records)
    pairs: dict[tuple[str, Endpoint], np.ndarray] = {}
    for arm in (one for one in facts.arms if one != facts.without):
        for metric, extractor, of in records.measured:
            judged = roles_of(metric).forgets or (metric, extractor) == (facts.primary.metric, facts.primary.extractor)
            if of == "sampled" and judged:
                endpoint = Endpoint(metric, extractor, of)
                if len(found := _pairs(records, arm, facts.without, endpoint)):
                    pairs[arm, endpoint] = found
    apart = {key: np.array([contrast(one, np.array([1.0, -1.0])) for one in both]) for key, both in pairs.items()}
    return [_finding(facts, *key, pairs[key].mean(axis=0), one) for key, one in estimate(apart).items()]


def _pairs(records: Sequence[Record], arm: str, without: str, endpoint: Endpoint) -> np.ndarray:
    """The values of an arm and of the other, a row a seed: (pairs, 2)."""
    ours, theirs = (lineages(records, one, endpoint) for one in (arm, without))
    shared = {seed: max(set(ours[seed]) & set(theirs.get(seed, {})), default=None) for seed in ours}
    return np.array([[ours[seed][t], theirs[seed][t]] for seed, t in shared.items() if t is not None]).reshape(-1, 2)


def _finding(facts: StudyFacts, arm: str, endpoint: Endpoint, means: np.ndarray, found: Estimate) -> Finding:
    metric, better = facts.label(endpoint.metric), facts.direction(endpoint.metric)
    status = "inconclusive"
    if found.side:
        way = "higher" if found.side > 0 else "lower"
        status = way if better is None else "better" if way == better else "worse"
    elif found.unchanged:
        status = "the same"
    value, without = (float(mean) for mean in means)
    sentence = f"{metric} is {spell(value)}, and {spell(without)} in {facts.without}"
    if found.lineages >= FEWEST and not found.alike and not found.unchanged:
        sentence += f": a difference of {spell(found.mean)} ({found.interval(noun='pairs')})"
    elif not found.unchanged:
        sentence += f": {found.conclusion('', '', noun='pairs')}"
    numbers = found.numbers() | {"value": value, "without": without}
    words = {"features": endpoint.extractor, "metric": metric}
    return Finding(f"unlearned.{endpoint.metric}", arm, status, f"{sentence}.", numbers, words)


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        f"Each arm beside {facts.without}, which was trained from scratch without what the others are to forget: what "
        "forgetting can reach at best. A model that was destroyed has forgotten, too: what is forgotten is never to be "
        "read without what is retained. Differences in pairs of one seed, corrected over all rows (Holm 1979)."
    )


TABLE = Table(
    "unlearned",
    "What was forgotten",
    "Against retraining",
    _about,
    before=(Column("Metric", "metric"), Column("Features", "features", "soft")),
    after=(Column("Value", "value", "number"), Column("Retrained", "without", "number")),
)
