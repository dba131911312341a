"""The task of :mod:`direct`: a generator, its reward, and a record of what that costs."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

from ..core.run import Run
from ..engine.execution import Execution
from ..engine.optim import ClippedAdam
from ..engine.task import Batch, Phase
from ..metrics import frechet_distance, precision, recall
from ..models.flow import Flow
from ..models.gan import GAN
from ..models.stylegan2 import StyleGAN2
from ..rewards.gradients import DIFFERENTIABLE
from .base import Given
from .rewarded import listed, measured, points_of

NUMBERS = ("images_seen", "reward", "recall", "precision", "frechet_distance", "way")
SAMPLES = 256  # by which the reward is measured where there are no validation rows

Draws = Mapping[str, torch.Tensor]


class Passing(NamedTuple):
    """One pass of a family. network: what moves. name: what its parameters' names begin with among the model's weights.
    draw: ``f(count)``, the noise of so many samples. rows: ``f(network, draws)``, what the network makes of it."""

    network: torch.nn.Module
    name: str
    draw: Callable[[int], dict[str, torch.Tensor]]
    rows: Callable[[torch.nn.Module, Draws], torch.Tensor]


class Through:
    """A :class:`engine.task.Task` of a generator alone, whose loss is minus its reward.

    task: what the family trains, whose generator it takes over. before: the generator as it was. checks: (points,
    numbers) float64, what was measured at the start and at evenly spaced points, NaN where nothing was: it is state.
    """

    granularity = 1

    def __init__(self, task: Any, how: Any, run: Run, model: Any, given: Given, liked: Any):
        self.task, self.how, self.model, self.given, self.liked = task, how, model, given, liked
        self.passing = PASSES[type(model)](task, model)
        self.network = self.passing.network.eval()
        self.before = deepcopy(self.network).requires_grad_(False)
        self.networks = {"generator": self.network}
        self.parameters = list(self.network.parameters())
        adam = ClippedAdam(self.parameters, how.learning_rate, how.gradient_norm)
        self.phases = [Phase("loss", adam, self.loss)]
        self.points = points_of(run.steps(how.batch or model.options.batch), how.checks)
        self.step, self.stopped = (torch.zeros((), dtype=torch.int64) for _ in range(2))
        self.checks = torch.full((len(self.points), len(NUMBERS)), math.nan, dtype=torch.float64)
        self.kept = [one.detach().clone() for one in self.parameters] if how.stop == "knee" else []
        self.real = given.look[how.extractor](given.validation.data) if how.extractor else None
        self.way = torch.zeros((), device=self.parameters[0].device)

    def prepare(self, execution: Execution) -> None:
        return  # one network and one loss: there is nothing to lay out

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        """The noise of the samples of a step, and before the first the numbers of the start."""
        if not torch.isfinite(self.checks[0, 0]):
            self._measure(0, 0)
        return self.passing.draw(count)

    def loss(self, batch: Batch) -> torch.Tensor:
        """-r(G(z)) + pull / 2 |G(z) - G_before(z)|^2 of each sample, (B,)."""
        made = self.passing.rows(self.network, batch.draws)
        with torch.no_grad():
            then = self.passing.rows(self.before, batch.draws)
        way = (made - then).square().flatten(1).sum(1)
        self.way.copy_(way.detach().mean().sqrt())
        reward = DIFFERENTIABLE[self.how.reward.name](made, self.liked)
        return (self.how.pull / 2 * way - reward).float()

    def after_step(self, images_seen: int, batch: int) -> None:
        self.step += 1
        if int(self.step) not in self.points:
            return
        index = self.points.index(int(self.step))
        self._measure(index, images_seen)
        if self.how.stop != "knee":
            return
        fell = float(self.checks[index, NUMBERS.index("recall")]) < self.floor()
        if fell:
            self.stopped.fill_(index)
        pairs = (self.parameters, self.kept) if fell else (self.kept, self.parameters)
        with torch.no_grad():
            for target, source in zip(*pairs, strict=True):
                target.copy_(source)

    def floor(self) -> float:
        """r - 2 sqrt(r (1 - r) / n), with the recall r at the start on n validation rows."""
        start = float(self.checks[0, NUMBERS.index("recall")])
        return start - 2 * math.sqrt(start * (1 - start) / len(self.given.validation))

    def ended(self) -> bool:
        return bool(self.stopped)

    def tensors(self) -> dict[str, torch.Tensor]:
        kept = {f"kept.{index}": one for index, one in enumerate(self.kept)}
        return kept | {"step": self.step, "checks": self.checks, "stopped": self.stopped, "way": self.way}

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
        found = {"images_seen": images_seen, "reward": liked.mean(), "way": float(self.way)}
        if self.real is not None:
            fake, k = self.given.look[self.how.extractor](samples.data), self.how.k
            found["recall"] = measured(recall, self.real, fake, k=k)
            found["precision"] = measured(precision, self.real, fake, k=k)
            found["frechet_distance"] = measured(frechet_distance, self.real, fake)
        self.checks[index] = torch.tensor([found.get(name, math.nan) for name in NUMBERS], dtype=torch.float64)

    def facts(self) -> dict[str, Any]:
        """What stands in the lineage: ``checks`` and ``stopped``."""
        rows = self.checks[torch.isfinite(self.checks[:, 0])]
        columns: dict[str, Any] = {name: listed(rows[:, place].tolist()) for place, name in enumerate(NUMBERS)}
        columns["images_seen"] = [int(one) for one in columns["images_seen"]]
        last = int(self.stopped) - 1 if self.ended() else len(rows) - 1
        stopped = {"at": "knee" if self.ended() else "budget", "check": last}
        stopped["images_seen"] = columns["images_seen"][last]
        if self.real is not None:
            stopped |= {"recall_floor": self.floor() if columns["recall"][0] is not None else None}
            stopped |= {"validation_rows": len(self.given.validation)}
        return {"checks": columns, "stopped": stopped}


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
