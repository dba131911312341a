"""Is it the model, or who samples it? An arm beside one that takes enough steps of the same sampler."""

from collections.abc import Sequence
from dataclasses import replace

from .facts import StudyFacts
from .findings import Finding, Table
from .primary import slope_against_control
from .records import Record


def slope_against_converged(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Whether the primary metric gets worse faster than with enough steps of the same sampler, as
    :func:`slope_against_control` does: slope differences, paired by seed.

    None for a study that asks for no such controls.
    """
    if not facts.converged:
        return []
    beside = {arm: facts.arms[arm] for arm in facts.converged}
    apart = replace(
        facts, arms=beside, controls=facts.converged, supplies={}, control=next(iter(facts.converged.values()))
    )
    return [replace(one, question="slope_against_converged") for one in slope_against_control(apart, records)]


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "A sampler of finitely many steps changes the law that it samples, and a loop does so in every "
        "generation. Here each arm stands beside one that differs in the number of steps alone, of which there "
        "are enough: twice as many would change the variance of normal data by less than a thousandth, or what "
        "converged_within says. The difference is the sampler's part; what the converged arm does by itself is "
        "the model's, and the loop's. Slopes of the primary endpoint, paired by seed."
    )


TABLE = Table("converged", "The sampler's part", "Verdict", _about)
