"""Mixtures of Gaussians in the plane, on a grid or a ring: the usual test of whether a model keeps all modes."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import Judgement
from ..models.options import Options
from .base import as_rows, choices, judged, noise, words

MODES = {"grid": 25, "ring": 8}


class GaussiansOptions(Options):
    """Where the modes lie, how wide and how heavy they are."""

    layout: Literal["grid", "ring"] = Field("grid", description="a square grid, row by row, or a circle of modes")
    modes: int | None = Field(
        None, ge=1, le=10_000, description="number of modes; null: 25 on a grid, 8 on a ring; on a grid a square number"
    )
    spacing: float = Field(1.0, gt=0, allow_inf_nan=False, description="distance of each mode from its nearest")
    sd: float = Field(0.05, gt=0, allow_inf_nan=False, description="standard deviation of every mode, either direction")
    weights: Literal["uniform", "zipf"] = Field(
        "uniform", description="zipf: the mode of rank r, in their order, has a weight proportional to 1 / r"
    )
    reach: float = Field(4.0, gt=0, allow_inf_nan=False, description="sd from its mode within which a sample is right")

    @property
    def count(self) -> int:
        """How many modes there are."""
        return MODES[self.layout] if self.modes is None else self.modes

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.layout == "grid" and round(self.count**0.5) ** 2 != self.count:
            raise ValueError(f"modes: found {self.count}, allowed on a grid are square numbers")
        if self.spacing <= 2 * self.reach * self.sd:
            least = f"allowed are numbers above 2 reach sd = {2 * self.reach * self.sd:g}: the modes would touch"
            raise ValueError(f"spacing: found {self.spacing:g}, {least}")
        return self


@dataclass(frozen=True, eq=False)
class Gaussians:
    """The mixture sum_k w_k N(mean_k, sd^2 I) in two dimensions, centred on the origin.

    A sample is possible within ``reach`` standard deviations of a mode, and that mode is its cell.
    """

    PopulationOptions: ClassVar = GaussiansOptions
    gives: ClassVar = "vectors"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: GaussiansOptions

    @classmethod
    def population(cls, options: GaussiansOptions) -> Self:
        """The mixture that the options describe."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (2,)."""
        return (2,)

    @cached_property
    def means(self) -> np.ndarray:
        """The modes: (K, 2) float64."""
        count, spacing = self.options.count, self.options.spacing
        if self.options.layout == "grid":
            side = round(count**0.5)
            line = (np.arange(side) - (side - 1) / 2) * spacing
            return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        angles = 2 * np.pi * np.arange(count) / count
        # The chord between neighbours is the spacing; one mode alone lies in the middle.
        radius = spacing / (2 * np.sin(np.pi / count)) if count > 1 else 0.0
        return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    @cached_property
    def weights(self) -> np.ndarray:
        """The weight of each mode: (K,) float64, together 1."""
        ranks = np.arange(1.0, self.options.count + 1)
        shares = np.ones_like(ranks) if self.options.weights == "uniform" else 1 / ranks
        return shares / shares.sum()

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, 2) float64, labels the modes."""
        check_ask(ask, self)
        (uniform,) = words(ask.seed, ask.start, ask.count, 1)
        modes = choices(self.weights, uniform[:, 0])
        return SampleSet(self.means[modes] + self.options.sd * noise(ask.seed, ask.start, ask.count, 2), modes)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (2,) and covariance (2, 2): sd^2 I + sum_k w_k (mean_k - mean)(mean_k - mean)'."""
        mean = self.weights @ self.means
        centred = self.means - mean
        return mean, self.options.sd**2 * np.eye(2) + (self.weights[:, None] * centred).T @ centred

    @property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (K,) float64: w_k P(chi^2_2 <= reach^2) = w_k (1 - exp(-reach^2 / 2)).

        Draws of other modes add less than exp(-(spacing / sd - reach)^2 / 2) to a cell, e^-128 with the defaults, and
        e^(-reach^2 / 2) where discs almost touch; they are left out.
        """
        return self.weights * -np.expm1(-(self.options.reach**2) / 2)

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each sample lies within reach of its nearest mode, and which mode that is.

        data: (n, 2) float; rows that are not finite are impossible.
        """
        rows = as_rows(data, 2)
        squared = np.square(rows[:, None, :] - self.means).sum(axis=2)
        nearest = squared.argmin(axis=1)  # of a row that is not finite, any
        least = np.take_along_axis(squared, nearest[:, None], axis=1)[:, 0]
        return judged(least <= (self.options.reach * self.options.sd) ** 2, nearest)
