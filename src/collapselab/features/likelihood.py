"""How likely the model of a generation holds samples."""

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..models.capabilities import Scores
from .base import Features

SEED = 0


class LikelihoodOptions(BaseModel):
    """How the likelihood of a diffusion model is computed; other families have theirs in closed form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(
        32, ge=1, description="steps of the solver, at 4 evaluations of the network and its gradient each"
    )
    probes: int = Field(
        1, ge=0, description="random vectors that estimate the trace; 0: the trace itself, at a gradient a pixel"
    )
    rows: int = Field(1000, ge=2, description="samples of each set that are looked at: the first so many")


def likelihood(
    data: np.ndarray, weights: Any = None, *, steps: int = 32, probes: int = 1, rows: int | None = None
) -> Features:
    """Bits per dimension of each of the first ``rows`` samples under a model: - log2 p(x) / d, (n, 1) float64.

    d is the number of pixels and channels, of coordinates, or 1 of a category; inf where the model holds a sample for
    impossible, nan where it has no density. What p is for each kind of data, ``Scores.log_likelihood`` says.

    data: as in a sample set. weights: the model. Raises ValueError for one whose family has no ``log_likelihood``.
    """
    if not isinstance(weights, Scores):
        family = "None" if weights is None else type(weights).__name__.lower()
        raise ValueError(f"weights: found {family}, likelihood needs a model of a family that has log_likelihood")
    data = data[:rows]
    nats = weights.log_likelihood(data, SEED, steps=steps, probes=probes)
    bits = -nats / (max(1, int(np.prod(data.shape[1:]))) * np.log(2))
    return Features(bits[:, None], names=("bits_per_dimension",))
