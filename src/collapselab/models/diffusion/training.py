"""Training of a denoiser: the EDM loss (Karras et al. 2022, section 5), Adam, and a moving average of the weights.

The loop is that of every family (:mod:`..loop`).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ... import seeds
from ...optim import Adam
from .. import loop
from ..base import Progress, TrainingSet
from ..execution import Execution
from . import DiffusionOptions
from .networks import build, denoise, load_weights, loss_weight


def train(
    training: TrainingSet,
    options: DiffusionOptions,
    seed: int,
    initial: Mapping[str, np.ndarray] | None,
    images_seen: int,
    *,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    allow_nonidentical: bool = False,
    inspect: loop.Inspect | None = None,
) -> loop.Trained:
    """The averaged weights by name, and the training curve, after ``ceil(images_seen / batch)`` steps.

    Step s takes the next ``batch`` rows y of epochs that are each shuffled, ln(sigma) ~ N(p_mean, p_std^2),
    n ~ N(0, sigma^2 I), and minimises

        mean of  w / mean(w) * loss_weight(sigma) * |D(y + n; sigma) - y|^2 / pixels

    with w the rows' weights. The other arguments, and what is raised, are :func:`loop.train`'s.
    """
    shape = training.data.shape[1:]

    def denoising(where: torch.device) -> Denoising:
        # Built on the CPU: the same initial weights on every device.
        network = build(options, shape, seeds.seed_of(seed, None, None, "network")).to(where)
        if initial is not None:
            load_weights(network, initial)
        return Denoising(network.train(), options, shape)

    return loop.train(
        denoising,
        training,
        family="diffusion",
        facts=options.model_dump(mode="json"),
        batch=options.batch,
        images_seen=images_seen,
        seed=seed,
        precision=options.precision,
        initial=initial,
        progress=progress,
        checkpoint=checkpoint,
        allow_nonidentical=allow_nonidentical,
        snapshots=options.snapshots,
        inspect=inspect,
    )


class Denoising:
    """A :class:`loop.Task`: one network, one phase, and the average of the network's parameters."""

    granularity = 1

    def __init__(self, network: nn.Module, options: DiffusionOptions, shape: tuple[int, ...]):
        self.options, self.shape = options, shape
        self.network = self.called = network
        self.networks = {"denoiser": network}
        self.names = [name for name, _ in network.named_parameters()]
        self.parameters = list(network.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.adam = Adam(self.parameters, self._learning_rate(options.batch), options.betas)
        self.phases = [loop.Phase("loss", self.adam, self.loss)]

    def prepare(self, execution: Execution) -> None:
        self.called = execution.compiled(self.network)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        options, where = self.options, self.parameters[0].device
        draws = {}
        if options.classes and options.label_dropout:
            draws["kept"] = torch.rand(count, 1, device=where) >= options.label_dropout
        if options.flip:
            draws["mirrored"] = torch.rand(count, 1, 1, 1, device=where) < 0.5
        draws["sigma"] = torch.exp(options.p_mean + options.p_std * torch.randn(count, device=where))
        return draws | {"noise": torch.randn(count, *self.shape, device=where)}

    def loss(self, batch: loop.Batch) -> torch.Tensor:
        options, images, draws = self.options, batch.images, batch.draws
        labels = F.one_hot(batch.labels, options.classes).to(images.dtype) if options.classes else None
        if "kept" in draws:
            labels = labels * draws["kept"]
        if options.flip:
            images = torch.where(draws["mirrored"], images.flip(3), images)
        sigma = draws["sigma"]
        noisy = images + sigma[:, None, None, None] * draws["noise"]
        denoised = denoise(self.called, noisy, sigma, labels, options.sigma_data)
        errors = (denoised - images).square().mean(dim=(1, 2, 3))
        return batch.weights * loss_weight(sigma, options.sigma_data) * errors

    def after_step(self, images_seen: int, batch: int) -> None:
        options = self.options
        decay = ema_decay(images_seen, batch, options.ema_half_life, options.ema_ramp)
        torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        self.adam.lr = self._learning_rate(images_seen + batch)

    def _learning_rate(self, images_seen: int) -> float:
        """Of the step after which so many images are seen."""
        return self.options.learning_rate * min(1.0, images_seen / max(self.options.warmup_images, 1))

    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"average.{name}": tensor for name, tensor in zip(self.names, self.average, strict=True)}

    def watched(self) -> dict[str, torch.Tensor]:
        return {}

    def result(self) -> dict[str, np.ndarray]:
        return {name: tensor.cpu().numpy().copy() for name, tensor in zip(self.names, self.average, strict=True)}


def ema_decay(images_seen: int, batch: int, half_life: float, ramp: float) -> float:
    """What a step leaves of the old average: ``0.5 ** (batch / min(half_life, ramp images_seen))`` (Karras et al.).

    The ramp forgets the random initial weights: with 0.05 the average always spans the last twentieth of the training
    or the half-life, whichever is shorter. A half-life of 0 keeps no average.
    """
    span = min(half_life, ramp * images_seen)
    return 0.5 ** (batch / span) if span > 0 else 0.0
