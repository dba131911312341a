"""How far from real data the rows are that each arm is trained on, generation by generation."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..compose.ancestry import Ancestry, ancestry
from .facts import StudyFacts
from .findings import Column, Finding, Table
from .records import Record, indexed
from .words import spell

LISTED = 12  # generations whose depth is told one by one; of more those evenly between


def real_ancestry(records: Sequence[Record]) -> dict[str, dict[int, dict[int, Ancestry]]]:
    """The real ancestry of every training set: arm -> seed -> generation -> direct share and mean depth.

    From what records say their training sets consist of, as :func:`~collapselab.compose.ancestry.ancestry` defines it.
    """
    seeds: dict[int, dict[tuple[str, int], list[tuple[str, int, float]]]] = {}
    for record in indexed(records):
        parts = [(part["arm"], part["generation"], part["count"]) for part in record.get("composition") or ()]
        seeds.setdefault(record["seed"], {})[record["arm"], record["generation"]] = parts
    found: dict[str, dict[int, dict[int, Ancestry]]] = {}
    for seed, eaten in seeds.items():
        for (arm, generation), one in ancestry(eaten).items():
            found.setdefault(arm, {}).setdefault(seed, {})[generation] = one
    return found


def descent(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Of each arm how real its last training sets are, and how deep: a mean over the seeds that reach it."""
    found, findings = real_ancestry(records), []
    for arm in facts.arms:
        means = _means(found.get(arm, {}))
        if not means:
            continue
        last = max(means)
        one = means[last]
        status = "real" if one.real == 1 else "in part real" if one.real else "no real row"
        sentence = (
            f"At generation {last} {spell(100 * one.real)} % of the rows are real, and {spell(one.depth)} models stand "
            "between a row and real data on average."
        )
        listed = sorted({round(t) for t in np.linspace(0, last, min(LISTED, last + 1))} & set(means))
        words = {"course": ", ".join(f"{spell(means[t].depth)} at {t}" for t in listed)}
        numbers = {"generation": last, "real": one.real, "depth": one.depth}
        findings.append(Finding("descent", arm, status, sentence, numbers, words))
    return findings


def _means(seeds: Mapping[int, Mapping[int, Ancestry]]) -> dict[int, Ancestry]:
    """generation -> the mean over the seeds that have it."""
    generations = sorted({t for of in seeds.values() for t in of})
    pairs = {t: np.array([of[t] for of in seeds.values() if t in of]).mean(axis=0) for t in generations}
    return {t: Ancestry(float(real), float(depth)) for t, (real, depth) in pairs.items()}


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "A real row has depth 0, and a row that a model made has one more than the rows that this model was trained on "
        "have on average. Rows count alike, whatever their weight in the loss; a model that starts from another's "
        "weights does not inherit its rows. The line of a single sample: collapselab trace."
    )


TABLE = Table(
    "descent",
    "Real ancestry",
    "Training rows",
    _about,
    after=(Column("Mean depth, by generation", "course", "soft"),),
    over_seeds=False,
)
