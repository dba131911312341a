"""What a model that learns one task after the other still knows of each: the forgetting matrix and its numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .facts import StudyFacts
from .findings import Column, Finding, Table
from .records import Record
from .statistics import FEWEST, Estimate, estimate
from .words import spell


class Summary(NamedTuple):
    """Of a forgetting matrix: the mean at the end, and how far earlier tasks have moved back."""

    accuracy: float
    backward_transfer: float
    forgetting: float


def summary(matrix: np.ndarray, better: str = "higher") -> Summary:
    """The three numbers of a forgetting matrix A (T, T), A[i, j] being task j's number after step i, T > 1.

    ACC = mean_j A[T, j], and over the tasks j < T before the last BWT = mean_j (A[T, j] - A[j, j]) (Lopez-Paz and
    Ranzato 2017, https://arxiv.org/abs/1706.08840, equations 2 and 3) and forgetting = mean_j (max_i A[i, j] - A[T, j])
    over the steps i from the task's own to the last (Chaudhry et al. 2018, https://arxiv.org/abs/1801.10112, section 3,
    leave the last out, so that theirs is below 0 where a task ends at its best). better: of a number of which
    lower is better the sign is turned for BWT and forgetting, so that a negative BWT and a positive forgetting are
    always a loss; ACC remains the number's mean. Above the diagonal nothing is read; NaN below it gives NaN.
    """
    sign = -1.0 if better == "lower" else 1.0
    signed = sign * np.asarray(matrix, np.float64)
    last, before = signed[-1], len(signed) - 1
    own = np.array([signed[j:, j].max() for j in range(before)])  # a task is known from its own step on
    transfer = (last[:-1] - np.diag(signed)[:-1]).mean()
    return Summary(float(sign * last.mean()), float(transfer), float((own - last[:-1]).mean()))


def matrices(records: Sequence[Record], generations: int) -> dict[str, dict[int, np.ndarray]]:
    """arm -> seed -> the forgetting matrix (T, T), NaN where a task was not measured or its number is not determined.

    Of a record its ``tasks`` tell what each task's held-out rows say of the samples of its generation.
    """
    found: dict[str, dict[int, np.ndarray]] = {}
    for record in records:
        for entry in (record.get("tasks") or {}).get("values", ()):
            empty = np.full((generations + 1, generations + 1), np.nan)
            matrix = found.setdefault(record["arm"], {}).setdefault(record["seed"], empty)
            if entry["value"] is not None and "." not in entry["metric"]:
                matrix[record["generation"], entry["task"]] = entry["value"]
    return found


def forgetting(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Of each arm of a stream whether its earlier tasks got worse, by the forgetting of each lineage against 0.

    Lineages that end before the last task have none. Forgetting cannot be below 0, where every task is at its best at
    the end; so its interval tells how much, and that there is some, the backward transfer: below 0 it is a loss.
    """
    found = matrices(records, facts.generations)
    if not found or facts.generations < 1:
        return []
    better = facts.direction(facts.primary.metric) or "higher"
    whole = {
        arm: [summary(one, better) for one in of.values() if np.isfinite(one[np.tril_indices(len(one))]).all()]
        for arm, of in found.items()
        if arm in facts.arms
    }
    transfers = estimate({arm: np.array([one.backward_transfer for one in of]) for arm, of in whole.items()})
    return [_finding(facts, arm, whole[arm], transfers[arm]) for arm in facts.arms if arm in whole]


def _finding(facts: StudyFacts, arm: str, found: Sequence[Summary], transfer: Estimate) -> Finding:
    if not found:
        said = "No lineage was measured on every task up to the last"
        return Finding("forgetting", arm, "not testable", f"{said}, and so nothing can be told.")
    means = Summary(*np.mean(found, axis=0))
    status = {-1: "forgets", 1: "improves", 0: "inconclusive"}[transfer.side]
    rest = f"; a verdict needs {FEWEST} lineages" if len(found) < FEWEST else ""
    sentence = (
        f"Earlier tasks end {spell(abs(means.backward_transfer))} "
        f"{'worse' if means.backward_transfer < 0 else 'better'} than they were when they were learnt, and "
        f"{spell(means.forgetting)} below their best ({len(found)} lineage{'s' * (len(found) > 1)}{rest})."
    )
    numbers = means._asdict() | {"lineages": len(found), "p_holm": float(transfer.p)}
    words = {name: spell(number) for name, number in means._asdict().items()}
    return Finding("forgetting", arm, status, sentence, numbers, words)


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    name = facts.label(facts.primary.metric)
    lower = facts.direction(facts.primary.metric) == "lower"
    turned = " Lower is better here, so the sign of the last two is turned." if lower else ""
    return (
        f"{name} ({facts.primary.extractor}) on the held-out rows of each task, after each step. ACC: its mean over "
        "the tasks at the end. BWT, backward transfer: how far the tasks before the last have moved since they were "
        f"learnt; below 0 they got worse. Forgetting: how far they are below their best.{turned} Means over seeds; the "
        "status is of BWT against 0, corrected over the arms."
    )


TABLE = Table(
    "forgetting",
    "Forgetting",
    "Earlier tasks",
    _about,
    before=(
        Column("ACC", "accuracy", "number"),
        Column("BWT", "backward_transfer", "number"),
        Column("Forgetting", "forgetting", "number"),
    ),
    early=True,
)
