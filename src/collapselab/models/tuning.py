"""A trained model that is trained on: what adapters and the further models of guides are made by."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.registry import usable
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .capabilities import Trainable


def settled(model: Any) -> Any:
    """The options of a model; those that were left open are as its validation rows have chosen them."""
    options = model.options
    if not options.left_open:
        return options
    return type(options).model_validate(options.model_dump(exclude_unset=True) | dict(model.chosen))


def taught(model: Any, samples: SampleSet, run: Run) -> Any:
    """The model after a training on samples, all alike: ``run.images_seen`` more of them, or a fit by its formula."""
    training = TrainingSet(samples.data, samples.labels, np.ones(len(samples)))
    if isinstance(model, Trainable):
        return tuned(model, training, run)
    return type(model).fit(training, settled(model), run)


def tuned(
    model: Any,
    training: TrainingSet,
    run: Run,
    changed: Callable[[Any], Any] = lambda task: task,
    batch: int | None = None,
) -> Any:
    """The model (``capabilities.Trainable``) after ``run.images_seen`` more images of a training set.

    Vectors are standardised by the model's own scale, and not by the training set's, so that the two models see rows in
    the same units. changed: what is made of the model's task before the loop runs it, such as another loss; it is
    called on the device; ``run.roots`` and ``run.beside`` say what it depends on. batch: images a step, where it is
    not the model's. Checkpoints, progress, interruption and divergence are those of :func:`engine.loop.train`.
    """
    from ..engine.networks import trained
    from . import MODELS

    family = next(name for name, family in usable(MODELS) if family is type(model))
    seen, options = model.seen(training), settled(model)
    if batch is not None:
        options = options.model_copy(update={"batch": batch})
    run = run.inspecting(model.went_on)
    initial = {name: array for name, array in model.stored().tensors.items() if not name.startswith("curve.")}

    def task_of(where: Any) -> Any:
        return changed(model.task(seen, options, run, where))

    return model.went_on(trained(family, task_of, seen, options, run, initial))
