"""The tuning by which a denoiser learns what it lacks (:mod:`targeted` says what that is)."""

from collections.abc import Callable
from typing import Any

import torch

from ..core.run import Run
from ..engine.task import Batch
from .denoising import Tuning


class Covering(Tuning):
    """The loss of the training on the rows that are shown, with looks at what the model's samples reach.

    model: as it was; looking: a :class:`targeted.Looking`. state: ``seen`` (looks, 4): images seen, coverage there,
    coverage elsewhere, share of the samples there, nan where nobody has looked yet; ``met``: 1 from the look on that
    finds what is asked for.
    """

    def __init__(self, task: Any, how: Any, run: Run, model: Any, looking: Any):
        super().__init__(task, how, run)
        self.model, self.looking = model, looking
        self.steps = run.steps(how.batch or self.options.batch)
        first = looking.seen()
        self.seen = torch.full((how.looks, 4), torch.nan, dtype=torch.float64)
        self.met = torch.zeros(())
        self.there = torch.tensor(first.there, device=self.where)
        self.elsewhere = torch.tensor(first.elsewhere, device=self.where)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        return super().draw(count) | self.hidden(count)

    def loss(self, batch: Batch) -> torch.Tensor:
        labels = self.shown(batch.labels, batch.draws)
        return batch.weights * self.errors(batch.images, batch.images, batch.draws, labels)

    def after_step(self, images_seen: int, batch: int) -> None:
        step, looks = images_seen // batch, len(self.seen)
        if step * looks // self.steps == (step - 1) * looks // self.steps:
            return
        found = self.looking.seen(self.model.with_weights(self.result()))
        row = [images_seen, found.there, found.elsewhere, found.share]
        self.seen[step * looks // self.steps - 1] = torch.tensor(row, dtype=torch.float64)
        self.there.fill_(found.there)
        self.elsewhere.fill_(found.elsewhere)
        self.met.fill_(float(self.looking.reached(found)))

    def ended(self) -> bool:
        """Whether a look has found what is asked for."""
        return bool(self.met)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"seen": self.seen, "met": self.met, "there": self.there, "elsewhere": self.elsewhere}

    def watched(self) -> dict[str, torch.Tensor]:
        return {"coverage_there": self.there, "coverage_elsewhere": self.elsewhere}

    def told(self) -> tuple[list[list[float]], str]:
        """The looks so far, and why it ended."""
        rows = self.seen[~self.seen[:, 0].isnan()].tolist()
        return rows, self.how.until if self.ended() else "budget"


def covering_by(model: Any, looking: Any) -> Callable[[Any, Any, Run], Covering]:
    """A rule of :func:`denoising.moved_by`: ``f(task, how, run) -> Covering``."""
    return lambda task, how, run: Covering(task, how, run, model, looking)
