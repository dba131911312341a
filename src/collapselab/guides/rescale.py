"""Guidance whose contrast is taken back to that of the conditional prediction."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions
from .rows import deviations, wide

if TYPE_CHECKING:
    import torch


class RescaleOptions(Options):
    """How strongly a sample is guided, and how far its contrast is taken back."""

    w: float = Field(1.0, ge=0, le=1000, description="weight")
    phi: float = Field(0.7, ge=0, le=1, description="share of the rescaled prediction; 0: classifier-free guidance")
    space: Literal["noise", "denoised"] = Field(
        "noise", description="what is rescaled: the predicted noise (x - D) / sigma, or D; they are two rules"
    )


def rescale(
    seen: Predictions, at: Level, state: Any, draws: Draws, options: RescaleOptions
) -> "tuple[torch.Tensor, Any]":
    """``g <- phi g std(c) / std(g) + (1 - phi) g`` of the guided prediction g and the conditional one c, sample-wise.

    Lin et al. 2023 (https://arxiv.org/abs/2305.08891), section 3.4, there of whatever the network predicts. In
    ``denoised`` it is another rule than in ``noise``: where the guided D changes its sign no positive factor restores
    it. The standard deviation is that of all numbers of a sample.
    """
    guided = seen.conditional + options.w * (seen.conditional - seen.unconditional)
    if options.space == "denoised":
        return _rescaled(guided, seen.conditional, options.phi), state
    noise, conditional = ((seen.noisy - one) / at.sigma for one in (guided, seen.conditional))
    return seen.noisy - at.sigma * _rescaled(noise, conditional, options.phi), state


def _rescaled(guided: "torch.Tensor", like: "torch.Tensor", phi: float) -> "torch.Tensor":
    spread = deviations(guided)
    factor = (deviations(like) / spread.where(spread > 0, 1.0)).where(spread > 0, 1.0)
    return guided * wide(phi * factor + 1 - phi, guided)
