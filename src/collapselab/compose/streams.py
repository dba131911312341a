"""Real data that change from generation to generation: a stream of tasks, of which each generation has one.

Generation t learns task t: its real rows are of that task, be they fixed (those of generation 0, and so of task 0),
fresh or redrawn. Which rows are mixed, and how many, remains the regime's to say.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..core.ask import Ask
from ..core.sets import KeptTable, SampleSet

TASK = "task"
"""The column of a sample set that says of which task a row is, where its label does not."""
TRIED = 1_000  # draws of a population for each row of a task, before it is taken to have none


class Stream(BaseModel):
    """What the tasks are: of labelled rows the classes of each, of a population what changes in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    classes: list[Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]] | None = Field(
        None, min_length=1, description="of each task its classes; the rows of a class in several are dealt out to them"
    )
    drift: dict[str, Annotated[list[Any], Field(min_length=1)]] | None = Field(
        None, min_length=1, description="options of the population that change: {option: [its value in each task]}"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.classes is None) == (self.drift is None):
            raise ValueError(f"names either classes or drift; found {'neither' if self.classes is None else 'both'}")
        for task in self.classes or ():
            if len(set(task)) < len(task):
                raise ValueError(f"classes: found {task}; a class stands once in a task")
        lengths = {name: len(values) for name, values in (self.drift or {}).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"drift: found {lengths} values; all options have one for each task")
        return self

    @property
    def tasks(self) -> int:
        """How many there are."""
        return len(self.classes) if self.classes is not None else len(next(iter(self.drift.values())))


def rows_of(samples: SampleSet, stream: Stream, task: int, share: bool) -> np.ndarray:
    """The rows of a sample set that are of a task: (n,) int64, rising.

    Those that its column ``task`` says, where it has one; else those of the task's classes. share: whether the rows of
    a class in several tasks are dealt out to these, in turn and in the order of the rows, so that no task has another's
    rows; else each has all of them, as to be measured on. Raises ValueError for rows without labels.
    """
    if TASK in samples.aux:
        return np.flatnonzero(samples.aux[TASK] == task)
    if samples.labels is None:
        raise ValueError("stream: the samples have no labels, needed to know of which task a row is")
    chosen = []
    for one in stream.classes[task]:
        rows, having = np.flatnonzero(samples.labels == one), [t for t, of in enumerate(stream.classes) if one in of]
        chosen.append(rows[having.index(task) :: len(having)] if share else rows)
    return np.sort(np.concatenate(chosen))


def table(samples: SampleSet, stream: Stream, task: int, share: bool) -> KeptTable:
    """The rows of a task (:func:`rows_of`) as a table, each with why it is one of them.

    Raises ValueError where there are none.
    """
    rows = rows_of(samples, stream, task, share)
    if not len(rows):
        raise ValueError(f"stream: task {task} has none of the {len(samples)} rows")
    told = samples.aux.get(TASK, samples.labels)
    words = "task" if TASK in samples.aux else "class"
    reasons = tuple(f"{words} {one}" for one in told[rows])
    lineage = {"stream": stream.model_dump(mode="json", exclude_none=True), "task": task, "shared": share}
    lineage |= {"labels": [] if samples.labels is None else np.unique(samples.labels[rows]).tolist()}
    return KeptTable(rows, np.full(len(rows), np.nan), reasons, "stream", lineage)


class Task:
    """A known truth as it is in one task of a stream: it draws rows of that task alone."""

    def __init__(self, population: Any, stream: Stream, task: int):
        self.stream, self.task, self.population = stream, task, _at(population, stream, task)

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for, the first of a task's own sequence whatever their number.

        Of a stream of classes: those of its own endless sequence whose class is the task's. Labels are the population's
        own, or where it has none the task. ``aux``: ``task``. Raises ValueError for a population without such classes.
        """
        found = self.population.sample(ask) if self.stream.classes is None else self._of_classes(ask)
        task = np.full(len(found), self.task, np.int64)
        labels = task if found.labels is None else found.labels
        return SampleSet(found.data, labels, {TASK: task}, found.lineage)

    def _of_classes(self, ask: Ask) -> SampleSet:
        wanted, begin, parts, count = self.stream.classes[self.task], 0, [], 0
        end = ask.start + ask.count
        while count < end:
            if begin > TRIED * end:
                raise ValueError(f"stream: of {begin} draws of the population {count} are of the classes {wanted}")
            drawn = self.population.sample(Ask(max(end, 100), ask.seed, begin))
            if drawn.labels is None:
                raise ValueError("stream: the population's draws have no labels, needed to know of which task they are")
            rows = np.flatnonzero(np.isin(drawn.labels, wanted))
            parts.append((drawn.data[rows], drawn.labels[rows]))
            begin, count = begin + len(drawn), count + len(rows)
        data, labels = (np.concatenate(one)[ask.start : end] for one in zip(*parts, strict=True))
        return SampleSet(data, labels)


def _at(population: Any, stream: Stream, task: int) -> Any:
    if stream.drift is None:
        return population
    return type(population).population(drifted(population.options, stream.drift, task))


def drifted(options: Any, drift: Mapping[str, Sequence[Any]], task: int) -> Any:
    """The options of a population in a task. Raises ValidationError for such as it has not."""
    said = options.model_dump(mode="json") | {name: values[task] for name, values in drift.items()}
    return type(options).model_validate(said)


def all_tasks(population: Any, stream: Stream, ask: Ask) -> SampleSet:
    """As many draws of each task as are asked for, task by task."""
    parts = [Task(population, stream, task).sample(ask) for task in range(stream.tasks)]
    labels, tasks = (np.concatenate(one) for one in zip(*((p.labels, p.aux[TASK]) for p in parts), strict=True))
    return SampleSet(np.concatenate([one.data for one in parts]), labels, {TASK: tasks})
