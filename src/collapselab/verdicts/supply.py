"""Do the synthetic rows do harm, or does their lack of real ones? An arm beside the same real rows alone."""

from collections.abc import Sequence
from dataclasses import replace

from .facts import StudyFacts
from .findings import Column, Finding, Table
from .primary import slope_against_control
from .records import Record


def slope_against_supply(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Whether the primary metric gets worse faster than with an arm's real rows alone, as :func:`slope_against_control`
    does: slope differences, paired by seed.

    None for a study that asks for no such controls, or has no others: then its arms are compared with these there.
    """
    if not facts.supplies:
        return []
    beside = {arm: facts.arms[arm] for arm in facts.supplies}
    alone = replace(
        facts, arms=beside, controls=facts.supplies, supplies={}, control=next(iter(facts.supplies.values()))
    )
    findings = []
    for one in slope_against_control(alone, records):
        amounts = facts.used[one.arm]
        numbers = {**one.numbers, "real_rows": amounts.real, "generated": amounts.generated}
        findings.append(replace(one, question="slope_against_supply", numbers=numbers))
    return findings


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "A loop that is given new real rows has seen more of them at its end than a control of one training set's "
        "size. Here each arm stands beside an arm that is trained, at each generation, on all distinct real rows that "
        "it has used by then, and on no synthetic ones: the difference is what synthetic rows do. Slopes of the "
        "primary endpoint, paired by seed; the rows are those used by the last generation."
    )


TABLE = Table(
    "supply",
    "The same real rows",
    "Verdict",
    _about,
    before=(Column("Distinct real rows", "real_rows", "number"), Column("Generated samples", "generated", "number")),
)
