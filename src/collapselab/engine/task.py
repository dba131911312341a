"""What a family gives the training loop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from .execution import Execution
from .optim import Adam


@dataclass(frozen=True)
class Batch:
    """What a phase's loss sees: one micro-batch on the device.

    images: (B, C, H, W) float32 in [-1, 1], or vectors (B, d) float32. labels: (B,) int64, or None. weights: (B,)
    float32, of mean 1 over the training set. draws: this micro-batch's rows of what :meth:`Task.draw` gave.
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
    step runs them; the one named ``loss``, else the first, is the training's loss. granularity: micro-batches are
    multiples of it.
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
        """All further state, as live tensors on the device: stored in checkpoints and restored in place.

        After a step it is the same in all processes, of which the first one's is stored.
        """
        ...

    def watched(self) -> Mapping[str, torch.Tensor]:
        """Tensors without axes that are drawn as curves beside the phases' losses."""
        ...

    def result(self) -> dict[str, np.ndarray]:
        """The trained weights by name, as they would be if the training ended now."""
        ...


@runtime_checkable
class Ends(Protocol):
    """A :class:`Task` whose training may be at its end before its budget is."""

    def ended(self) -> bool:
        """Whether it is; asked on the host after every step. It follows from :meth:`Task.tensors` alone, so that all
        processes agree, and a training that goes on from a state does."""
        ...


def cut(batch: Batch, rows: slice) -> Batch:
    """Some rows of a batch."""
    draws = {name: draw[rows].contiguous() for name, draw in batch.draws.items()}
    labels = None if batch.labels is None else batch.labels[rows]
    images = batch.images[rows].contiguous()
    return replace(batch, images=images, labels=labels, weights=batch.weights[rows], draws=draws)


def optimisers(task: "Task") -> list[Any]:
    """The optimisers of the phases, each once: phases may share one."""
    return list({id(phase.optimiser): phase.optimiser for phase in task.phases}.values())
