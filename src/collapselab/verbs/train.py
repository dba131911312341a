"""A model of a training set."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel

from ..core.run import Run
from ..core.seeds import seed_of
from ..core.sets import SampleSet, TrainingSet, TrainingTable


def settle(kind: Any, options: BaseModel, chooser: Any | None) -> Any:
    """The options of a family; those that are left open are as the model of generation 0 has chosen them."""
    if chooser is None:
        return options
    return kind.Options.model_validate(options.model_dump(exclude_unset=True) | chooser.chosen)


def budget(options: BaseModel, images_seen: int | None) -> int | None:
    """How many images a training sees: as asked for, or as the family's options say; None for a closed form."""
    return images_seen if images_seen is not None else options.budget


def as_it_is(start: Any, options: BaseModel) -> Any:
    """Published weights as the model of a generation, sampled by the arm's options."""
    return type(start).load(start.stored(), options)


def rows_of(table: TrainingTable, sets: Mapping[str, SampleSet]) -> TrainingSet:
    """The rows that a training table names, in its order, out of the sample sets by their paths.

    Raises ValueError for a table without references.
    """
    if not table.references:
        raise ValueError("training set: found no references, needed is at least one")
    data = np.concatenate([sets[part.path].data[part.rows] for part in table.references])
    labelled = all(part.labels is not None for part in table.references)
    labels = np.concatenate([part.labels for part in table.references]) if labelled else None
    weights = np.concatenate([np.full(len(part.rows), part.weight, np.float64) for part in table.references])
    return TrainingSet(data, labels, weights)


def weighted(training: TrainingSet, table: TrainingTable) -> TrainingSet:
    """The same rows, with the weights that selectors have given them: each multiplies the regime's weight."""
    if table.row_weights is None:
        return training
    return TrainingSet(training.data, training.labels, training.weights * table.row_weights)


def labels_of(training: TrainingSet) -> TrainingSet:
    """The labels of the rows as the data, with the same weights: what a model of labels alone learns from.

    Raises ValueError for rows without labels.
    """
    if training.labels is None:
        raise ValueError("training set: found rows without labels, of which a model of labels has nothing to learn")
    return TrainingSet(np.asarray(training.labels, np.int64), None, training.weights)


def whole(samples: SampleSet) -> TrainingSet:
    """All rows of a sample set, with equal weights."""
    return TrainingSet(samples.data, samples.labels, np.ones(len(samples.data)))


def training_seed(study_seed: int, replicate: int, generation: int) -> int:
    """The seed of a training: arms share it, so that they are compared in pairs."""
    return seed_of(study_seed, replicate, generation, "train")


def train(kind: Any, options: BaseModel, training: TrainingSet, run: Run, start: Any | None) -> Any:
    """The model of a family that is fitted to a training set, from ``start`` or from scratch.

    Raises Diverged and Interrupted as ``Model.fit`` does.
    """
    return kind.fit(training, options, run, start)
