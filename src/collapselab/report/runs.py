"""What MLflow shows of a study, as plain data: a run for each lineage, and within it one for each generation.

MLflow shows no deeper nesting, and its filters and its compare view look at one level at a time: so arm, seed and
parameters stand on both. Its default page shows the ten runs that began last: all arms of a seed have begun with the
generation 0 that they share, and among them the controls come last.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..adapt.base import Step
from ..study.stopping import why
from .adapted import series_of
from .cards import data_card, model_card
from .datasets import Dataset

Record = Mapping[str, Any]
Cell = tuple[str, int, int]
"""arm, seed, generation"""

Point = tuple[str, float, int]
"""key, value, step"""

COSTS = {  # what MLflow shows beside a run's own numbers -> what it is of the costs of a generation's jobs
    "system/wall_seconds": ("wall_seconds", sum),
    "system/processor_seconds": ("process_cpu_seconds", sum),
    "system/energy_joules": ("joules", sum),
    "system/memory_peak_megabytes": ("peak_memory_mb", max),
    "system/gpu_memory_peak_megabytes": ("gpu_memory_mb", max),
    "system/training_images_per_second": ("train_images_per_second", max),
    "system/sampling_images_per_second": ("sample_images_per_second", max),
}


@dataclass(frozen=True)
class Beside:
    """What is known of a study beside its records.

    params: arm -> its options, flat. curves: cell -> (images seen, loss) of its training.
    adaptations: cell -> its adapters, with what they have found. pictures: cell -> a PNG of
    its samples. costs: cell -> the costs of its jobs. colours: arm -> its colour in the report. controls: the arms that
    are. training: cell -> its training set. real: seed -> the real data that its lineages begin with. models: cell ->
    the file of its model. data: a line on the real data. report: name -> file of the study's report. stopped: arm ->
    seed -> the decision that stopped its lineage, which after its last generation no record tells.
    """

    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curves: Mapping[Cell, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    adaptations: Mapping[Cell, Sequence[Step]] = field(default_factory=dict)
    pictures: Mapping[Cell, bytes] = field(default_factory=dict)
    costs: Mapping[Cell, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    controls: Collection[str] = ()
    training: Mapping[Cell, Dataset] = field(default_factory=dict)
    real: Mapping[int, Dataset] = field(default_factory=dict)
    models: Mapping[Cell, str] = field(default_factory=dict)
    data: str = ""
    report: Mapping[str, Path] = field(default_factory=dict)
    stopped: Mapping[str, Mapping[int, Mapping[str, Any]]] = field(default_factory=dict)


NOTHING_BESIDE = Beside()


@dataclass(frozen=True)
class Content:
    """What one run shows. status: ok, diverged or stopped. ends: of a lineage, tags that say how it ended, which may
    change as it goes on. files: name -> content of what is attached.

    began, ended: in milliseconds since 1970, None where it is not known; moments: step -> when its numbers were there.
    model: name, family, options and tags of the model that it has made.
    """

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[Point] = ()
    status: str = "ok"
    ends: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    datasets: Sequence[Dataset] = ()
    model: Mapping[str, Any] | None = None
    began: int | None = None
    ended: int | None = None
    moments: Mapping[int, int] = field(default_factory=dict)

    def digest(self, metrics: Iterable[Point] | None = None) -> str:
        """A hash of everything but the metrics, or of some metrics alone."""
        if metrics is not None:
            shown: list[Any] = [list(metrics), ""]
        else:
            files = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
            data = [one.identity() for one in self.datasets]
            shown = [[self.name, dict(self.tags), dict(self.params)], files, data, self.model]
        return hashlib.sha256(json.dumps(shown, sort_keys=True, default=str).encode()).hexdigest()[:16]


Lineages = Mapping[str, tuple[Content, Mapping[str, Content]]]
"""key -> the run of a lineage, and those of its generations by key"""


def lineages(records: Sequence[Record], beside: Beside) -> dict[str, tuple[Content, dict[str, Content]]]:
    """The runs of a study in the order of arm and seed, the controls last, generations in order."""
    grouped: dict[tuple[str, int], list[Record]] = {}
    for record in sorted(records, key=lambda record: (record["arm"], record["seed"], record["generation"])):
        grouped.setdefault((record["arm"], record["seed"]), []).append(record)
    order = sorted(grouped, key=lambda lineage: (lineage[0] in beside.controls, *lineage))
    return {f"{arm}/seed{seed}": _lineage(grouped[arm, seed], beside, order.index((arm, seed))) for arm, seed in order}


def _lineage(cells: Sequence[Record], beside: Beside, place: int) -> tuple[Content, dict[str, Content]]:
    """place: of the lineage among all, by which those are told apart that have begun in the same moment."""
    arm, seed = cells[0]["arm"], cells[0]["seed"]
    options = {name: _text(value) for name, value in beside.params.get(arm, {}).items()}
    options |= {"arm": arm, "seed": str(seed)}
    tags = {"arm": arm, "seed": str(seed), "control": str(arm in beside.controls).lower()}
    tags |= {"mlflow.runColor": beside.colours[arm]} if arm in beside.colours else {}
    children = {f"{arm}/seed{seed}/gen{cell['generation']}": _generation(cell, beside, options, tags) for cell in cells}
    runs = list(children.values())
    status, ends = _end(cells, beside.stopped.get(arm, {}).get(seed))
    began = runs[0].began  # some arms wait for no samples: a job of a later generation may have begun before
    lineage = Content(
        name=f"{arm} seed {seed}",
        tags=tags | {"level": "lineage"},
        params=options,
        metrics=[metric for cell in cells for metric in [*_metrics(cell), *_costs(cell, beside)]],
        status=status,
        ends=ends,
        datasets=[beside.real[seed]] if seed in beside.real else [],
        began=None if began is None else began + place,
        ended=max((run.ended for run in runs if run.ended is not None), default=None),
        moments={cell["generation"]: run.ended for cell, run in zip(cells, runs, strict=True) if run.ended},
    )
    return lineage, children


def _end(cells: Sequence[Record], decision: Mapping[str, Any] | None) -> tuple[str, dict[str, str]]:
    """How a lineage has ended: its status, and the same in tags, the kind of a rule that stopped it, and why."""
    decision = decision or next((one["stopped"] for one in cells if one.get("stopped")), None)
    first = next((one for one in cells if one["status"] == "diverged"), None)
    if decision:
        status = "diverged" if decision["when"] == "diverged" else "stopped"
        return status, {"status": decision["when"], "why": why(decision)}
    if first:
        generation = (first.get("diverged") or {}).get("generation", first["generation"])
        return "diverged", {"status": "diverged", "why": f"the training of generation {generation} diverged"}
    return "ok", {"status": "ok", "why": ""}


def _generation(cell: Record, beside: Beside, options: Mapping[str, str], tags: Mapping[str, str]) -> Content:
    generation = cell["generation"]
    place = (cell["arm"], cell["seed"], generation)
    seen, loss = beside.curves.get(place, ((), ()))
    curve = [("train/loss", float(y), int(x)) for x, y in zip(seen, loss, strict=True) if np.isfinite(y)]
    curve += list(_adapted(beside.adaptations.get(place, ())))
    hashes = {noun: sha for noun, sha in (cell.get("lineage") or {}).items() if not noun.startswith("parent ")}
    eaten = "; ".join(f"{p['count']} {p['arm']} gen {p['generation']}" for p in cell.get("composition") or ())
    costs = beside.costs.get(place, ())
    files = {"model-card.md": model_card(cell, options).encode(), "data-card.md": data_card(cell, beside.data).encode()}
    files |= {"samples.png": beside.pictures[place]} if place in beside.pictures else {}
    ended = _moment(max, costs, "ended_at")
    own = {f"lineage.{noun}": sha for noun, sha in hashes.items()} | {"status": cell["status"]}
    return Content(
        name=f"gen {generation}",
        tags=tags | own | {"level": "generation", "generation": str(generation), "composition": eaten[:4000]},
        params={**options, "generation": str(generation)},
        metrics=[*_metrics(cell), *_costs(cell, beside), *curve],
        status=cell["status"],
        files=files,
        datasets=[beside.training[place]] if place in beside.training else [],
        model=_model(place, beside, options, hashes.get("model", "")) if cell["status"] == "ok" else None,
        began=_moment(min, costs, "began_at"),
        ended=ended,
        moments={} if ended is None else {generation: ended},
    )


def _adapted(steps: Sequence[Step]) -> Iterator[Point]:
    """``adapt/reward`` over the images that an adapter has seen; of several adapters each by its place and name."""
    for index, step in enumerate(steps):
        group = f"adapt_{index}_{step.name}" if len(steps) > 1 else "adapt"
        for series in series_of(step.facts):
            pairs = zip(series.seen, series.values, strict=True)
            name = series.name.replace("(", "").replace(")", "")
            yield from ((f"{group}/{name}", float(y), int(x)) for x, y in pairs if y is not None and np.isfinite(y))


def _model(place: Cell, beside: Beside, options: Mapping[str, str], digest: str) -> Mapping[str, Any] | None:
    if place not in beside.models:
        return None
    arm, seed, generation = place
    return {
        "name": f"{arm}-seed{seed}-gen{generation}",
        "family": options.get("family", ""),
        "options": {name: value for name, value in options.items() if name.startswith("model.")},
        "tags": {"path": beside.models[place], "sha256": digest},
    }


def report_run(beside: Beside, runs: Iterable[Content]) -> dict[str, Content]:
    """The run to which a study's report is attached, by its key; nothing where there is none yet. It began first."""
    files = {name: path.read_bytes() for name, path in beside.report.items() if path.exists()}
    runs = list(runs)
    began = min((run.began for run in runs if run.began is not None), default=None)
    ended = max((run.ended for run in runs if run.ended is not None), default=None)
    first = None if began is None else began - 1
    return {"report": Content("report", {"level": "study"}, files=files, began=first, ended=ended)} if files else {}


def _moment(which: Any, costs: Sequence[Mapping[str, Any]], name: str) -> int | None:
    found = [one[name] for one in costs if one.get(name) is not None]
    return round(1000 * which(found)) if found else None


def _metrics(cell: Record) -> list[Point]:
    """``lenet/recall``, ``lenet_raw/recall``, ``lenet_class_histogram/3``: MLflow groups charts by what precedes /.

    Of a stream also ``lenet_recall/task3``, a row of the forgetting matrix in each generation.
    """
    found = []
    for entry in (*cell["values"], *(cell.get("tasks") or {}).get("values", ())):
        if entry["value"] is not None:
            group = entry["extractor"] + ("" if entry["set"] == "sampled" else f"_{entry['set']}")
            metric, _, part = entry["metric"].partition(".")
            if "task" in entry:
                part = f"task{entry['task']}" + (f"_{part}" if part else "")
            key = f"{group}_{metric}/{part}" if part else f"{group}/{metric}"
            found.append((key, float(entry["value"]), int(cell["generation"])))
    return found


def _costs(cell: Record, beside: Beside) -> list[Point]:
    """What the jobs of a generation have cost: its group is what MLflow shows as a run's system metrics."""
    costs, found = beside.costs.get((cell["arm"], cell["seed"], cell["generation"]), ()), []
    for key, (name, of) in COSTS.items():
        if numbers := [float(one[name]) for one in costs if one.get(name) is not None]:
            found.append((key, of(numbers), int(cell["generation"])))
    return found


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str))[:6000]
