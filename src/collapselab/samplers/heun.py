"""Heun's second-order steps of the probability-flow ODE dx / dsigma = (x - D(x; sigma)) / sigma."""

import math
from typing import TYPE_CHECKING

from pydantic import Field

from ..engine.steering import Denoise, Draws, levels_of
from .base import none_drawn
from .options import SamplerOptions

if TYPE_CHECKING:
    import torch


class HeunOptions(SamplerOptions):
    """Karras et al.'s Algorithm 2; without churn it is their Algorithm 1."""

    churn: float = Field(0.0, ge=0, description="S_churn, the noise that is added in all steps together; 0: the ODE")
    churn_min: float = Field(0.0, ge=0, description="S_tmin, the lowest noise level at which some is added")
    churn_max: float = Field(1e9, ge=0, description="S_tmax, the highest")
    churn_noise: float = Field(1.0, gt=0, description="S_noise, the standard deviation of what is added")


def twice(steps: int) -> int:
    """Evaluations of a denoiser: two a step, but in the last one, to 0."""
    return 2 * steps - 1


def heun(
    denoise: Denoise,
    noise: "torch.Tensor",
    levels: "torch.Tensor",
    labels: "torch.Tensor | None",
    *,
    churn: float = 0.0,
    churn_min: float = 0.0,
    churn_max: float = math.inf,
    churn_noise: float = 1.0,
    draws: Draws = none_drawn,
) -> "torch.Tensor":
    """The end of the ODE from ``levels[0] * noise``, by Heun's second-order steps (Karras et al. 2022,
    https://arxiv.org/abs/2206.00364, Algorithm 2).

    Before a step from a level s within churn_min .. churn_max, noise of the standard deviation churn_noise takes x up
    to s (1 + min(churn / steps, sqrt(2) - 1)); with churn 0 it is their deterministic Algorithm 1. A last step to 0 is
    Euler's.

    denoise: D(x; at, labels), the denoised rows, as x: (B, C, H, W) or (B, d) float64; ``at.sigma`` is the noise level,
    labels (B,) int64, or None for no label. noise: (B, ...) standard normal. levels: (steps + 1,) falling noise levels.
    """
    x = levels[0] * noise
    growth = min(churn / (len(levels) - 1), math.sqrt(2) - 1)
    for at in levels_of(levels):
        now, following = at.sigma, at.next_sigma
        if growth and churn_min <= now <= churn_max:
            above = now * (1 + growth)
            x = x + (above**2 - now**2) ** 0.5 * churn_noise * draws()
            now = above
        slope = (x - denoise(x, at._replace(sigma=now), labels)) / now
        euler = x + (following - now) * slope
        if following == 0:
            x = euler
        else:
            after = at._replace(sigma=following, corrects=True)
            slope_after = (euler - denoise(euler, after, labels)) / following
            x = x + (following - now) * (slope + slope_after) / 2
    return x
