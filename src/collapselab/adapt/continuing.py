"""A trained denoiser that learns further rows: alone, held by the information of old ones, or to what it said."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.func import functional_call

from ..core.images import to_unit
from ..core.kinds import KINDS
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from ..engine.task import Batch
from .base import Given
from .denoising import NONE, Tuning, moved_by, noised
from .tuning import TuningOptions

if TYPE_CHECKING:
    from .distilled import DistilledOptions
    from .ewc import EwcOptions

INFORMATION_BATCH = 256  # rows, at most, whose gradients are summed before they are squared
PROBES = 24  # sums a pass, or one a row of fewer: of P passes sqrt(2 / (24 P)) of them is chance, where all weigh alike


class Further(Tuning):
    """By the loss of its training, labels hidden as often as there."""

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        return super().draw(count) | self.hidden(count)

    def loss(self, batch: Batch) -> torch.Tensor:
        labels = self.shown(batch.labels, batch.draws)
        return batch.weights * self.errors(batch.images, batch.images, batch.draws, labels)


# -- held by information ---------------------------------------------------------------------------------------------


class Consolidated(Further):
    """Elastic weight consolidation (:func:`adapt.ewc.ewc`): the information is found before the first step, and is part
    of the state, so that a training which goes on does not look at the old rows again.

    old: the rows of each earlier generation on the device, as the network sees them, with labels and weights, and the
    network's weights then. new: the number of new rows.
    """

    def __init__(self, task: Any, how: "EwcOptions", run: Run, old: list[tuple[TrainingSet, Any]], new: int):
        super().__init__(task, how, run)
        self.old, self.new = old, new
        moved = {name: one for name, one in self.before.named_parameters() if not how.rank or one.dim() > 1}
        self.anchor = {name: one.detach() for name, one in moved.items()}
        self.information = {name: torch.zeros_like(one) for name, one in self.anchor.items()}
        self.known, self.sure = torch.zeros((), device=self.where), False

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        draws = super().draw(count)  # first: a step's own are those of every other training of this seed
        if not self.sure:  # on the host once: later steps need not wait for the device
            if not float(self.known):
                self._inform()
            self.sure = True
        return draws

    def loss(self, batch: Batch) -> torch.Tensor:
        now = self._weights()
        held = sum((one * (now[name] - self.anchor[name]).square()).sum() for name, one in self.information.items())
        return super().loss(batch) + self.how.strength / (2 * self.new) * held

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"known": self.known} | {f"information.{name}": one for name, one in self.information.items()}

    def _weights(self) -> Mapping[str, torch.Tensor]:
        return dict(self.network.named_parameters()) if self.update is None else self.update.weights(self.network)

    def _inform(self) -> None:
        """Add up the information of the old rows, each generation's at its own model."""
        for rows, weights in self.old:
            state = {name: torch.as_tensor(np.array(array), device=self.where) for name, array in weights.items()}
            size = max(1, min(INFORMATION_BATCH, len(rows) // PROBES))
            for _ in range(self.how.passes):
                for start in range(0, len(rows), size):
                    some = slice(start, start + size)
                    for name, squares in self._squares(rows, some, state).items():
                        self.information[name] += squares / self.how.passes
        self.known.fill_(1.0)

    def _squares(self, rows: TrainingSet, some: slice, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """An estimate of the diagonal of sum_r J_r' H_r J_r of some rows' losses, without a bias, by weight.

        J: the derivatives of what the denoiser says by the weights. H_r = 2 w(sigma) / numbers of a row: the second
        derivative of the loss by it. With v standard normal for each row, the mean of (sum_r J_r' sqrt(H_r) v_r)^2 is
        the diagonal: rows share one gradient, since the products of two rows' v are 0 in the mean. At given noise it
        is chi-squared with one degree of freedom, so that as many sums are to be told as make it sure (``PROBES``).
        """
        clean = on_device(rows.data[some], self.where)
        labels = None if rows.labels is None else torch.as_tensor(np.array(rows.labels[some]), device=self.where)
        weights = torch.as_tensor(rows.weights[some] / rows.weights.mean(), device=self.where).float()
        draws = super().draw(len(clean))
        labels = self.shown(labels, draws)
        probe = torch.randn_like(clean)
        leaves = {name: one.clone().requires_grad_() for name, one in state.items()}
        with torch.enable_grad():
            network = partial(_called, self.before, leaves)
            said = self._by(network, noised(clean, draws), draws["sigma"], labels)
            root = (2 * weights * self.task.parameterisation.loss_weight(draws["sigma"]) / clean[0].numel()).sqrt()
            along = (root * (said * probe).flatten(1).sum(1)).sum()
            wanted = [leaves[name] for name in self.information]
            gradients = torch.autograd.grad(along, wanted, materialize_grads=True)
        return {name: one.square() for name, one in zip(self.information, gradients, strict=True)}


def _called(network: torch.nn.Module, weights: Mapping[str, torch.Tensor], *said: Any) -> torch.Tensor:
    return functional_call(network, dict(weights), said)


def on_device(data: np.ndarray, where: torch.device) -> torch.Tensor:
    """Rows as the network sees them: images in [-1, 1], vectors as they are, float32."""
    rows = to_unit(np.array(data)) if KINDS["images"].holds(data) else np.asarray(data, np.float32)
    return torch.from_numpy(np.ascontiguousarray(rows)).to(where)


def consolidated(model: Any, given: Given, options: "EwcOptions", run: Run) -> tuple[Any, float]:
    """The model after :class:`Consolidated`, and the mean of the information over its weights."""
    models = given.ancestors or [model] * len(given.earlier)
    old = [(model.seen(rows), one.weights()) for rows, one in zip(given.earlier, models, strict=True)]

    def rule(task: Any, how: TuningOptions, run: Run) -> Tuning:
        return Consolidated(task, how, run, old, len(given.training))

    tuned, tuning = moved_by(rule, model, given.training, options, run)
    found = torch.cat([one.flatten() for one in tuning.information.values()])
    return tuned, float(found.double().mean())


# -- held to what it said --------------------------------------------------------------------------------------------


class Held(Further):
    """Distillation (:func:`adapt.distilled.distilled`). own: samples of the model as it was, None for the new rows."""

    def __init__(self, task: Any, how: "DistilledOptions", run: Run, own: SampleSet | None):
        super().__init__(task, how, run)
        self.rows = None if own is None else on_device(own.data, self.where)
        told = None if own is None or own.labels is None else own.labels
        self.told = None if told is None else torch.as_tensor(np.array(told), device=self.where)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        draws = super().draw(count)
        if self.rows is None:
            return draws
        drawn = torch.randint(len(self.rows), (count,), device=self.where)
        further = {f"own.{name}": one for name, one in super().draw(count).items()}
        labels = torch.full_like(drawn, NONE) if self.told is None else self.told[drawn]
        return draws | further | {"own": self.rows[drawn], "own.labels": labels}

    def loss(self, batch: Batch) -> torch.Tensor:
        rows, draws, labels = batch.images, batch.draws, batch.labels
        if self.rows is not None:
            own = {name.removeprefix("own."): one for name, one in draws.items() if name.startswith("own.")}
            rows, draws, labels = draws["own"], own, own["labels"]
        labels = self.shown(labels, draws)
        target = self.denoised_before(noised(rows, draws), draws["sigma"], labels)
        return super().loss(batch) + self.how.strength * self.errors(rows, target, draws, labels)


def held(model: Any, given: Given, options: "DistilledOptions", run: Run) -> Any:
    """The model after :class:`Held`."""
    own = given.own(options.samples) if options.samples else None
    if own is not None:
        whole = TrainingSet(own.data, own.labels, np.ones(len(own)))
        own = SampleSet(model.seen(whole).data, own.labels)

    def rule(task: Any, how: TuningOptions, run: Run) -> Tuning:
        return Held(task, how, run, own)

    # Of the images that it is said to see the loop feeds the new rows; the loss draws the others.
    return moved_by(rule, model, given.training, options, replace(run, images_seen=options.images_seen))[0]
