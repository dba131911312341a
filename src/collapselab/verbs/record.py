"""One record of numbers: samples compared with real data, each with the fingerprint of how it was made."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.sets import KeptTable, TrainingTable
from ..features import Features
from ..measure import record as measuring
from ..measure.record import Fingerprints, Measurement, Role, Values
from ..metrics import METRICS

Seen = Mapping[tuple[str, str], Features]
"""(set, extractor) -> features."""

Labels = Mapping[str, np.ndarray | None]
"""set, or part of the real data -> the labels of its rows; None where they have none."""


def role(features: Features, lineage: Mapping[str, Any], moments: tuple[Any, Any] | None) -> Role:
    """Features in the role of real samples: with the exact moments of a known truth where they are of its numbers."""
    options = lineage.get("options", {})
    resize = f"{options['resize']} to {options['resolution']}" if options.get("resolution") else "none"
    exact = moments if moments and features.values.shape[1] == len(moments[0]) else features.moments
    return Role(replace(features, moments=exact), lineage["content"], resize)


def composition(table: TrainingTable) -> list[dict[str, Any]]:
    """What a training set is made of: rows by arm and generation."""
    return [{"arm": part.arm, "generation": part.generation, "count": len(part.rows)} for part in table.references]


def record(
    measurement: Measurement,
    fakes: Seen,
    sets: Mapping[str, Mapping[str, Any]],
    kept: np.ndarray | None,
    count: int,
) -> tuple[Values, Fingerprints]:
    """The values of all sample sets, of which the first ``count`` rows are measured, and their fingerprints.

    sets: set -> how its samples were made. kept: the rows of the released set, where nothing was done to them of the
    sampled one, that a selector kept: a set of their own where they are not all.
    """
    makers = {which: entry.get("model_options", {}) | entry for which, entry in sets.items()}
    pool = "released" if "released" in sets else "sampled"
    chosen = _kept(fakes, pool, kept)
    if chosen:
        makers["kept"] = makers[pool]
    same = {key: one if one.moments else measuring.first(one, count) for key, one in (dict(fakes) | chosen).items()}
    return measurement.of_samples(same, makers)


def labelled(measurement: Measurement, labels: Labels) -> Measurement:
    """The metrics that read labels, and the real samples with theirs as the classes of the features.

    What a value is compared with is then the samples and their labels, and its fingerprint says both.
    """
    told = {name: options for name, options in measurement.metrics.items() if METRICS[name].labelled}
    reals = {}
    for (part, name), one in measurement.reals.items():
        found = labels.get(part)
        digest = "none" if found is None else hashlib.sha256(np.asarray(found, np.int64).tobytes()).hexdigest()
        features = _with_labels(one.features, found)
        reals[part, name] = one._replace(features=features, digest=f"{one.digest} labels {digest}")
    return replace(measurement, metrics=told, reals=reals)


def with_labels(fakes: Seen, labels: Labels) -> Seen:
    """Features of samples with the labels of these as their classes; without any where they have none."""
    return {(which, name): _with_labels(one, labels.get(which)) for (which, name), one in fakes.items()}


def _with_labels(features: Features, labels: np.ndarray | None) -> Features:
    # A likelihood looks at the first samples only, and a law at none.
    known = None if labels is None or len(labels) < len(features) else np.asarray(labels)[: len(features)]
    return replace(features, classes=known, probabilities=None)


def by_task(
    measurement: Measurement,
    fakes: Seen,
    sets: Mapping[str, Mapping[str, Any]],
    count: int,
    tasks: Sequence[KeptTable],
    labels: np.ndarray | None,
) -> tuple[Values, Fingerprints]:
    """The values of the samples, compared with the held-out rows of each task of a stream alone; ``task`` says which.

    tasks: their rows. labels: of the samples, where their model was told classes: then those of the task's classes are
    compared, and where there are none the value is not determined; without labels all samples are.
    """
    makers = {which: entry.get("model_options", {}) | entry for which, entry in sets.items()}
    own = {key: measuring.first(found, count) for key, found in fakes.items() if key[0] == "sampled"}
    values, fingerprints = [], {}
    for number, table in enumerate(tasks):
        reals = {
            (part, name): _of_rows(one, table.rows, f"task {number}")
            for (part, name), one in measurement.reals.items()
            if part == "held_out"
        }
        rows = slice(None) if labels is None else np.isin(labels[:count], table.lineage["labels"])
        chosen = {key: measuring.taken(one, rows) for key, one in own.items()}
        found, more = replace(measurement, reals=reals, against="held_out").of_samples(chosen, makers)
        values += [{**one, "task": number} for one in found]
        fingerprints |= more
    return values, fingerprints


def _of_rows(role: Role, rows: np.ndarray, which: str) -> Role:
    """A role that some rows of it play."""
    return role._replace(features=measuring.taken(role.features, rows), digest=f"{role.digest} {which}")


def baseline(measurement: Measurement, count: int) -> tuple[Values, Fingerprints]:
    """The values that ``count`` other real samples reach, and their fingerprints: what a perfect model would score."""
    return measurement.of_reality(count)


def _kept(fakes: Seen, pool: str, rows: np.ndarray | None) -> dict[tuple[str, str], Features]:
    sampled = {name: found for (which, name), found in fakes.items() if which == pool}
    if rows is None or not any(len(rows) < len(found) for found in sampled.values()):
        return {}
    # A likelihood looks at the first samples only, and has nothing to say of kept ones behind them.
    whole = {name: found for name, found in sampled.items() if max(rows, default=0) < len(found)}
    return {("kept", name): measuring.taken(found, rows) for name, found in whole.items() if not found.moments}
