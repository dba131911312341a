"""First-order steps: Euler's for the probability-flow ODE, DDIM's between it and DDPM, and DDPM's ancestral ones."""

from typing import TYPE_CHECKING

from pydantic import Field

from ..engine.steering import Denoise, Draws, levels_of
from .base import none_drawn
from .options import SamplerOptions

if TYPE_CHECKING:
    import torch


class DDIMOptions(SamplerOptions):
    """DDIM, at the times of a DDPM."""

    eta: float = Field(0.0, ge=0, le=1, description="0 solves the ODE, 1 samples as DDPM does")


class AncestralOptions(SamplerOptions):
    """DDPM's own sampler: DDIM with eta 1."""


def ddim(
    denoise: Denoise,
    noise: "torch.Tensor",
    levels: "torch.Tensor",
    labels: "torch.Tensor | None",
    *,
    eta: float = 0.0,
    draws: Draws = none_drawn,
) -> "torch.Tensor":
    """The end of the steps of DDIM from ``levels[0] * noise`` (Song, Meng and Ermon 2021, equations 12 and 16,
    https://arxiv.org/abs/2010.02502).

    With x = x_t / sqrt(alpha_t) and sigma^2 = (1 - alpha_t) / alpha_t a step to sigma' is

        x <- D + sqrt(sigma'^2 - added^2) / sigma (x - D) + added z,    added = eta sigma' sqrt(1 - sigma'^2 / sigma^2)

    with z standard normal. eta = 0 is Euler's step for the ODE; eta = 1 draws from DDPM's posterior of the next image
    given D (Ho et al. 2020, equation 7). Arguments as for :func:`heun.heun`.
    """
    x = levels[0] * noise
    for at in levels_of(levels):
        now, following = at.sigma, at.next_sigma
        denoised = denoise(x, at, labels)
        if eta and following:
            added = eta * following * (1 - (following / now) ** 2) ** 0.5
            kept = (following**2 - added**2).clip(min=0) ** 0.5
            x = denoised + kept / now * (x - denoised) + added * draws()
        else:
            x = denoised + following / now * (x - denoised)
    return x


def euler(
    denoise: Denoise,
    noise: "torch.Tensor",
    levels: "torch.Tensor",
    labels: "torch.Tensor | None",
    *,
    draws: Draws = none_drawn,
) -> "torch.Tensor":
    """The end of the ODE by Euler's steps, which are DDIM's with eta 0 at whatever levels (Karras et al. 2022,
    https://arxiv.org/abs/2206.00364, section 3). Arguments as for :func:`heun.heun`."""
    return ddim(denoise, noise, levels, labels)


def ancestral(
    denoise: Denoise,
    noise: "torch.Tensor",
    levels: "torch.Tensor",
    labels: "torch.Tensor | None",
    *,
    draws: Draws = none_drawn,
) -> "torch.Tensor":
    """Draws from DDPM's posterior of each next image given D (Ho et al. 2020, https://arxiv.org/abs/2006.11239,
    equation 7), which is DDIM with eta 1. Arguments as for :func:`heun.heun`."""
    return ddim(denoise, noise, levels, labels, eta=1.0, draws=draws)
