"""Training of an adapter: the base's own loss on sequences, of which only the adapter is moved.

The loop is that of every family (:mod:`engine.loop`).
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import nn

from ...core.run import Run
from ...core.sets import TrainingSet
from ...engine import loop, networks
from ...engine.task import Batch
from ..pretrained.adapter import NAME, Updates, filled
from ..transformer.training import token_losses
from . import network
from .options import PretrainedTextOptions


def train(
    training: TrainingSet,
    options: PretrainedTextOptions,
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    digest: str,
) -> loop.Trained:
    """The adapter's matrices by name, and the curve, after ``ceil(run.images_seen / batch)`` steps.

    training.data: (N, L) float32 whole numbers. What is raised is :func:`loop.train`'s, and that of
    :func:`network.read`.
    """
    task_of = partial(task, options, run, initial, digest)
    return networks.trained("pretrained-text", task_of, training, options, run, initial, {"base": digest})


def task(
    options: PretrainedTextOptions,
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    digest: str,
    where: torch.device,
) -> "Tuning":
    """What is trained on sequences: an adapter from the seed's initial matrices, or from ``initial`` ones."""
    language = network.read(options, digest)
    parameters = network.added(language, options, run.seed)
    if initial is not None:
        filled(parameters, initial)
    language.to(where)
    inside = dict(language.model.named_parameters())
    moved = {name: inside[name.replace(".weight", f".{NAME}.weight")] for name in parameters}
    return Tuning(language, moved, options, run.images_seen)


class Tuning(networks.Descent):
    """The task of predicting each token of those before it, as :class:`models.transformer.training.Predicting` does,
    by moving an adapter. The base drops no units."""

    def __init__(
        self,
        language: network.Language,
        moved: Mapping[str, nn.Parameter],
        options: PretrainedTextOptions,
        images_seen: int,
    ):
        self.options, self.language = options, language
        super().__init__(Updates(moved), options.learning_rate, options.betas, images_seen)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        return {}

    def loss(self, batch: Batch) -> torch.Tensor:
        tokens = batch.images.long()
        return batch.weights * token_losses(self.language(tokens), tokens, self.options.threshold).mean(dim=1)
