"""Condition-annealed sampling: the condition is noisy at first, so that samples of one condition differ more."""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions
from .rows import deviations, wide

if TYPE_CHECKING:
    import torch


class CADSOptions(Options):
    """How noisy the condition is, until when, and how strongly a sample is guided by it."""

    w: float = Field(0.0, ge=0, le=1000, description="weight of classifier-free guidance by the noisy condition")
    tau1: float = Field(0.6, ge=0, le=1, description="share of the sampling still ahead below which nothing is noisy")
    tau2: float = Field(0.9, ge=0, le=1, description="share above which the condition is nothing but noise")
    s: float = Field(0.1, ge=0, le=10, description="size of the noise, in the units of the condition's vector")
    psi: float = Field(1.0, ge=0, le=1, description="share of the vector that is taken back to its mean and spread")
    noise: Literal["fixed", "fresh"] = Field(
        "fixed", description="one noise a sample for all of its path, or another one at each step"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tau1 > self.tau2:
            raise ValueError(f"tau1: found {self.tau1:g}, allowed are numbers up to tau2 = {self.tau2:g}")
        return self


def clean_share(options: CADSOptions, at: Level) -> float:
    """gamma: 1 up to tau1, 0 from tau2 on, straight between; of the share of the steps still ahead."""
    ahead = 1 - (at.step + at.corrects) / at.steps
    if ahead <= options.tau1:
        return 1.0
    return 0.0 if ahead >= options.tau2 else (options.tau2 - ahead) / (options.tau2 - options.tau1)


def annealed(
    embedded: "torch.Tensor", at: Level, state: Any, draws: Draws, options: CADSOptions
) -> "tuple[torch.Tensor, Any]":
    """The vector y of a condition as ``sqrt(gamma) y + s sqrt(1 - gamma) n``, with n standard normal.

    Sadat et al. 2023 (https://arxiv.org/abs/2310.17347): then it is shifted and stretched to the mean
    and spread that it had, in the share psi. Fresh noise averages out over many steps, fixed noise does not. A
    class is known by its vector in the network, which is what is noisy, and not the numbers 0 and 1.
    State: the step, and its noise.
    """
    clean = clean_share(options, at)
    if clean == 1:
        return embedded, state
    if state is None or (options.noise == "fresh" and state[0] != at.step):
        state = (at.step, draws())
    noisy = clean**0.5 * embedded + options.s * (1 - clean) ** 0.5 * state[1]
    own, found = (one.flatten(1).mean(dim=1) for one in (embedded, noisy))
    spread = deviations(noisy)
    factor = deviations(embedded) / spread.where(spread > 0, 1.0)
    back = (noisy - wide(found, noisy)) * wide(factor, noisy) + wide(own, noisy)
    return options.psi * back + (1 - options.psi) * noisy, state


def cads(seen: Predictions, at: Level, state: Any, draws: Draws, options: CADSOptions) -> "tuple[torch.Tensor, Any]":
    """``D_c + w (D_c - D_u)``, where D_c has been told the noisy condition (:func:`annealed`)."""
    return seen.conditional + options.w * (seen.conditional - seen.unconditional), state
