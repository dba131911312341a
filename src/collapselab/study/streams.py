"""A stream of tasks in a study: the files that say whose rows are whose, and what is wrong with one."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from ..compose.regimes import pooled
from ..compose.streams import Stream, drifted, rows_of
from ..core.kinds import NOUNS
from ..data.split import split
from ..features import FEATURES
from ..metrics import METRICS
from .faults import Fault

if TYPE_CHECKING:
    from .study import Study

MOST_LOOKED_AT = 20_000  # images that a study's check reads to count the rows of each task


def digest(stream: Stream) -> str:
    """What tells one stream from another, in eight digits."""
    return hashlib.sha256(stream.model_dump_json(exclude_none=True).encode()).hexdigest()[:8]


def task_file(study: "Study", part: str, task: int) -> str:
    """The rows of a part of the real data that are of a task of the stream, as a table."""
    stem = study.part_file(part).rpartition("/")[2].removesuffix(".safetensors")
    return study.real_file(f"task{task}-{stem}.{digest(study.file.data.stream)}.parquet")


def stream_faults(study: "Study", there: bool) -> Iterator[Fault]:
    """What keeps a study from having a stream of tasks. there: whether the data can be read."""
    file, stream = study.file, study.file.data.stream
    if stream is None:
        return
    where = ("data", "stream")
    if stream.tasks <= file.generations:
        cure = f"say generations: {stream.tasks - 1}, or say more tasks"
        yield Fault(
            where, f"found {stream.tasks} tasks for generations 0 to {file.generations}; each has its own: {cure}"
        )
        return
    for key, wrong, cure in (
        ("control", file.control != "none", "none: the same real data in every generation are no control of a stream"),
        ("together", file.together, "false: one job of all seeds has no tasks"),
        ("calibration", bool(file.calibration), "none: it counts real images of all tasks"),
    ):
        if wrong:
            yield Fault((key,), f"beside data.stream allowed is {cure}")
    if file.data.split.fresh:
        yield Fault(
            ("data", "split", "fresh"),
            "a stream's fresh rows are those of the train split that are of the task; leave it out",
        )
    primary = file.primary.metric
    if primary in METRICS and METRICS[primary].against != "held_out":
        said = f"{primary!r} does not compare with held-out rows, of which each task of a stream has its own"
        yield Fault(("primary", "metric"), said)
    known = [name for name in study.measured_in if name in FEATURES]  # of others another fault tells
    for name in [one for one in known if FEATURES[one].needs.through in ("truth", "law")]:
        yield Fault(
            ("extractors", study.measured_in.index(name)),
            f"{name!r} knows one truth, and a stream has one for each task",
        )
    yield from _drift_faults(study, stream) if stream.drift else _class_faults(study, stream, there)


def _drift_faults(study: "Study", stream: Stream) -> Iterator[Fault]:
    """Options that the population has not, and values that these cannot have."""
    where = ("data", "stream", "drift")
    if study.population_name is None:
        yield Fault(where, f"changes a population; the study's data come from {study.origin.name!r}: say classes")
        return
    options = study.population.options
    if unknown := [name for name in stream.drift if name not in type(options).model_fields]:
        allowed = ", ".join(type(options).model_fields)
        yield Fault((*where, unknown[0]), f"is no option of {study.population_name!r}; allowed: {allowed}")
        return
    for task in range(stream.tasks):
        try:
            found = type(study.population).population(drifted(options, stream.drift, task))
        except (ValidationError, ValueError) as error:
            said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            yield Fault(where, f"task {task}: {said.removeprefix('Value error, ')}")
            return
        if found.shape != study.population.shape:
            yield Fault(
                where, f"task {task} has rows of shape {found.shape}; those of all tasks are {study.population.shape}"
            )
            return


def _class_faults(study: "Study", stream: Stream, there: bool) -> Iterator[Fault]:
    """Classes that the data have not, and draws that ask for more rows than a task has."""
    where = ("data", "stream", "classes")
    if study.population_name is not None:
        labels = _labels_of_population(study)
        known, found = (set(labels.tolist()) if labels is not None else set()), study.population_name
    elif there:
        try:
            known = set(range(study.dataset.labelled()))
        except (ValueError, OSError):
            return  # of images that cannot be read another fault tells
        found = study.origin.name
    else:
        return
    asked = {one for task in stream.classes for one in task}
    if not known:
        yield Fault(where, f"{found!r} gives no labels, by which a row is of a task")
    elif asked - known:
        listed = ", ".join(map(str, sorted(asked - known)))
        yield Fault(where, f"found {listed}; the labels of {found!r} are {min(known)} to {max(known)}")
    elif study.population_name is None:
        yield from _supply_faults(study, stream)


def _labels_of_population(study: "Study") -> np.ndarray | None:
    from ..core.ask import Ask

    return study.population.sample(Ask(1000, 0)).labels


def _supply_faults(study: "Study", stream: Stream) -> Iterator[Fault]:
    """Arms that ask for more rows of a task than the train split has; of many images nobody counts ahead."""
    data, noun = study.file.data, NOUNS[study.kind]
    sizes = data.split.parts() | data.split.kept_back()
    if study.dataset.count() > MOST_LOOKED_AT or sum(sizes.values()) > study.dataset.count():
        return
    parts = split(study.dataset.load(), sizes, data.split_seed, data.rare)
    for part in ("held_out", "train"):
        counts = [len(rows_of(parts[part], stream, task, part == "train")) for task in range(stream.tasks)]
        if part == "held_out" and min(counts) < 2:
            few = int(np.argmin(counts))
            yield Fault(
                ("data", "split", part), f"of task {few} {counts[few]} {noun} are held out; allowed are 2 or more"
            )
    for name, arm in study.lineages.items():
        for draws in (one.changed for one in pooled(arm.regime, name, arm.generations)):
            short = next((d for d in draws if d.is_real and d.count > counts[d.generation]), None)
            if short is not None:
                asked = f"asks for {short.count} real {noun} of task {short.generation}"
                yield Fault(
                    ("arms", name, "regime"), f"{asked}; the train split has {counts[short.generation]} of its classes"
                )
                break
