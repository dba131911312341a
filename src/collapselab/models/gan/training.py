"""The networks of a generative adversarial network, and their training against one another.

With D the logit, G the generator and f = softplus, a step minimises in turn

    discriminator     f(D(G(z))) + f(-D(x)) + gamma / 2 |grad_x D(x)|^2      (Mescheder, Geiger and Nowozin 2018,
    loss              f(-D(G(z))), of the generator, non-saturating           https://arxiv.org/abs/1801.04406)

with x standardised rows. The networks are so small that the gradient is taken in every step.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ...core.run import Run
from ...core.sets import TrainingSet
from ...engine import loop, networks
from ...engine.averages import HalfLife
from ...engine.execution import Execution
from ...engine.optim import Adam
from ...engine.scale import Scale
from ...engine.task import Batch, Phase
from .options import GANOptions

RAMP = 0.05  # the average's half-life is at most this share of the rows seen so far


def build(options: GANOptions, shape: Sequence[int]) -> nn.ModuleDict:
    """``generator``: (B, latent) -> (B, d), and ``discriminator``: (B, d) -> (B, 1), for rows of ``shape``."""
    dimensions, hidden = math.prod(shape), [options.hidden] * options.layers
    return nn.ModuleDict(
        {
            "generator": networks.perceptron(options.latent, hidden, dimensions, leaky),
            "discriminator": networks.perceptron(dimensions, hidden, 1, leaky),
        }
    )


def leaky() -> nn.Module:
    """max(x, 0.2 x), the usual activation of a discriminator (Radford, Metz and Chintala 2016)."""
    return nn.LeakyReLU(0.2)


def train(
    training: TrainingSet, options: GANOptions, scale: Scale, run: Run, initial: Mapping[str, np.ndarray] | None
) -> loop.Trained:
    """Both networks' weights, trained by :func:`loop.train` on :class:`Adversarial`."""
    task_of = partial(task, options, training.data.shape[1:], scale, run, initial)
    return networks.trained("gan", task_of, training, options, run, initial)


def task(
    options: GANOptions,
    shape: Sequence[int],
    scale: Scale,
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    where: torch.device,
) -> "Adversarial":
    """What is trained on rows of ``shape``: networks from the seed's initial weights, or from ``initial`` ones."""
    both = networks.initialised(lambda: build(options, shape), run.seed, initial, where)
    return Adversarial(both["generator"], both["discriminator"], options, scale, where)


class Adversarial:
    """A :class:`task.Task`: both networks, their losses, and the generator's moving average."""

    granularity = 1

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, options: GANOptions, scale: Scale, where: torch.device
    ):
        self.generator, self.discriminator, self.options, self.where = generator, discriminator, options, where
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.rows = networks.Standardised(scale, where)
        self.average = HalfLife(dict(generator.named_parameters()), options.ema_half_life, RAMP)
        of_discriminator, of_generator = (
            Adam(network.parameters(), options.learning_rate, options.betas) for network in (discriminator, generator)
        )
        self.phases = [
            Phase("discriminator", of_discriminator, self.discriminator_loss),
            Phase("loss", of_generator, self.generator_loss),
        ]

    def prepare(self, execution: Execution) -> None:
        pass

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        """z of each phase, ``discriminator`` and ``loss``."""
        return {phase.name: torch.randn(count, self.options.latent, device=self.where) for phase in self.phases}

    def discriminator_loss(self, batch: Batch) -> torch.Tensor:
        """f(D(G(z))) + w (f(-D(x)) + gamma / 2 |grad_x D(x)|^2) of each row, with w its weight: (B,)."""
        with torch.no_grad():
            fakes = self.generator(batch.draws["discriminator"])
        rows = self.rows(batch.images).detach().requires_grad_()
        logits = self.discriminator(rows)[:, 0]
        loss = F.softplus(-logits)
        if self.options.r1_gamma:
            (gradient,) = torch.autograd.grad(logits.sum(), rows, create_graph=True)
            loss = loss + self.options.r1_gamma / 2 * gradient.square().sum(dim=1)
        return F.softplus(self.discriminator(fakes)[:, 0]) + batch.weights * loss

    def generator_loss(self, batch: Batch) -> torch.Tensor:
        """f(-D(G(z))) of each row: (B,)."""
        return F.softplus(-self.discriminator(self.generator(batch.draws["loss"]))[:, 0])

    def after_step(self, images_seen: int, batch: int) -> None:
        self.average.update(images_seen, batch)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"average.{name}": tensor for name, tensor in self.average.tensors().items()}

    def watched(self) -> dict[str, torch.Tensor]:
        return {}

    def result(self) -> dict[str, np.ndarray]:
        """The averaged generator as ``generator.<name>``, the discriminator as it is as ``discriminator.<name>``."""
        kept = {f"generator.{name}": weight for name, weight in self.average.weights.items()}
        kept |= {f"discriminator.{name}": weight for name, weight in self.discriminator.named_parameters()}
        return {name: weight.detach().cpu().numpy().copy() for name, weight in kept.items()}
