"""Does experiment follow theory? What was measured against the curves that closed forms foretell."""

from collections.abc import Sequence

import numpy as np

from ..theory.agreement import agreement
from .facts import Endpoint, StudyFacts
from .findings import Column, Finding, Table
from .records import Record, lineages


def against_theory(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """For each arm and law whether experiment follows theory; the departures first.

    status: departs, follows or cannot tell. Laws of what was not measured are left out.
    """
    findings = []
    for arm in facts.arms:
        for one in facts.predictions.get(arm, ()):
            found = lineages(records, arm, Endpoint(one.metric, one.extractor, facts.primary.set))
            times = range(len(one.mean))
            if not any(found.values()):
                continue
            values = np.array([[lineage.get(t, np.nan) for t in times] for lineage in found.values()])
            told = agreement(one, values)
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
