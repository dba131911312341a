"""What the number that a verdict is about says, in words for who has never heard of it."""

from collections.abc import Mapping

from ..verdicts import StudyFacts

APART = "how far the samples as a whole lie from real data, in quality and in variety; 0 is no difference"
MEANINGS: Mapping[str, str] = {
    "recall": "the share of the real {unit} that the model still reaches; it falls where variety is lost",
    "coverage": "the share of the real {unit} that have a sample close by; it falls where variety is lost",
    "precision": "the share of the samples that could be real",
    "frechet_distance": APART,
    "kernel_distance": APART,
    "variance_ratio": "how much of the real data's spread the samples have; 1 is all of it",
    "mean_drift": "how far the samples' mean has moved from that of the real data; 0 is not at all",
    "surviving_categories": "the number of kinds that the model can still make",
    "class_entropy": "how evenly the samples are spread over the classes; 0 is one class alone",
    "true_recall": "how much of the known truth the model still reaches",
    "true_precision": "the share of the samples that are possible by the known truth",
    "hallucination_rate": "the share of the samples that are impossible by the known truth",
    "perplexity": "how strange real text is to the model: among so many tokens it seems to choose at each place",
}
"""metric -> what its value is. Others are named alone: their docstrings, on the page of metrics, speak to experts."""


def meaning(facts: StudyFacts) -> str:
    """A sentence on the primary endpoint; nothing where there are no plain words for it."""
    said = MEANINGS.get(facts.primary.metric, "").format(unit=facts.unit)
    return f"{facts.label(facts.primary.metric)} is {said}." if said else ""
