"""Does experiment follow theory? What was measured against the curves that closed forms foretell."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..theory.agreement import Agreement, agreement
from ..theory.setting import Prediction
from .facts import Endpoint, StudyFacts
from .findings import Column, Finding, Table
from .records import Record, lineages


def limit_of(facts: StudyFacts, records: Sequence[Record], arm: str, endpoint: Endpoint) -> tuple[float, bool] | None:
    """What an arm's law says that an endpoint tends to, and whether the arm follows that law; None without such a law.

    The limit is infinite where the law grows without bound.
    """
    for one in facts.predictions.get(arm, ()):
        ours = (one.metric, one.extractor, one.bound) == (endpoint.metric, endpoint.extractor, "equal")
        if ours and one.limit is not None:
            return one.limit, not _held_against(one, lineages(records, arm, endpoint)).departs
    return None


def _held_against(one: Prediction, found: Mapping[int, Mapping[int, float]]) -> Agreement:
    times = range(len(one.mean))
    return agreement(one, np.array([[lineage.get(t, np.nan) for t in times] for lineage in found.values()]))


def against_theory(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """For each arm and law whether experiment follows theory; the departures first.

    status: departs, follows or cannot tell. Laws of what was not measured are left out.
    """
    findings = []
    for arm in facts.arms:
        for one in facts.predictions.get(arm, ()):
            found = lineages(records, arm, Endpoint(one.metric, one.extractor, facts.primary.set))
            if not any(found.values()):
                continue
            told = _held_against(one, found)
            status = "departs" if told.departs else "follows" if np.isfinite(told.z).any() else "cannot tell"
            words = {"subject": facts.label(one.metric), "law": one.note}
            question = f"theory.{one.metric}.{one.extractor}"
            findings.append(Finding(question, arm, status, f"{told.sentence}.", words=words))
    return sorted(findings, key=lambda finding: finding.status != "departs")


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "What the closed forms say of each arm against the mean over its seeds, at every generation; departures first. "
        "Of 100 arms that follow their law one is said to leave it at some generation. The curves have the predictions "
        "in dashes, shaded, where the spread of a law is known, over where the mean of so many seeds lies in 95 of 100 "
        "studies."
    )


TABLE = Table("theory", "Theory", "Experiment", _about, after=(Column("Law", "law", "soft"),), early=True)
