"""What families of networks do with their networks: make them from a seed, load named weights, and evaluate them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core import seeds
from ..core.run import Run
from ..core.sets import TrainingSet
from ..machine.device import exact
from . import loop
from .execution import Execution
from .optim import Adam
from .scale import Scale
from .task import Batch, Phase, Task

Build = Callable[[], nn.Module]


def initialised(build: Build, seed: int, initial: Mapping[str, np.ndarray] | None, where: torch.device) -> nn.Module:
    """The network on a device, to be trained, with the initial weights of a seed, or with ``initial`` ones.

    It is built on the CPU: the same initial weights on every device.
    """
    with exact(torch.device("cpu")) as generator:
        generator.manual_seed(seeds.seed_of(seed, None, None, "network"))
        network = build()
    if initial is not None:
        load_weights(network, initial)
    return network.to(where).train()


def trained(
    family: str,
    task_of: Callable[[torch.device], Task],
    training: TrainingSet,
    options: Any,
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    facts: Mapping[str, Any] | None = None,
) -> loop.Trained:
    """What :func:`loop.train` makes of a task, with the batch, precision and snapshots of a family's options.

    facts: what is part of the training's identity beside the options, as JSON-like values.
    """
    return loop.train(
        task_of,
        training,
        run,
        family=family,
        facts={"options": options.model_dump(mode="json"), **(facts or {})},
        batch=options.batch,
        precision=options.precision,
        initial=initial,
        snapshots=options.snapshots,
    )


def evaluated(build: Build, weights: Mapping[str, np.ndarray], where: torch.device) -> nn.Module:
    """The network with named weights on a device, in float64: densities are read to more digits than float32 has."""
    with exact(torch.device("cpu")):
        network = build()
    load_weights(network, weights)
    return network.to(where).double().eval().requires_grad_(False)


def outlined(build: Build) -> dict[str, torch.Tensor]:
    """The parameters of a network by name, with shapes and no numbers."""
    with torch.device("meta"):
        return dict(build().named_parameters())


def load_weights(network: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Copy named arrays into the network. Raises ValueError as :func:`check_weights`."""
    check_weights(network, weights)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(weights[name])))


def check_weights(network: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless the names and shapes of the arrays are those of the network's parameters."""
    check_shapes(dict(network.named_parameters()), weights)


def check_shapes(parameters: Mapping[str, torch.Tensor], weights: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless the names and shapes of the arrays are those of the parameters."""
    own = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    given = {name: array.shape for name, array in weights.items()}
    if own != given:
        name = next(name for name in [*own, *given] if own.get(name) != given.get(name))
        raise ValueError(
            f"weights: found {name!r} of shape {given.get(name)}, this network has it of shape {own.get(name)}"
        )


def perceptron(inputs: int, hidden: Sequence[int], outputs: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Dense layers with an activation between them: (B, inputs) -> (B, outputs)."""
    widths = [inputs, *hidden]
    layers: list[nn.Module] = []
    for width, following in zip(widths, hidden, strict=False):
        layers += [nn.Linear(width, following), activation()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


class Standardised:
    """Rows of a batch as the network sees them, and what is uniform within their bytes."""

    def __init__(self, scale: Scale, where: torch.device):
        self.location, self.scale = (
            torch.from_numpy(array.astype(np.float32)).to(where) for array in (scale.location, scale.scale)
        )

    def __call__(self, rows: torch.Tensor, uniform: torch.Tensor | None = None) -> torch.Tensor:
        """(B, d): vectors, which the loop has standardised, as they are; images (B, C, H, W) standardised.

        uniform: (B, d) in (0, 1), by which each pixel is moved within its byte; None leaves it in the middle.
        """
        if rows.dim() == 2:
            return rows
        pixels = rows.flatten(1)
        if uniform is not None:
            pixels = pixels + (uniform - 0.5) / 127.5
        return (pixels - self.location) / self.scale


class Descent(ABC):
    """A :class:`task.Task` of one network and one loss, without ``draw`` and ``loss``.

    The learning rate falls from its first value to 0 along half a cosine over the training (Loshchilov and Hutter 2017,
    https://arxiv.org/abs/1608.03983, equation 5, without restarts): a short training then ends near an
    optimum without an average of its weights. rate, betas: Adam's at first. images_seen: of the whole training.
    """

    granularity = 1

    def __init__(self, network: nn.Module, rate: float, betas: tuple[float, float], images_seen: int):
        self.network, self.rate, self.images_seen = network, rate, images_seen
        self.networks = {"network": network}
        self.adam = Adam(network.parameters(), rate, betas)
        self.phases = [Phase("loss", self.adam, self.loss)]

    @abstractmethod
    def loss(self, batch: Batch) -> torch.Tensor:
        """Of each row; see :class:`task.Phase`."""

    def prepare(self, execution: Execution) -> None:
        return  # one network and one loss: there is nothing to lay out

    def after_step(self, images_seen: int, batch: int) -> None:
        self.adam.lr = self.rate * (1 + math.cos(math.pi * min(1.0, images_seen / self.images_seen))) / 2

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}

    def watched(self) -> dict[str, torch.Tensor]:
        return {}

    def result(self) -> dict[str, np.ndarray]:
        """The network's weights by name."""
        return {name: weight.detach().cpu().numpy().copy() for name, weight in self.network.named_parameters()}
