"""A linear law with noise: rows of inputs and an output, for the theory of repeated regressions."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.options import Options
from .base import noise


class RegressionOptions(Options):
    """How many inputs there are, and how strong signal and noise."""

    dimension: int = Field(10, ge=1, description="number of inputs d")
    signal: float = Field(1.0, ge=0, allow_inf_nan=False, description="length of the coefficients w, all of them equal")
    noise_sd: float = Field(1.0, ge=0, allow_inf_nan=False, description="standard deviation of the output around x'w")


@dataclass(frozen=True, eq=False)
class Regression:
    """The law of (x, y) with x ~ N(0, I) in d dimensions and y = x'w + noise_sd e, e ~ N(0, 1).

    That of Gerstgrasser et al. (2024, arXiv 2404.01413) with isotropic inputs. Everything is possible, so there is no
    ``judge``.
    """

    PopulationOptions: ClassVar = RegressionOptions
    gives: ClassVar = "vectors"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: RegressionOptions

    @classmethod
    def population(cls, options: RegressionOptions) -> Self:
        """The law that the options describe."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (d + 1,), the output last."""
        return (self.options.dimension + 1,)

    @property
    def coefficients(self) -> np.ndarray:
        """The coefficients w: (d,) float64."""
        dimension = self.options.dimension
        return np.full(dimension, self.options.signal / dimension**0.5)

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, d + 1) float64, the output last."""
        check_ask(ask, self)
        normal = noise(ask.seed, ask.start, ask.count, self.options.dimension + 1)
        inputs, error = normal[:, :-1], normal[:, -1]
        # All coefficients are equal; a sum over a row is rounded alike however many rows there are.
        output = inputs.sum(axis=1) * self.coefficients[0] + self.options.noise_sd * error
        return SampleSet(np.concatenate([inputs, output[:, None]], axis=1))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean 0 (d + 1,) and covariance [[I, w], [w', |w|^2 + noise_sd^2]] (d + 1, d + 1), float64."""
        size, w = self.options.dimension + 1, self.coefficients
        covariance = np.eye(size)
        covariance[:-1, -1] = covariance[-1, :-1] = w
        covariance[-1, -1] = self.options.signal**2 + self.options.noise_sd**2
        return np.zeros(size), covariance
