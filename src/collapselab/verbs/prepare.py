"""Real data, before the loop: read or drawn once, split, and looked at by extractors that learn from it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..compose.streams import Stream, all_tasks, table
from ..core.ask import Ask
from ..core.seeds import seed_of
from ..core.sets import KeptTable, SampleSet
from ..data.split import split
from ..features import Extractor


def prepare(dataset: Any, sizes: Mapping[str, int], split_seed: int, rare: Mapping[int, float]) -> dict[str, SampleSet]:
    """The parts that a data set is split into: by name, of the sizes asked for."""
    return split(dataset.load(), sizes, split_seed, rare)


def populate(name: str, population: Any, part: str, count: int, split_seed: int) -> SampleSet:
    """Draws of a known truth: those ``held_out``, or as many beside them (``train``) for the reference line."""
    drawn = population.sample(Ask(count, seed_of(split_seed, None, None, part)))
    lineage = {"population": name, "options": population.options.model_dump(mode="json"), "part": part}
    return SampleSet(drawn.data, drawn.labels, lineage=lineage)


def populate_tasks(name: str, population: Any, stream: Stream, part: str, count: int, split_seed: int) -> SampleSet:
    """As many draws of the known truth as it is in each task of a stream, which their column ``task`` tells."""
    drawn = all_tasks(population, stream, Ask(count, seed_of(split_seed, None, None, part)))
    lineage = {"population": name, "options": population.options.model_dump(mode="json"), "part": part}
    return replace(drawn, lineage=lineage | {"stream": stream.model_dump(mode="json", exclude_none=True)})


def task(samples: SampleSet, stream: Stream, number: int, share: bool) -> KeptTable:
    """The rows of a part of the real data that are of a task. share: those of a class in several are dealt out."""
    return table(samples, stream, number, share)


def learn(
    name: str, extractor: Extractor, train: SampleSet, held_out: SampleSet, options: Any, split_seed: int
) -> tuple[Mapping[str, np.ndarray], Mapping[str, Any]]:
    """The weights that an extractor learns from labelled images, and what is said of them: its held-out accuracy."""
    seed = seed_of(split_seed, None, None, f"learn/{name}")
    return extractor.train(train.data, train.labels, seed, options, held_out=(held_out.data, held_out.labels))
