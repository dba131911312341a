"""A record of what a tuning comes to on its way, and the end of one whose recall has fallen too far."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..core.errors import Undefined
from ..metrics import frechet_distance, precision, recall


class Checked:
    """What tasks share whose samples are looked at on the way; they say in ``_measure`` what is measured.

    numbers: what is measured, ``images_seen`` first. points: the steps after which it is. checks: (points, numbers)
    float64, NaN where nothing was measured; stopped: the check at which recall had fallen, 0 where it has not; kept:
    the parameters at the check before, of a tuning that ends at the knee. All three are state: a training that goes on
    knows them.
    """

    numbers: tuple[str, ...]
    how: Any
    given: Any
    parameters: list[torch.nn.Parameter]
    _measure: Callable[[int, int], None]  # of the check with an index, after so many images seen

    def check_from(self, steps: int) -> None:
        """Begin the record of a tuning of so many steps, whose ``parameters`` are there."""
        self.points = points_of(steps, self.how.checks)
        self.step, self.stopped = (torch.zeros((), dtype=torch.int64) for _ in range(2))
        self.checks = torch.full((len(self.points), len(self.numbers)), math.nan, dtype=torch.float64)
        self.kept = [one.detach().clone() for one in self.parameters] if self.how.stop == "knee" else []
        look = self.how.extractor
        self.real = self.given.look[look](self.given.validation.data) if look else None

    def begun(self) -> None:
        """Measure the start, if nobody has; to be called from ``draw``, where all random numbers are.

        Raises ValueError where the tuning ends at a recall that validation rows do not determine.
        """
        if torch.isfinite(self.checks[0, 0]):
            return
        self._measure(0, 0)
        if self.how.stop == "knee" and math.isnan(self._recall(0)):
            rows = len(self.given.validation)
            raise ValueError(f"stop: found knee; {rows} validation rows determine no recall at the start: say budget")

    def after_step(self, images_seen: int, batch: int) -> None:
        self.step += 1
        if int(self.step) not in self.points:
            return
        index = self.points.index(int(self.step))
        self._measure(index, images_seen)
        if self.how.stop != "knee":
            return
        # Samples of which no recall can be told are no better than those whose recall has fallen.
        fell = not self._recall(index) >= self.floor()
        if fell:
            self.stopped.fill_(index)
        pairs = (self.parameters, self.kept) if fell else (self.kept, self.parameters)
        with torch.no_grad():
            for target, source in zip(*pairs, strict=True):
                target.copy_(source)

    def floor(self) -> float:
        """r - 2 sqrt(r (1 - r) / n), with the recall r at the start on n validation rows."""
        start = self._recall(0)
        return start - 2 * math.sqrt(start * (1 - start) / len(self.given.validation))

    def ended(self) -> bool:
        return bool(self.stopped)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The record, as a training keeps it beside its weights."""
        kept = {f"kept.{index}": one for index, one in enumerate(self.kept)}
        return {"step": self.step, "checks": self.checks, "stopped": self.stopped, **kept}

    def facts(self) -> dict[str, Any]:
        """What stands in the lineage: ``checks`` and ``stopped``."""
        rows = self.checks[torch.isfinite(self.checks[:, 0])]
        columns: dict[str, Any] = {name: listed(rows[:, place].tolist()) for place, name in enumerate(self.numbers)}
        columns["images_seen"] = [int(one) for one in columns["images_seen"]]
        stopped: dict[str, Any] = {"at": "knee" if self.ended() else "budget", "check": self.last}
        stopped["images_seen"] = columns["images_seen"][self.last]
        if self.real is not None:
            stopped |= {"recall_floor": self.floor() if columns["recall"][0] is not None else None}
            stopped |= {"validation_rows": len(self.given.validation)}
        return {"checks": columns, "stopped": stopped}

    @property
    def last(self) -> int:
        """The check of the model that is released."""
        return (int(self.stopped) if self.ended() else int(torch.isfinite(self.checks[:, 0]).sum())) - 1

    def _write(self, index: int, data: Any, found: dict[str, float]) -> None:
        """Set a check: what was found of samples, and how they compare with validation rows."""
        if self.real is not None:
            fake, k = self.given.look[self.how.extractor](data), self.how.k
            found["recall"] = measured(recall, self.real, fake, k=k)
            found["precision"] = measured(precision, self.real, fake, k=k)
            found["frechet_distance"] = measured(frechet_distance, self.real, fake)
        self.checks[index] = torch.tensor([found.get(name, math.nan) for name in self.numbers], dtype=torch.float64)

    def _recall(self, index: int) -> float:
        return float(self.checks[index, self.numbers.index("recall")])


def points_of(steps: int, checks: int) -> list[int]:
    """The steps after which is measured, the start among them: evenly spaced, the last step the last of them."""
    return sorted({round(steps * point / checks) for point in range(checks + 1)})


def measured(metric: Callable[..., float], real: Any, fake: Any, **options: Any) -> float:
    """A metric, or NaN where the features determine none."""
    try:
        return float(metric(real, fake, **options))
    except Undefined:
        return math.nan


def listed(numbers: Sequence[float]) -> list[float | None]:
    """Numbers as JSON has them: null for what is none."""
    return [one if math.isfinite(one) else None for one in numbers]
