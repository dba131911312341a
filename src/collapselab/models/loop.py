"""The training loop of every family of networks: feeding, phases, micro-batches, processes, curves and checkpoints.

A family says what is trained and by which losses (:class:`Task`); the loop says when, on which rows and where. Every
random number of step s comes from the device's generator seeded by a hash of (seed, s), and the rows of step s from the
shuffled epochs that the seed names: a training resumed at step s needs no generator state, and arms that share a seed
share their noise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from ..optim import Adam
from .base import Progress, TrainingSet
from .execution import Execution


@dataclass(frozen=True)
class Batch:
    """What a phase's loss sees: one micro-batch on the device.

    images: (B, C, H, W) float32 in [-1, 1]. labels: (B,) int64, or None. weights: (B,) float32, of mean 1 over the
    training set. draws: this micro-batch's rows of what :meth:`Task.draw` gave.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    weights: torch.Tensor
    draws: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Phase:
    """One optimiser's step within a training step.

    name: also that of its curve. optimiser: whose ``parameters`` are moved. loss: of a micro-batch, (B,) float32, one
    loss an image; everything random in it is in ``batch.draws`` (a network's dropout excepted), it reads nothing back
    from the device, and it writes nothing but tensors of :meth:`Task.tensors`, in place. every: it runs in steps 0,
    every, 2 every, ... share: it runs on every share-th image of the batch.
    """

    name: str
    optimiser: Adam
    loss: Callable[[Batch], torch.Tensor]
    every: int = 1
    share: int = 1


class Task(Protocol):
    """What a family gives the loop.

    networks: what is trained; their parameters and buffers are kept in checkpoints. phases: in the order in which a
    step runs them. granularity: micro-batches are multiples of it.
    """

    networks: Mapping[str, nn.Module]
    phases: Sequence[Phase]
    granularity: int

    def prepare(self, execution: Execution) -> None:
        """Get ready to run in this way (``execution.compiled(network)``); may be called more than once."""
        ...

    def draw(self, count: int) -> Mapping[str, torch.Tensor]:
        """Every random number of one step of ``count`` images, rows first, from the device's default generator.

        The loop has seeded it, and cuts the rows into processes and micro-batches: results do not depend on the cut.
        """
        ...

    def after_step(self, images_seen: int, batch: int) -> None:
        """Averages, controllers, and the learning rate of the next step; reads nothing back from the device."""
        ...

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """All further state, as live tensors on the device: stored in checkpoints and restored in place."""
        ...

    def watched(self) -> Mapping[str, torch.Tensor]:
        """Tensors without axes that are drawn as curves beside the phases' losses."""
        ...

    def result(self) -> dict[str, np.ndarray]:
        """The trained weights by name, as they would be if the training ended now."""
        ...


@dataclass(frozen=True)
class Trained:
    """weights: by name. curve: ``images_seen``, ``loss`` and the other curves, equally long. how: it was trained."""

    weights: dict[str, np.ndarray]
    curve: dict[str, np.ndarray]
    how: dict[str, Any]


Inspect = Callable[[Trained, int], None]
"""Called with the training as it would be if it ended now, and its images seen."""


def train(
    task_of: Callable[[torch.device], Task],
    training: TrainingSet,
    *,
    family: str,
    facts: Mapping[str, Any],
    batch: int,
    images_seen: int,
    seed: int,
    precision: str = "float32",
    initial: Mapping[str, np.ndarray] | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    allow_nonidentical: bool = False,
    snapshots: int = 0,
    inspect: Inspect | None = None,
) -> Trained:
    """The task trained for ``ceil(images_seen / batch)`` steps.

    family: the module below ``models``, whose source is part of the training's identity. facts: what else is, such as
    the options, as JSON-like values. initial: the weights that ``task_of`` starts from, for the identity.
    """
    raise NotImplementedError
