"""Every verdict, by its name."""

from collections.abc import Callable, Sequence

from .definitions import (
    any_rise_of_risk,
    catastrophic_risk,
    collapsing_variance,
    diverging_risk,
    hallucination,
    lost_modes,
    lost_tails,
    scaling_law,
)
from .facts import StudyFacts, Verdict
from .primary import primary_slope, slope_against_control
from .records import Record, indexed


def judge(facts: StudyFacts, records: Sequence[Record]) -> dict[str, dict[str, Verdict]]:
    """Every verdict on every arm: name -> arm -> verdict."""
    records = indexed(records)
    return {name: verdict(facts, records) for name, verdict in VERDICTS.items()}


VERDICTS: dict[str, Callable[[StudyFacts, Sequence[Record]], dict[str, Verdict]]] = {
    "primary_slope": primary_slope,
    "slope_against_control": slope_against_control,
    "catastrophic_risk": catastrophic_risk,
    "any_rise_of_risk": any_rise_of_risk,
    "diverging_risk": diverging_risk,
    "collapsing_variance": collapsing_variance,
    "scaling_law": scaling_law,
    "lost_modes": lost_modes,
    "lost_tails": lost_tails,
    "hallucination": hallucination,
}
