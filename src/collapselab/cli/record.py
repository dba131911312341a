"""Samples compared with real data: one record of numbers."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import store
from ..core.sets import TrainingTable
from ..features import FEATURES
from ..features.files import read_features
from ..measure import quality
from ..measure.record import Against, Fingerprints, Measurement, Role, Values
from ..metrics import METRICS
from ..models.capabilities import Knows
from ..verbs import record as verb
from ..verbs.train import rows_of
from .inputs import model_in
from .options import Out, json_of, metrics_of, pairs
from .places import place_of
from .run import clock

app = typer.Typer(rich_markup_mode=None)

REAL_PARTS = ("held_out", "train")  # what the features of real data are of

CountMeasured = Annotated[int, typer.Option(min=1, help="rows of every set that are measured")]

LabelledSets = Annotated[
    list[str] | None, typer.Option(help="SET=FILE of samples, real ones too, for metrics that read their labels")
]

ReferencePart = Annotated[Against, typer.Option(help="the real samples that metrics compare with")]


@app.command()
def record(
    features: Annotated[Path, typer.Option(help="features of the samples")],
    reference: Annotated[list[Path], typer.Option(help="features of the real data, a file an extractor")],
    metrics: Annotated[str, typer.Option(help='metrics with their options as JSON, such as {"recall": {"k": 5}}')],
    out: Out,
    count: CountMeasured = 2**62,
    against: ReferencePart = "held_out",
    cell: Annotated[str, typer.Option(help="JSON: study, arm, seed and generation that the record is of")] = "{}",
    training: Annotated[Path | None, typer.Option(help="the training set, for metrics that look for copies")] = None,
    kept: Annotated[Path | None, typer.Option(help="which samples were kept; measured apart if not all were")] = None,
    population: Annotated[Path | None, typer.Option(help="the known population: its moments are the reference")] = None,
    task: Annotated[list[Path] | None, typer.Option(help="held-out rows of each task of a stream, in order")] = None,
    of_tasks: Annotated[str, typer.Option(help="JSON: what is measured of each task, metric and extractor")] = "{}",
    samples: Annotated[Path | None, typer.Option(help="the samples, whose labels say of which task they are")] = None,
    labelled: LabelledSets = None,
) -> None:
    """Compare samples with real data and write one record of numbers, each with the fingerprint of how it was made."""
    wanted = metrics_of(metrics)
    _, metadata = store.read_tensors(features)
    fakes = read_features(features, FEATURES)
    # Real data that was looked at through the generation's own model lies beside its samples.
    sets = {which: entry for which, entry in metadata["sets"].items() if which not in REAL_PARTS}
    own = {key: fakes.pop(key) for key in list(fakes) if key[0] in REAL_PARTS}
    marks = [entry["diverged"] for entry in sets.values() if "diverged" in entry]
    table = store.read_training(training) if training else None
    stopped = next((mark["stopped"] for mark in marks if "stopped" in mark), None)
    content = {
        **json_of(cell, "--cell", dict),
        "status": "stopped" if stopped else "diverged" if marks else "ok",
        "diverged": marks[0] if marks and not stopped else None,
        **({"stopped": stopped} if stopped else {}),
        "lineage": {
            **{name: entry["hash"] for name, entry in sets.items()},
            **({"training": store.recorded_hash(training)} if training else {}),
            **{f"parent {path}": digest for one in sets.values() for path, digest in one.get("inputs", {}).items()},
        },
        "values": [],
        "fingerprints": {},
    }
    if table is not None:
        content["composition"] = verb.composition(table)
    if not marks:
        rows = store.read_kept(kept).rows if kept else None
        look = (lambda: (_rows(table), store.recorded_hash(training))) if table is not None else None
        reals = _references(reference, population) | {
            key: Role(found, metadata["sets"][key[0]]["content"]) for key, found in own.items()
        }
        measurement = Measurement(wanted, reals, metadata["extractors"], against, look, place_of(_numbers(reals)))
        parts = _by_labels(measurement, fakes, labelled)
        with clock.compute():
            content |= _together(verb.record(part, seen, sets, rows, count) for part, seen in parts)
            if task:
                content["tasks"] = _of_tasks(parts, sets, count, task, of_tasks, samples)
        if content.get("generation") == 0 and (
            told := quality.warnings(content["values"], reals, content["fingerprints"])
        ):
            content["warnings"] = told
            print("\n".join(f"warning: {one}" for one in told), file=sys.stderr)
    store.write_json(out, content)


def _by_labels(
    measurement: Measurement, fakes: Mapping[Any, Any], labelled: list[str] | None
) -> list[tuple[Measurement, Mapping[Any, Any]]]:
    """What is measured, and of what: metrics that read no labels, and those that do, where there are some."""
    plain = {name: options for name, options in measurement.metrics.items() if not METRICS[name].labelled}
    parts = [(replace(measurement, metrics=plain), fakes)]
    if len(plain) < len(measurement.metrics):
        files = pairs(labelled or [], "--labelled", files=True)
        labels = {name: store.read_samples(Path(path)).labels for name, path in files.items()}
        parts.append((verb.labelled(measurement, labels), verb.with_labels(fakes, labels)))
    return parts


def _together(found: Iterable[tuple[Values, Fingerprints]]) -> dict[str, Any]:
    """All values and fingerprints as a record has them."""
    values: Values = []
    fingerprints: Fingerprints = {}
    for some, made in found:
        values += some
        fingerprints |= made
    return {"values": values, "fingerprints": fingerprints}


def _of_tasks(
    parts: list[tuple[Measurement, Mapping[Any, Any]]],
    sets: Mapping[str, Any],
    count: int,
    tasks: list[Path],
    said: str,
    samples: Path | None,
) -> dict[str, Any]:
    """The values and fingerprints of each task of a stream, by one metric in one feature space."""
    wanted = json_of(said, "--of-tasks", dict)
    metric, extractor = wanted.get("metric"), wanted.get("extractor")
    measurement, fakes = next((part for part in parts if metric in part[0].metrics), parts[0])
    if metric not in measurement.metrics or extractor not in measurement.extractors:
        found = f"found {said}; allowed are a metric and an extractor of what is measured"
        raise typer.BadParameter(found, param_hint="--of-tasks")
    one = replace(measurement, metrics={metric: measurement.metrics[metric]})
    seen = {key: found for key, found in fakes.items() if key[1] == extractor}
    labels = store.read_samples(samples).labels if samples else None
    values, fingerprints = verb.by_task(one, seen, sets, count, [store.read_kept(path) for path in tasks], labels)
    return {"values": values, "fingerprints": fingerprints}


def _rows(table: TrainingTable) -> np.ndarray:
    return rows_of(table, store.referred(table)).data


def _numbers(reals: Mapping[Any, Role]) -> int:
    """How many numbers there are to compare with."""
    return sum(role.features.values.size for role in reals.values())


def _references(paths: list[Path], population: Path | None) -> dict[tuple[str, str], Role]:
    """What plays the real samples, by (part, extractor)."""
    roles = {}
    known = model_in(population)[0] if population else None
    moments = known.moments() if isinstance(known, Knows) else None
    for path in paths:
        _, metadata = store.read_tensors(path)
        for (part, name), features in read_features(path, FEATURES).items():
            roles[part, name] = verb.role(features, metadata["sets"][part], moments)
    return roles


@app.command()
def baseline(
    reference: Annotated[list[Path], typer.Option(help="features of the real data, a file an extractor")],
    metrics: Annotated[str, typer.Option(help="metrics with their options as JSON")],
    count: Annotated[int, typer.Option(min=2, help="real samples in the role of the fakes, at most those there are")],
    out: Out,
    against: ReferencePart = "held_out",
    population: Annotated[Path | None, typer.Option(help="the known population")] = None,
    labelled: LabelledSets = None,
) -> None:
    """Compare real data with real data: the values that a perfect model would reach."""
    reals = _references(reference, population)
    extractors: dict[str, Any] = {}
    for path in reference:
        extractors |= store.read_tensors(path)[1]["extractors"]
    if missing := [f"{part} of {name}" for name in extractors for part in REAL_PARTS if (part, name) not in reals]:
        raise typer.BadParameter(f"has no features of {', '.join(missing)}", param_hint="--reference")
    measurement = Measurement(metrics_of(metrics), reals, extractors, against, place=place_of(_numbers(reals)))
    parts = _by_labels(measurement, {}, labelled)
    with clock.compute():
        content = _together(verb.baseline(part, count) for part, _ in parts)
    store.write_json(out, content)
