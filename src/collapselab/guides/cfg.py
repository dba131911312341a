"""Classifier-free guidance, with a weight that is the same at all noise levels or follows a schedule."""

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions

if TYPE_CHECKING:
    import torch

HIGH, LOW = 80.0, 0.002  # noise levels between which EDM samples


class CFGOptions(Options):
    """How strongly a sample is guided, and at which noise levels."""

    w: float = Field(1.0, ge=-1, le=1000, description="weight: 0 is no guidance, -1 the model without its condition")
    schedule: Literal["constant", "linear", "cosine", "interval", "points"] = Field(
        "constant",
        description="linear and cosine rise from 0 at `high` to 2 w at `low`, in the logarithm of the noise level",
    )
    high: float = Field(
        HIGH, gt=0, allow_inf_nan=False, description="linear, cosine, interval: the highest noise level"
    )
    low: float = Field(LOW, gt=0, allow_inf_nan=False, description="linear, cosine, interval: the lowest noise level")
    points: tuple[tuple[float, float], ...] = Field(
        (), description="points: noise levels with their weights in units of w, straight between them, constant beyond"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low: found {self.low:g}, allowed are numbers below high = {self.high:g}")
        if self.schedule == "interval" and not {"low", "high"} <= self.model_fields_set:
            raise ValueError("schedule: an interval needs low and high, the noise levels between which it guides")
        levels = [level for level, _ in self.points]
        if (self.schedule == "points") != bool(levels):
            raise ValueError(f"points: found {len(levels)} with schedule {self.schedule!r}; 'points' alone takes some")
        if levels != sorted(set(levels)) or not all(map(math.isfinite, sum(self.points, ()))):
            raise ValueError(f"points: found noise levels {levels}; allowed are rising ones, and finite weights")
        return self


def weight(options: CFGOptions, sigma: "torch.Tensor") -> float:
    """The weight at a noise level. With p from 0 at ``high`` to 1 at ``low``, straight in ln(sigma), and cut there:

        linear      2 w p                   cosine      w (1 - cos(pi p))

    which are the schedules of Wang et al. 2024 (https://arxiv.org/abs/2404.13040) with ln(sigma) for time,
    and have the mean w; ``interval`` is w in [low, high] and 0 outside (Kynkäänniemi et al. 2024,
    https://arxiv.org/abs/2404.07724).
    """
    level = float(sigma)
    if options.schedule == "constant":
        return options.w
    if options.schedule == "interval":
        return options.w if options.low <= level <= options.high else 0.0
    if options.schedule == "points":
        return options.w * _between(options.points, level)
    share = math.log(options.high / level) / math.log(options.high / options.low)
    share = min(1.0, max(0.0, share))
    return 2 * options.w * share if options.schedule == "linear" else options.w * (1 - math.cos(math.pi * share))


def _between(points: tuple[tuple[float, float], ...], level: float) -> float:
    """The line through points, at a level."""
    index = bisect_right(points, level, key=lambda one: one[0])
    (left, low), (right, high) = points[max(index - 1, 0)], points[min(index, len(points) - 1)]
    return low if left == right else low + (high - low) * (level - left) / (right - left)


def cfg(seen: Predictions, at: Level, state: Any, draws: Draws, options: CFGOptions) -> "tuple[torch.Tensor, Any]":
    """Classifier-free guidance: ``D_c + w(sigma) (D_c - D_u)``.

    Ho and Salimans 2022 (https://arxiv.org/abs/2207.12598), equation 6, on the denoised prediction.
    """
    return seen.conditional + weight(options, at.sigma) * (seen.conditional - seen.unconditional), state


def somewhere(at: Level, state: Any, options: CFGOptions) -> bool:
    """Where the weight is not 0."""
    return weight(options, at.sigma) != 0
