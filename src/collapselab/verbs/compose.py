"""Which rows make a training set, and the rows that are made for it alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..compose import rows as composing
from ..compose.regimes import Draw, Recipe
from ..compose.streams import Stream, Task
from ..core.ask import Ask
from ..core.sets import KeptTable, Reference, SampleSet, TrainingTable
from .sample import joined

Place = tuple[str, int]
"""Whose rows, and of which generation: an arm's name, or fixed, redrawn or fresh for real ones."""


class Ancestor(NamedTuple):
    """A model that is asked again, with its arm's bias, random stream, guide and sampler; None where it diverged."""

    model: Any | None
    sampling_bias: float
    stream: int
    diverged: Mapping[str, Any] | None = None
    guide: Any | None = None
    sampler: Any | None = None


def draw(
    recipe: Recipe, study_seed: int, replicate: int, population: Any | None, ancestors: Mapping[Place, Ancestor]
) -> SampleSet:
    """What a training set needs and no file holds: real rows of a known truth, new samples of ancestors' models.

    Its lineage names the ``parts`` in order, as [arm, generation, count], or where an ancestor ``diverged``.
    """
    parts, lineage = [], {"parts": []}
    for entry in recipe.draws:
        if entry.is_real and population is not None:
            seed = composing.real_seed(study_seed, replicate, entry)
            parts.append(population.sample(Ask(entry.count, seed)))
        elif not entry.is_real and recipe.resamples:
            ancestor = ancestors[entry.arm, entry.generation]
            if ancestor.model is None:
                lineage["diverged"] = ancestor.diverged
                continue
            seed = composing.resample_seed(study_seed, replicate, recipe.generation, entry, ancestor.stream)
            asked = Ask(entry.count, seed, bias=ancestor.sampling_bias, guide=ancestor.guide, sampler=ancestor.sampler)
            parts.append(ancestor.model.sample(asked))
        else:
            continue
        lineage["parts"].append([entry.arm, entry.generation, entry.count])
    whole = parts and "diverged" not in lineage
    return joined(parts, lineage) if whole else SampleSet(np.empty(0), lineage=lineage)


def draw_tasks(
    recipe: Recipe,
    study_seed: int,
    replicate: int,
    population: Any,
    ancestors: Mapping[Place, Ancestor],
    stream: Stream,
) -> SampleSet:
    """The same where the known truth changes: real rows are of the task of their generation."""
    parts, lineage = [], {"parts": []}
    for entry in recipe.draws:
        one = recipe.model_copy(update={"draws": [entry]})
        found = draw(one, study_seed, replicate, Task(population, stream, entry.generation), ancestors)
        if "diverged" in found.lineage:
            return found
        if found.lineage["parts"]:
            parts.append(found)
            lineage["parts"] += found.lineage["parts"]
    return joined(parts, lineage)


@dataclass(frozen=True)
class Rows:
    """A sample set that training sets take rows from: which file it is, and which of its rows were kept."""

    samples: SampleSet
    path: str
    hash: str
    kept: KeptTable | None = None

    def __len__(self) -> int:
        return len(self.samples if self.kept is None else self.kept.rows)


def compose(
    recipe: Recipe, study_seed: int, replicate: int, stored: Mapping[Place, Rows], drawn: Rows | None
) -> TrainingTable:
    """Which rows make the training set of a generation: references, not copies.

    stored: the sample sets that hold rows of an arm and generation. drawn: what :func:`draw` made for this training
    set. Its lineage says where an ancestor ``diverged``; then it is empty. Raises ValueError where rows are missing.
    """
    lineage: dict[str, Any] = {"recipe": recipe.model_dump(mode="json"), "seed": replicate}
    sets = [*stored.values(), *([drawn] if drawn is not None else [])]
    marks = [one.samples.lineage["diverged"] for one in sets if "diverged" in one.samples.lineage]
    if marks:
        return TrainingTable((), lineage | {"diverged": marks[0]})
    places = [(entry.arm, entry.generation) for entry in recipe.draws]
    there = {place: len(stored[place]) if place in stored else None for place in places}
    chosen = composing.choose(recipe, there, study_seed, replicate)
    offsets = _offsets(drawn)
    return TrainingTable(tuple(_reference(recipe, one, stored, drawn, offsets) for one in chosen), lineage)


def _reference(
    recipe: Recipe,
    chosen: composing.Chosen,
    stored: Mapping[Place, Rows],
    drawn: Rows | None,
    offsets: Mapping[Place, int],
) -> Reference:
    entry, rows = chosen
    place = entry.arm, entry.generation
    if place in stored:
        source = stored[place]
        rows = rows if source.kept is None else source.kept.rows[rows]
    elif place in offsets:
        source, rows = drawn, rows + offsets[place]
    else:
        raise ValueError(f"neither --sources nor --drawn has rows of {entry.arm!r} at generation {entry.generation}")
    labels = None if source.samples.labels is None else source.samples.labels[rows]
    origin = _origin(entry)
    return Reference(source.hash, source.path, rows, origin, *place, labels, recipe.weights[origin])


def row_weights(table: TrainingTable, stored: Iterable[Rows]) -> TrainingTable:
    """A training set with the weights that selectors have given its rows: 1 where they gave none."""
    given = {one.path: one.kept for one in stored if one.kept is not None and one.kept.weights is not None}
    if not given:
        return table
    weights = []
    for part in table.references:
        kept = given.get(part.path)
        one = np.ones(len(part.rows)) if kept is None else kept.weights[np.searchsorted(kept.rows, part.rows)]
        weights.append(one)
    return replace(table, row_weights=np.concatenate(weights) if weights else None)


def _origin(entry: Draw) -> str:
    return "real" if entry.is_real else "synthetic"


def _offsets(drawn: Rows | None) -> dict[Place, int]:
    """Where the rows of each part begin in a drawn set."""
    offsets, begin = {}, 0
    for arm, generation, count in drawn.samples.lineage["parts"] if drawn is not None else []:
        offsets[arm, generation] = begin
        begin += count
    return offsets
