"""DPM-Solver++ of second order, which takes the curvature of its path from the step before."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from ..engine.steering import Denoise, Draws, levels_of
from .base import none_drawn
from .options import SamplerOptions

if TYPE_CHECKING:
    import torch


class MultistepOptions(SamplerOptions):
    """DPM-Solver++ (2M)."""

    order: Literal[1, 2] = Field(2, description="2: by the step before; 1: without, which is DDIM")


def dpm_solver(
    denoise: Denoise,
    noise: "torch.Tensor",
    levels: "torch.Tensor",
    labels: "torch.Tensor | None",
    *,
    order: int = 2,
    draws: Draws = none_drawn,
) -> "torch.Tensor":
    """The end of the ODE by DPM-Solver++(2M) (Lu et al. 2022, https://arxiv.org/abs/2211.01095, Algorithm 2).

    With lambda = -ln(sigma), as alpha is 1 here, h = lambda' - lambda and r = h_before / h a step is

        x <- sigma' / sigma x + (1 - sigma' / sigma) (D + (D - D_before) / (2 r))

    The first step, and the last one to 0, where h has no end, are of first order: x <- D in the last. Arguments as for
    :func:`heun.heun`.
    """
    x, before, width = levels[0] * noise, None, 0.0
    for at in levels_of(levels):
        denoised = ahead = denoise(x, at, labels)
        shrinks, last = at.next_sigma / at.sigma, bool(at.next_sigma == 0)
        if order == 2 and before is not None and not last:
            ahead = denoised + (denoised - before) * (-np.log(float(shrinks)) / (2 * width))
        x = shrinks * x + (1 - shrinks) * ahead
        before, width = denoised, 0.0 if last else -np.log(float(shrinks))
    return x
