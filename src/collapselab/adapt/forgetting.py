"""Losses and steps by which a trained denoiser forgets (:mod:`unlearning` says what each is for)."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..core.run import Run
from ..core.sets import TrainingSet
from ..engine.optim import Adam
from ..engine.task import Batch, Phase
from .continuing import on_device
from .denoising import NONE, Tuning, noised

FORGOTTEN = "forgotten."  # what is drawn of the rows to forget


class Forgetting(Tuning):
    """A tuning whose batches are rows to keep, and which draws as many rows to forget beside them.

    forgotten, kept: the rows to forget, and those to keep, as the loop is fed with them. label: the class that is
    forgotten, where it is one.
    """

    def __init__(self, task: Any, how: Any, run: Run, forgotten: TrainingSet, kept: TrainingSet, label: int | None):
        super().__init__(task, how, run)
        self.forgotten, self.labels = _rows(forgotten, self.where)
        self.to_keep, self.label = kept, label

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        return super().draw(count) | self.hidden(count) | self.drawn(count)

    def drawn(self, count: int) -> dict[str, torch.Tensor]:
        """Rows to forget, with their labels, noise levels and noise, and numbers to choose other classes by."""
        rows = torch.randint(len(self.forgotten), (count,), device=self.where)
        found = super().draw(count) | {"images": self.forgotten[rows], "labels": self.labels[rows]}
        found["uniform"] = torch.rand(count, *self.shape, device=self.where)
        found["choice"] = torch.rand(count, device=self.where)
        return {FORGOTTEN + name: draw for name, draw in found.items()}

    def kept(self, batch: Batch) -> torch.Tensor:
        """The training's loss on rows to keep, (B,), labels hidden as often as in the training."""
        labels = self.shown(batch.labels, batch.draws)
        return batch.weights * self.errors(batch.images, batch.images, batch.draws, labels)

    def beside(self, batch: Batch, forgetting: torch.Tensor) -> torch.Tensor:
        """A loss of forgetting and, where it counts, that of the rows to keep."""
        retain = self.how.retain
        return forgetting + retain * self.kept(batch) if retain else forgetting


def parts_of(batch: Batch) -> dict[str, torch.Tensor]:
    """What was drawn of the rows to forget."""
    return {name.removeprefix(FORGOTTEN): one for name, one in batch.draws.items() if name.startswith(FORGOTTEN)}


class Ascending(Forgetting):
    """Gradient ascent."""

    def loss(self, batch: Batch) -> torch.Tensor:
        part = parts_of(batch)
        return self.beside(batch, -self.errors(part["images"], part["images"], part, part["labels"]))


class Contrary(Forgetting):
    """NegGrad+."""

    def loss(self, batch: Batch) -> torch.Tensor:
        part = parts_of(batch)
        lost = self.errors(part["images"], part["images"], part, part["labels"])
        return self.beside(batch, -self.how.alpha * lost)


class Erased(Forgetting):
    """ESD: noisy rows are made by the model as it was."""

    def drawn(self, count: int) -> dict[str, torch.Tensor]:
        """x on its path down the noise levels with the class, up to a step of each row's own, and the level there."""
        options, where = self.options, self.where
        levels = torch.linspace(
            options.sigma_max ** (1 / options.rho), options.sigma_min ** (1 / options.rho), self.how.steps, device=where
        ).pow(options.rho)
        stops = torch.randint(len(levels), (count,), device=where)
        x = levels[0] * torch.randn(count, *self.shape, device=where)
        labels, found = self._class(count), x.clone()
        for step in range(len(levels) - 1):
            sigma = levels[step].expand(count)
            x = x + (levels[step + 1] / levels[step] - 1) * (x - self.denoised_before(x, sigma, labels))
            found = torch.where((stops > step).reshape(-1, *[1] * (x.dim() - 1)), x, found)
        return {FORGOTTEN + "noisy": found, FORGOTTEN + "sigma": levels[stops]}

    def loss(self, batch: Batch) -> torch.Tensor:
        part, eta = parts_of(batch), self.how.eta
        noisy, sigma = part["noisy"], part["sigma"]
        labels = self._class(len(noisy))
        as_it_was = self.denoised_before(noisy, sigma, labels)
        target = as_it_was - eta * (as_it_was - self.denoised_before(noisy, sigma))
        off = (self.denoised(noisy, sigma, labels) - target).square().flatten(1).mean(1)
        return self.beside(batch, self.task.parameterisation.loss_weight(sigma) * off)

    def _class(self, count: int) -> torch.Tensor:
        return torch.full((count,), self.label, device=self.where)


class Informed(Forgetting):
    """A tuning that looks at rows once, before its first step: what it finds is part of its state, so that a training
    that goes on from a state does not look again."""

    def __init__(self, task: Any, how: Any, run: Run, forgotten: TrainingSet, kept: TrainingSet, label: int | None):
        super().__init__(task, how, run, forgotten, kept, label)
        self.weights = list(self.network.parameters())
        self.found = [torch.zeros_like(one) for one in self.weights]
        self.known, self.sure = torch.zeros((), device=self.where), False

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        if not self.sure:  # on the host once: later steps need not wait for the device
            if not float(self.known):
                self.inform()
                self.known.fill_(1.0)
            self.sure = True
        return super().draw(count)

    @abstractmethod
    def inform(self) -> None:
        """Look, and fill ``found``, one tensor a weight."""

    def gradient(self, images: torch.Tensor, labels: torch.Tensor | None) -> Sequence[torch.Tensor]:
        """The gradient of the mean of the training's loss over rows in noise of their own, one tensor a weight."""
        draws = Tuning.draw(self, len(images))
        with torch.enable_grad():
            loss = self.errors(images, images, draws, labels).mean()
            return torch.autograd.grad(loss, self.weights, materialize_grads=True)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"known": self.known} | {f"found.{number}": one for number, one in enumerate(self.found)}


class Amnesiac(Informed):
    """Selective Amnesia: ``found`` is the Fisher information."""

    def inform(self) -> None:
        """The mean over rows that are kept of the squared gradient of a row's loss."""
        how = self.how
        chosen = torch.randint(len(self.to_keep), (how.fisher_rows,), device=self.where).tolist()
        images, labels = _rows(self.to_keep, self.where, chosen)
        for image, label in zip(images, labels, strict=True):
            levels = how.fisher_levels
            gradient = self.gradient(image.expand(levels, *self.shape), label.expand(levels))
            for total, one in zip(self.found, gradient, strict=True):
                total += one.square() / how.fisher_rows

    def loss(self, batch: Batch) -> torch.Tensor:
        part = parts_of(batch)
        surrogate = 2 * part["uniform"] - 1
        lost = self.errors(surrogate, surrogate, part, part["labels"])
        pairs = zip(self.found, self.weights, self.before.parameters(), strict=True)
        way = sum((fisher * (now - then).square()).sum() for fisher, now, then in pairs)
        return self.beside(batch, lost) + self.how.strength / 2 * way


class Salient(Informed):
    """SalUn: ``found`` is the mask, 1 for weights that move."""

    def optimiser(self, moved: torch.nn.Module) -> Adam:
        return Masked(moved.parameters(), self.how.learning_rate, lambda: self.found)

    def inform(self) -> None:
        """1 for the share of weights with the largest gradient of the forgotten rows' loss."""
        rows = torch.randint(len(self.forgotten), (self.how.mask_rows,), device=self.where)
        sizes = [one.abs() for one in self.gradient(self.forgotten[rows], self.labels[rows])]
        every = torch.cat([one.flatten() for one in sizes])
        fixed = len(every) - max(1, round(self.how.moving * len(every)))
        least = every.kthvalue(fixed + 1).values
        for mask, size in zip(self.found, sizes, strict=True):
            mask.copy_(size >= least)

    def loss(self, batch: Batch) -> torch.Tensor:
        part, classes = parts_of(batch), self.options.classes
        noisy, sigma, labels = noised(part["images"], part), part["sigma"], part["labels"]
        further = 1 + (part["choice"] * (classes - 1)).long().clamp(max=classes - 2)
        target = self.denoised_before(noisy, sigma, (labels + further) % classes)  # of no class: any but the last
        off = (self.denoised(noisy, sigma, labels) - target).square().flatten(1).mean(1)
        return self.beside(batch, self.task.parameterisation.loss_weight(sigma) * off)


class Masked(Adam):
    """Adam of the weights that a mask of ones and zeros lets move."""

    def __init__(self, parameters: Any, rate: float, masks: Callable[[], Sequence[torch.Tensor]]):
        super().__init__(parameters, rate)
        self.masks = masks

    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        super().step([one * mask for one, mask in zip(gradients, self.masks(), strict=True)])


class Diffused(Forgetting):
    """EraseDiff: two phases, of which the first keeps its gradient for the second."""

    def __init__(self, task: Any, how: Any, run: Run, forgotten: TrainingSet, kept: TrainingSet, label: int | None):
        super().__init__(task, how, run, forgotten, kept, label)
        held = Held(self.adam.parameters, how.learning_rate)
        self.adam = Bounded(self.adam.parameters, how.learning_rate, held, how.eta)
        self.phases = [Phase("forgetting", held, self.noise), Phase("loss", self.adam, self.loss)]

    def noise(self, batch: Batch) -> torch.Tensor:
        """L_f: the noise that is asked for is uniform."""
        part = parts_of(batch)
        wide = part["sigma"].reshape(-1, *[1] * len(self.shape))
        target = part["images"] + wide * (part["noise"] - part["uniform"])
        return self.errors(part["images"], target, part, part["labels"])

    def loss(self, batch: Batch) -> torch.Tensor:
        return self.how.retain * self.kept(batch)


class Held(Adam):
    """It moves nothing and keeps the gradient, for another optimiser of the same step."""

    gradients: Sequence[torch.Tensor] = ()

    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        self.gradients = [one.detach().clone() for one in gradients]


class Bounded(Adam):
    """Adam along g_r + mu g_f, g_f what another optimiser keeps: mu = max(0, eta - g_f' g_r / |g_f|^2)."""

    def __init__(self, parameters: Any, rate: float, held: Held, eta: float):
        super().__init__(parameters, rate)
        self.held, self.eta = held, eta

    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        super().step(bounded(gradients, self.held.gradients, self.eta))


def bounded(kept: Sequence[torch.Tensor], forgotten: Sequence[torch.Tensor], eta: float) -> list[torch.Tensor]:
    """g_r + mu g_f with mu = max(0, (eta |g_f|^2 - g_f' g_r) / |g_f|^2); g_r where g_f is 0."""
    square = sum(one.square().sum() for one in forgotten)
    product = sum((one * other).sum() for one, other in zip(forgotten, kept, strict=True))
    factor = torch.where(square > 0, (eta - product / square).clamp(min=0), torch.zeros_like(square))
    return [one + factor * other for one, other in zip(kept, forgotten, strict=True)]


def _rows(rows: TrainingSet, where: torch.device, chosen: Any = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
    """Some rows as the network sees them, and their labels, :data:`NONE` where there are none."""
    labels = np.full(len(rows), NONE) if rows.labels is None else np.asarray(rows.labels)
    return on_device(rows.data[chosen], where), torch.from_numpy(labels[chosen].astype(np.int64)).to(where)
