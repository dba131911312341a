"""Guidance that leaves the shares of an attribute as they are asked for."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions

if TYPE_CHECKING:
    import torch


class FairOptions(Options):
    """Which classes a sample is led to, with which chances, and how strongly."""

    classes: tuple[int, ...] = Field(
        min_length=2, description="the attribute's classes, each a finer one of what is asked for (of a trade, by sex)"
    )
    shares: tuple[float, ...] | None = Field(None, description="the share of samples of each; null: all alike")
    w: float = Field(1.0, ge=-1, le=1000, description="weight")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.classes)) < len(self.classes) or min(self.classes) < 0:
            raise ValueError(f"classes: found {list(self.classes)}, allowed are numbers from 0, each once")
        shares = self.shares or (1.0,)
        if self.shares and (len(shares) != len(self.classes) or min(shares) < 0):
            raise ValueError(f"shares: found {list(shares)}, allowed is a number from 0 for each of the classes")
        if not math.isclose(sum(shares), 1, rel_tol=1e-6):
            raise ValueError(f"shares: found {list(shares)}, which are {sum(shares):g} together; allowed is 1")
        return self


def fair(seen: Predictions, at: Level, state: Any, draws: Draws, options: FairOptions) -> "tuple[torch.Tensor, Any]":
    """``D_a + w (D_a - D_u)`` with the class a that each sample is given at its first level, by chance.

    Guidance by the condition alone takes the odds of what it leaves open to about the power 1 + w
    (``theory.guided_odds``). Here nothing is left open: a is drawn with the chances ``shares`` from the sample's own
    random stream, as in Fair Diffusion (Friedrich et al. 2023, https://arxiv.org/abs/2302.10893, section 4), so that
    the odds are those of the shares at every w, where the model knows the classes apart. The sample's own condition has
    no part in it but as its label, which is right where the classes are finer ones of it. State: a, (B,).
    """
    import torch

    if state is None:
        numbers = torch.special.ndtr(draws().flatten(1)[:, 0])
        shares = torch.tensor(options.shares or (1,) * len(options.classes), dtype=torch.float64)
        bounds = (shares.cumsum(0) / shares.sum()).to(numbers.device)
        state = torch.searchsorted(bounds, numbers).clamp(max=len(shares) - 1)
    every = torch.stack([seen.told[role] for role in attributes_of(options)])
    own = every[state, torch.arange(len(state), device=state.device)]
    return own + options.w * (own - seen.unconditional), state


def attributes_of(options: FairOptions) -> Mapping[str, int]:
    """The attribute's classes."""
    return {f"attribute_{number}": number for number in options.classes}
