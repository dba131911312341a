"""Guidance away from a class, without touching what it has in common with the sample's own."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions
from .rows import along

if TYPE_CHECKING:
    import torch


class PerpNegOptions(Options):
    """How strongly a sample is guided, and from which class."""

    negative: int = Field(ge=0, description="the class that samples are led away from")
    w: float = Field(1.0, ge=-1, le=1000, description="weight of the sample's own condition; the guidance scale less 1")
    negative_weight: float = Field(1.0, ge=0, le=1000, description="w_n: weight of the negative class")


def perp_neg(
    seen: Predictions, at: Level, state: Any, draws: Draws, options: PerpNegOptions
) -> "tuple[torch.Tensor, Any]":
    """``D_u + (1 + w) [Delta_c - w_n (Delta_n - proj Delta_n)]``, proj onto Delta_c.

    Perp-Neg (Armandpour et al. 2023, https://arxiv.org/abs/2304.04968), with Delta_c = D_c - D_u and
    Delta_n = D_n - D_u, on the denoised prediction. Samples of the negative class itself are guided as usual.
    """
    own, other = seen.conditional - seen.unconditional, seen.told["negative"] - seen.unconditional
    away = options.negative_weight * (other - along(other, own))
    return seen.conditional + options.w * own - (1 + options.w) * away, state
