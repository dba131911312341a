"""CFG++: the guided image with the noise of the model without its condition."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions

if TYPE_CHECKING:
    import torch

FIRST_ORDER = ("ddim", "euler")
DEFINED: Mapping[str, tuple[Any, ...]] = {"sampler": FIRST_ORDER, "eta": (0.0,)}


class CFGPPOptions(Options):
    """How strongly a sample is guided in each step."""

    strength: float = Field(
        0.6, ge=0, le=1, description="lambda: the share of the way from the unconditional image to the conditional one"
    )


def cfgpp(seen: Predictions, at: Level, state: Any, draws: Draws, options: CFGPPOptions) -> "tuple[torch.Tensor, Any]":
    """CFG++: ``D_u + s (D_c - D_u)`` with ``s = lambda sigma / (sigma - sigma')``, in steps of first order.

    Chung et al. 2024 (https://arxiv.org/abs/2406.08070) go from sigma to sigma' by

        x' = D_g + (sigma' / sigma) (x - D_u),      D_g = D_u + lambda (D_c - D_u)

    which for every network is Euler's step with this s, also in DDIM's (equation 12 of Song et al. 2021 at eta 0). So
    its strength grows with the number of steps, and a comparison has to have equal steps. Raises ValueError where the
    sampler corrects its step.
    """
    if at.corrects:
        raise ValueError(f"found a sampler of second order; CFG++ is defined for {' and '.join(FIRST_ORDER)}")
    scale = options.strength * at.sigma / (at.sigma - at.next_sigma)
    return seen.unconditional + scale * (seen.conditional - seen.unconditional), state
