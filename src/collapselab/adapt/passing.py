"""The task of :mod:`direct`: a generator, its reward, and a record of what that costs."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

from ..core import seeds
from ..core.run import Run
from ..engine.execution import Execution
from ..engine.optim import ClippedAdam
from ..engine.task import Batch, Phase
from ..models.flow import Flow
from ..models.gan import GAN
from ..models.stylegan2 import StyleGAN2
from ..rewards.gradients import DIFFERENTIABLE
from .base import Given
from .checked import Checked

SAMPLES = 256  # by which the reward is measured where there are no validation rows

Draws = Mapping[str, torch.Tensor]


class Passing(NamedTuple):
    """One pass of a family. network: what moves. name: what its parameters' names begin with among the model's weights.
    draw: ``f(count)``, the noise of so many samples. rows: ``f(network, draws)``, what the network makes of it."""

    network: torch.nn.Module
    name: str
    draw: Callable[[int], dict[str, torch.Tensor]]
    rows: Callable[[torch.nn.Module, Draws], torch.Tensor]


class Through(Checked):
    """A :class:`engine.task.Task` of a generator alone, whose loss is minus its reward.

    task: what the family trains, whose generator it takes over. before: the generator as it was.
    """

    numbers = ("images_seen", "reward", "recall", "precision", "frechet_distance", "way")
    granularity = 1

    def __init__(self, task: Any, how: Any, run: Run, model: Any, given: Given, liked: Any):
        self.task, self.how, self.model, self.given, self.liked = task, how, model, given, liked
        self.seed = seeds.seed_of(run.seed, None, None, "way")
        self.passing = PASSES[type(model)](task, model)
        self.network = self.passing.network.eval()
        self.before = deepcopy(self.network).requires_grad_(False)
        self.networks = {"generator": self.network}
        self.parameters = list(self.network.parameters())
        adam = ClippedAdam(self.parameters, how.learning_rate, how.gradient_norm)
        self.phases = [Phase("loss", adam, self.loss)]
        self.check_from(run.steps(how.batch or model.options.batch))

    def prepare(self, execution: Execution) -> None:
        return  # one network and one loss: there is nothing to lay out

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        """The noise of the samples of a step, and before the first the numbers of the start."""
        self.begun()
        return self.passing.draw(count)

    def loss(self, batch: Batch) -> torch.Tensor:
        """-r(G(z)) + pull / 2 |G(z) - G_before(z)|^2 of each sample, (B,)."""
        made = self.passing.rows(self.network, batch.draws)
        with torch.no_grad():
            then = self.passing.rows(self.before, batch.draws)
        way = (made - then).square().flatten(1).sum(1)
        reward = DIFFERENTIABLE[self.how.reward.name](made, self.liked)
        return (self.how.pull / 2 * way - reward).float()

    def watched(self) -> dict[str, torch.Tensor]:
        return {}

    def result(self) -> dict[str, np.ndarray]:
        """The weights of the family, with the generator as it is now."""
        moved = {self.passing.name + name: one for name, one in self.network.named_parameters()}
        return self.task.result() | {name: one.detach().cpu().numpy().copy() for name, one in moved.items()}

    def _measure(self, index: int, images_seen: int) -> None:
        """All numbers of a check, of samples of the same noise at each."""
        count = SAMPLES if self.real is None else len(self.given.validation)
        now = self.model.went_on(SimpleNamespace(weights=self.result(), curve=self.model.curve, how=self.model.how))
        samples = self.given.own(count, 0, now)
        liked = np.asarray(self.given.rewards["reward"](samples), np.float64)
        self._write(index, samples.data, {"images_seen": images_seen, "reward": liked.mean(), "way": self._way()})

    @torch.no_grad()
    def _way(self) -> float:
        """How far samples have come from where the same noise led before: the root of their mean square."""
        where = self.parameters[0].device
        with torch.random.fork_rng([where] if where.type == "cuda" else []):
            torch.manual_seed(self.seed)
            draws = self.passing.draw(SAMPLES)
        made, then = (self.passing.rows(network, draws) for network in (self.network, self.before))
        return float((made - then).double().square().flatten(1).sum(1).mean().sqrt())


# -- the families ------------------------------------------------------------------------------------------------------


def _restored(model: Any, rows: torch.Tensor) -> torch.Tensor:
    """Standardised rows (B, d) in the data's units: vectors (B, d), or images (B, C, H, W) in [-1, 1], float64."""
    location, width = (torch.from_numpy(one).to(rows.device) for one in (model.scale.location, model.scale.scale))
    return (location + width * rows.double()).reshape(len(rows), *model.shape)


def _of_gan(task: Any, model: GAN) -> Passing:
    def draw(count: int) -> dict[str, torch.Tensor]:
        return {"z": torch.randn(count, model.options.latent, device=task.where)}

    return Passing(task.generator, "generator.", draw, lambda network, draws: _restored(model, network(draws["z"])))


def _of_flow(task: Any, model: Flow) -> Passing:
    def draw(count: int) -> dict[str, torch.Tensor]:
        return {"z": torch.randn(count, math.prod(model.shape), device=task.where)}

    return Passing(task.network, "", draw, lambda network, draws: _restored(model, network.inverse(draws["z"])))


def _of_stylegan2(task: Any, model: StyleGAN2) -> Passing:
    options, generator = model.options, task.generator

    def draw(count: int) -> dict[str, torch.Tensor]:
        drawn = {"z": torch.randn(count, options.z_width, device=task.where)}
        if options.classes:
            drawn["class"] = torch.rand(count, dtype=torch.float64, device=task.where)
        if options.noise == "random":
            for index, shape in enumerate(generator.noise_shapes):
                drawn[f"noise.{index}"] = torch.randn(count, *shape, device=task.where)
        return drawn

    def rows(network: torch.nn.Module, draws: Draws) -> torch.Tensor:
        told = None
        if options.classes:  # as often as the training set has them; rounding may leave the last sum short of 1
            label = torch.searchsorted(task.until, draws["class"], right=True).clamp(max=options.classes - 1)
            told = torch.nn.functional.one_hot(label, options.classes).float()
        noise = network.stored_noise()
        if options.noise == "random":
            noise = [draws[f"noise.{index}"] for index in range(len(network.noise_shapes))]
        return network(draws["z"], told, noise, 1.0)

    return Passing(generator, "generator.", draw, rows)


PASSES: Mapping[type, Callable[[Any, Any], Passing]] = {Flow: _of_flow, GAN: _of_gan, StyleGAN2: _of_stylegan2}
"""How each family makes a sample: ``f(task, model) -> Passing``."""
