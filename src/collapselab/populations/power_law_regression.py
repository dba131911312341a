"""A linear law with noise, whose inputs and coefficients fall by powers: for the theory of ridge regressions in a loop,
and of scaling laws (Dohmatob, Feng and Kempe 2024, https://arxiv.org/abs/2402.07712).
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.options import Options
from ..models.ridge_regression import labelled, powers, regression_moments
from .base import noise


class PowerLawOptions(Options):
    """How many inputs there are, and how their sizes fall."""

    dimension: int = Field(10, ge=1, description="number of inputs d")
    spectrum: float = Field(1.0, ge=0, le=10, description="a: inputs are independent, the i-th of variance i^-a")
    decay: float = Field(1.0, ge=0, le=10, description="b: the i-th coefficient is proportional to i^-b")
    signal: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="length of the coefficients w, (sum of w_i squared)^(1/2)"
    )
    noise_sd: float = Field(1.0, ge=0, allow_inf_nan=False, description="standard deviation of the output around x'w")


@dataclass(frozen=True, eq=False)
class PowerLawRegression:
    """The law of (x, y) with x ~ N(0, diag(i^-a)), y = x'w + noise_sd e, w_i proportional to i^-b and e ~ N(0, 1).

    Everything is possible, so there is no ``judge``.
    """

    PopulationOptions: ClassVar = PowerLawOptions
    gives: ClassVar = "vectors"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: PowerLawOptions

    @classmethod
    def population(cls, options: PowerLawOptions) -> Self:
        """The law that the options describe."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (d + 1,), the output last."""
        return (self.options.dimension + 1,)

    @property
    def coefficients(self) -> np.ndarray:
        """The coefficients w: (d,) float64."""
        w = powers(self.options.dimension, self.options.decay)
        return self.options.signal / np.linalg.norm(w) * w

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, d + 1) float64, the output last."""
        check_ask(ask, self)
        drawn = noise(ask.seed, ask.start, ask.count, self.options.dimension + 1)
        return SampleSet(labelled(drawn, self.coefficients, self.options.spectrum, self.options.noise_sd))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean 0 (d + 1,) and covariance [[S, S w], [w'S, w'S w + noise_sd^2]], S = diag(i^-a), float64."""
        return regression_moments(self.coefficients, self.options.spectrum, self.options.noise_sd)
