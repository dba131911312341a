"""Adaptive projected guidance: guidance without the part that only makes images more saturated."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions
from .rows import along, lengths, wide

if TYPE_CHECKING:
    import torch


class APGOptions(Options):
    """How strongly a sample is guided, and which part of the guidance it is given."""

    w: float = Field(1.0, ge=0, le=1000, description="weight; the paper's guidance scale less 1")
    eta: float = Field(0.0, ge=0, le=1, description="share of the part along the conditional prediction; 1: all of it")
    momentum: float = Field(
        -0.5, gt=-1, lt=1, description="beta of the running sum of the difference; below 0 it turns from where it was"
    )
    norm: float | None = Field(
        None, gt=0, description="r: the longest that the difference may be, over all numbers of a sample; None: any"
    )


def apg(seen: Predictions, at: Level, state: Any, draws: Draws, options: APGOptions) -> "tuple[torch.Tensor, Any]":
    """``D_c + w [Delta_perp + eta Delta_par]``, Delta cut to the length r and split along D_c.

    Sadat et al. 2024 (https://arxiv.org/abs/2410.02416), the paper's form: Delta is D_c - D_u plus
    beta times the Delta of the step before; s - 1 of the paper is w. Where a step is corrected, both of its evaluations
    go on from the step before. State: the sum before this step, and with it, as the rows.
    """
    difference = seen.conditional - seen.unconditional
    before = None if state is None else state[0] if at.corrects else state[1]
    total = difference if before is None else difference + options.momentum * before
    state = state if at.corrects and state is not None else (before, total)
    if options.norm is not None:
        size = lengths(total)
        total = total * wide((options.norm / size.where(size > 0, 1.0)).clamp(max=1.0), total)
    parallel = along(total, seen.conditional)
    return seen.conditional + options.w * (total - (1 - options.eta) * parallel), state
