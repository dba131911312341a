"""The network of a normalising flow, and its training by maximum likelihood."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn
from zuko.transforms import MonotonicAffineTransform, MonotonicRQSTransform

from ...core.run import Run
from ...core.sets import TrainingSet
from ...engine import loop, networks
from ...engine.scale import Scale
from ...engine.task import Batch
from .options import FlowOptions

LEAST_SLOPE = 1e-3  # of a map of one number, and its inverse the greatest

# -- network -----------------------------------------------------------------------------------------------------------


class Coupling(nn.Module):
    """Every other number of a row stays as it is, and says how the rest are bent, each by a map of one number.

    Its places are slices and its parameters float32, so that a step on a GPU waits for nothing and bfloat16 ends at the
    network's output; zuko's own couplings look their masks up in every step. Of rows of one number nothing stays, and
    the map has parameters of its own.

    first: 0 or 1, the first of the numbers that stay.
    """

    def __init__(self, dimensions: int, first: int, options: FlowOptions):
        super().__init__()
        self.kept = slice(first, None, 2) if dimensions > 1 else slice(0, 0)
        self.bent = slice(1 - first, None, 2) if dimensions > 1 else slice(None)
        self.univariate, self.sizes = UNIVARIATE[options.transform](options)
        kept, bent = (len(range(dimensions)[places]) for places in (self.kept, self.bent))
        self.network = (
            networks.perceptron(kept, [options.hidden] * options.layers, bent * sum(self.sizes), nn.ReLU)
            if kept
            else None
        )
        self.constant = None if kept else nn.Parameter(torch.zeros(bent * sum(self.sizes)))

    def forward(self, rows: torch.Tensor, inverse: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows (B, d) bent, or bent back, and log |det| of the map forward, (B,); 0 for the way back."""
        kept, bent = rows[:, self.kept], rows[:, self.bent]
        numbers = self.constant.expand(len(rows), -1) if self.network is None else self.network(kept)
        parts = numbers.to(rows.dtype).reshape(*bent.shape, -1).split(self.sizes, dim=-1)
        bend = self.univariate(*(part.squeeze(-1) if part.shape[-1] == 1 else part for part in parts))
        if inverse:
            bent, volume = bend.inv(bent), rows.new_zeros(len(rows))
        else:
            bent, volumes = bend.call_and_ladj(bent)
            volume = volumes.sum(dim=1)
        rows = rows.clone()
        rows[:, self.bent] = bent
        return rows, volume


UNIVARIATE = {
    "realnvp": lambda options: (partial(MonotonicAffineTransform, slope=LEAST_SLOPE), [1, 1]),
    "spline": lambda options: (
        partial(MonotonicRQSTransform, slope=LEAST_SLOPE),
        [options.bins, options.bins, options.bins - 1],
    ),
}


class Couplings(nn.Module):
    """Couplings that change the halves of a row in turn."""

    def __init__(self, dimensions: int, options: FlowOptions):
        super().__init__()
        self.steps = nn.ModuleList(Coupling(dimensions, index % 2, options) for index in range(options.transforms))

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """f(x) of rows (B, d), and log |det df/dx|, (B,)."""
        total = rows.new_zeros(len(rows))
        for step in self.steps:
            rows, volume = step(rows)
            total = total + volume
        return rows, total

    def inverse(self, latents: torch.Tensor) -> torch.Tensor:
        """f^-1(z) of latents (B, d)."""
        for step in reversed(self.steps):
            latents, _ = step(latents, inverse=True)
        return latents


def build(options: FlowOptions, shape: Sequence[int]) -> Couplings:
    """The network of the options for rows of ``shape``."""
    return Couplings(math.prod(shape), options)


def log_density(network: Couplings, rows: torch.Tensor) -> torch.Tensor:
    """log N(f(x); 0, I) + log |det df/dx| of standardised rows (B, d), in nats: (B,)."""
    latents, volume = network(rows)
    return volume - (latents.square() + math.log(2 * math.pi)).sum(dim=1) / 2


# -- training ----------------------------------------------------------------------------------------------------------


def train(
    training: TrainingSet, options: FlowOptions, scale: Scale, run: Run, initial: Mapping[str, np.ndarray] | None
) -> loop.Trained:
    """The network's weights by name, trained by :func:`loop.train` on :class:`Likelihood`."""
    task_of = partial(task, options, training.data.shape[1:], scale, run, initial)
    return networks.trained("flow", task_of, training, options, run, initial)


def task(
    options: FlowOptions,
    shape: Sequence[int],
    scale: Scale,
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    where: torch.device,
) -> "Likelihood":
    """What is trained on rows of ``shape``: a network from the seed's initial weights, or from ``initial`` ones."""
    network = networks.initialised(lambda: build(options, shape), run.seed, initial, where)
    return Likelihood(network, options, scale, shape, where, run.images_seen)


class Likelihood(networks.Descent):
    """The task of minimising -log p(x) / d, in nats of the standardised rows.

    Pixels are moved uniformly within their bytes: the density of the bytes alone could grow without bound (Uria, Murray
    and Larochelle 2013, https://arxiv.org/abs/1306.0186).
    """

    def __init__(
        self,
        network: nn.Module,
        options: FlowOptions,
        scale: Scale,
        shape: Sequence[int],
        where: torch.device,
        images_seen: int,
    ):
        self.shape, self.where = tuple(shape), where
        self.rows = networks.Standardised(scale, where)
        super().__init__(network, options.learning_rate, options.betas, images_seen)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        return {"uniform": torch.rand(count, math.prod(self.shape), device=self.where)} if len(self.shape) == 3 else {}

    def loss(self, batch: Batch) -> torch.Tensor:
        rows = self.rows(batch.images, batch.draws.get("uniform"))
        return -batch.weights * log_density(self.network, rows) / rows.shape[1]
