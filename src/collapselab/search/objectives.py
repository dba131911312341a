"""What a search makes better: metrics, each in the direction in which samples improve, or towards a number."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from ..features import Features
from ..metrics import METRICS
from ..metrics.parts import several

DEFAULT = ("precision", "recall", "frechet_distance", "vendi_score~real")
REAL = "real"
ALONE = ("vendi_score", "neighbour_entropy")
"""Metrics of the samples alone, of which real rows have a value of their own to come near to. More is no aim: noise has
the most."""


class Objective(NamedTuple):
    """A metric with its options, by the name by which it is said: ``metric``, ``metric~number`` or ``metric~real``.

    better: lower or higher; with a target, it is the distance to that which is lower. target: ``real`` until the real
    rows are known (:meth:`settled`).
    """

    name: str
    metric: str
    options: Mapping[str, Any]
    better: str
    target: float | Literal["real"] | None = None

    def settled(self, real: Features) -> Self:
        """The same with the number that real rows reach, as many as there will be samples, where that is the target."""
        if self.target != REAL:
            return self
        return self._replace(target=float(METRICS[self.metric](real, real, **self.options)))

    def of(self, value: float) -> float:
        """What is made lower, or higher, of the metric's value."""
        return value if self.target is None else abs(value - self.target)


def parsed(said: str, options: Mapping[str, Mapping[str, Any]], extractor: str) -> tuple[Objective, ...]:
    """Objectives, from a list of metrics with commas between them; ``metric~number`` goes towards a number,
    ``metric~real`` towards that of real rows.

    options: of metrics for which a study says some. Raises ValueError for all faults at once: unknown metrics, those
    that mean nothing in the features of the extractor or compare with other samples than validation rows, those
    without a direction or target, and the same one twice.
    """
    found, faults = [], []
    names = [one.strip() for one in said.split(",") if one.strip()]
    for one in names:
        metric, _, target = one.partition("~")
        fault = _fault(metric, target, "~" in one, extractor)
        if fault:
            faults.append(fault)
            continue
        entry = METRICS[metric]
        chosen = {**entry.options, **options.get(metric, {})}
        aim = target if target == REAL else float(target) if target else None
        found.append(Objective(one, metric, chosen, "lower" if target else entry.better, aim))
    if not names or len(set(names)) < len(names):
        faults.append(f"found {said!r}; allowed are metrics, each once, with commas between them")
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(found)


def _fault(metric: str, target: str, aims: bool, extractor: str) -> str:
    """What keeps a metric from being an objective; empty where nothing does."""
    if metric not in METRICS:
        allowed = ", ".join(name for name, one in METRICS.items() if _compares(one) and one.suits(extractor))
        return f"found {metric!r}; allowed with the features of {extractor!r}: {allowed}"
    entry = METRICS[metric]
    if not _compares(entry):
        return f"{metric} compares with other samples than validation rows, reads labels, or has several numbers"
    if not entry.suits(extractor):
        return f"{metric} means nothing in the features of {extractor!r}"
    if target == REAL and metric not in ALONE:
        return f"{metric} compares samples with real rows; ~real is for metrics of samples alone: {', '.join(ALONE)}"
    if aims and target != REAL and not _is_number(target):
        return f"found {metric}~{target}; after ~ stands a number to come near to"
    if not aims and entry.better is None:
        near = REAL if metric in ALONE else "1"
        return f"{metric} is better neither lower nor higher; say what to come near to: {metric}~{near}"
    return ""


def _compares(entry: Any) -> bool:
    return entry.against == "held_out" and entry.beside is None and not (several(entry) or entry.labelled)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def front(values: Sequence[Sequence[float] | None], objectives: Sequence[Objective]) -> list[int]:
    """The numbers of those that no other beats: of Pareto's front. (m objectives each; None was not determined.)

    One beats another that is as good in all objectives and better in one. Of several that are alike the first counts.
    """
    signs = np.array([-1.0 if one.better == "higher" else 1.0 for one in objectives])
    there = [(index, signs * np.asarray(row, np.float64)) for index, row in enumerate(values) if row is not None]
    found = []
    for index, own in there:
        beaten = any(
            (other <= own).all() and ((other < own).any() or earlier < index)
            for earlier, other in there
            if earlier != index
        )
        found += [] if beaten else [index]
    return found
