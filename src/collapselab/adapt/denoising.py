"""The network of a trained denoiser, moved by another loss than that which it was trained with."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch

from ..core.run import Run
from ..core.sets import TrainingSet
from ..engine.execution import Execution
from ..engine.low_rank import LowRank
from ..engine.optim import Adam
from ..engine.task import Batch, Phase
from ..models.tuning import tuned
from .tuning import NONE as NONE
from .tuning import TuningOptions


class Tuning(ABC):
    """An :class:`engine.task.Task` of one network that was trained as a denoiser, and of one loss, its subclass's.

    task: what the model's family trains (``capabilities.Trainable.task``), whose network, noise levels and own loss it
    takes over. The network drops no unit and keeps no average: what is trained is what is sampled. ``network`` is the
    one that moves, wholly or by updates of low rank, ``before`` a copy as it was. learns_rows: whether its loss is of
    the rows of the training set, which then have labels where the model knows classes.
    """

    granularity = 1
    learns_rows = True

    def __init__(self, task: Any, how: TuningOptions, run: Run):
        self.task, self.how, self.options, self.shape = task, how, task.options, task.shape
        self.network = task.network.eval()
        self.before = deepcopy(self.network).requires_grad_(False)
        self.where = next(self.network.parameters()).device
        self.update = LowRank(self.network, how.rank, run.seed) if how.rank else None
        moved = self.network if self.update is None else self.update
        self.networks = {"denoiser": moved}
        self.moving = self.network if self.update is None else self.update.called(self.network)
        self.adam = self.optimiser(moved)
        self.phases = [Phase("loss", self.adam, self.loss)]

    def optimiser(self, moved: torch.nn.Module) -> Adam:
        """Adam of what moves."""
        return Adam(moved.parameters(), self.how.learning_rate)

    # -- what losses are made of ---------------------------------------------------------------------------------------

    def denoised(self, noisy: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """D(x; sigma, c) of the network as it is, as x, float32; gradients reach what moves.

        noisy: images (B, C, H, W) in [-1, 1] with noise, or standardised vectors (B, d). sigma: (B,). labels: (B,)
        int64, :data:`NONE` for no class; None for none at all.
        """
        return self._by(self.moving, noisy, sigma, labels)

    @torch.no_grad()
    def denoised_before(
        self, noisy: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The same of the network as it was."""
        return self._by(self.before, noisy, sigma, labels)

    def _by(
        self, network: Callable[..., torch.Tensor], noisy: torch.Tensor, sigma: torch.Tensor, labels: Any
    ) -> torch.Tensor:
        classes = self.options.classes
        if labels is None:
            labels = torch.full((len(noisy),), NONE, device=noisy.device)
        told = (labels[:, None] == torch.arange(classes, device=noisy.device)).to(noisy.dtype)
        return self.task.parameterisation.denoise(network, noisy, sigma, told)

    def errors(
        self, clean: torch.Tensor, target: torch.Tensor, draws: Mapping[str, torch.Tensor], labels: torch.Tensor | None
    ) -> torch.Tensor:
        """w(sigma) |D(y + sigma n; sigma, c) - target|^2 / numbers of a row, (B,), with the training's weights w."""
        sigma = draws["sigma"]
        denoised = self.denoised(noised(clean, draws), sigma, labels)
        return self.task.parameterisation.loss_weight(sigma) * (denoised - target).square().flatten(1).mean(1)

    def hidden(self, count: int) -> dict[str, torch.Tensor]:
        """``told`` (count,), which rows are told their class, as often as in the training: what is not told trains the
        prediction without a class, by which samples are guided. Empty for a model that was always told."""
        dropped = self.options.label_dropout if self.options.classes else 0
        return {"told": torch.rand(count, device=self.where) >= dropped} if dropped else {}

    def shown(self, labels: torch.Tensor | None, draws: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """The labels that are told by what was drawn, :data:`NONE` where one is hidden."""
        if labels is None or not self.options.classes or "told" not in draws:
            return labels
        return torch.where(draws["told"], labels, NONE)

    # -- what the loop asks for ----------------------------------------------------------------------------------------

    @abstractmethod
    def loss(self, batch: Batch) -> torch.Tensor:
        """Of each row; see :class:`engine.task.Phase`."""

    def prepare(self, execution: Execution) -> None:
        if self.update is None:
            self.moving = execution.compiled(self.network)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        """``sigma`` (count,), a noise level of training for each row, and ``noise``, standard normal, as the rows."""
        sigma = self.task.parameterisation.draw(count)
        return {"sigma": sigma, "noise": torch.randn(count, *self.shape, device=self.where)}

    def after_step(self, images_seen: int, batch: int) -> None:
        return

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}

    def watched(self) -> dict[str, torch.Tensor]:
        return {}

    def result(self) -> dict[str, np.ndarray]:
        """The network's weights by name."""
        own = dict(self.network.named_parameters()) if self.update is None else self.update.merged(self.network)
        return {name: weight.detach().cpu().numpy().copy() for name, weight in own.items()}


def noised(clean: torch.Tensor, draws: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """y + sigma n, as y."""
    return clean + draws["sigma"].reshape(-1, *[1] * (clean.dim() - 1)) * draws["noise"]


def expect_labels(training: TrainingSet, classes: int) -> None:
    """Raise ValueError unless rows have labels that a model of so many classes knows: it would learn others as of no
    class, in silence, and nothing of its classes."""
    labels = training.labels
    if not classes or (labels is not None and labels.min() >= 0 and labels.max() < classes):
        return
    found = "no labels" if labels is None else f"labels {labels.min()} to {labels.max()}"
    raise ValueError(f"training: the rows have {found}; allowed are labels 0 to {classes - 1}, the model's classes")


def moved_by(
    rule: Callable[[Any, TuningOptions, Run], Tuning], model: Any, training: TrainingSet, how: TuningOptions, run: Run
) -> tuple[Any, Tuning]:
    """The model after a tuning by ``rule(task, how, run)`` on rows of a training set, and the tuning at its end.

    ``run.images_seen`` is the most that it sees; what is raised is :func:`models.tuning.tuned`'s, and ValueError for
    rows that are learnt and have no labels, or others than the model's.
    """
    made: list[Tuning] = []

    def changed(task: Any) -> Tuning:
        made.append(rule(task, how, run))
        if made[-1].learns_rows:
            expect_labels(training, task.options.classes)
        return made[-1]

    return tuned(model, training, run, changed, how.batch), made[-1]
