"""Rewards by formula, of vectors and categories: with them the laws of selection are exact."""

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.choice import Options
from ..core.facts import Facts
from ..core.sets import SampleSet


class CoordinateOptions(Options):
    """Which coordinate is liked, how, and how much."""

    index: int = Field(0, ge=0, description="the coordinate, from 0")
    beta: float = Field(1.0, allow_inf_nan=False, description="how much it is liked")
    form: Literal["linear", "quadratic"] = Field(
        "linear", description="linear: beta x; quadratic: -beta (x - centre)^2 / 2"
    )
    centre: float = Field(0.0, allow_inf_nan=False, description="what is liked best, where the form is quadratic")


def coordinate(samples: SampleSet, seen: object, options: CoordinateOptions) -> np.ndarray:
    """beta x_j, or -beta (x_j - c)^2 / 2, of a coordinate x_j: (n,) float64.

    Of a Gaussian whose samples are chosen from without end (K -> inf of Ferbach et al. 2024, arXiv 2407.09499), the
    first moves the mean by beta times the variance in each generation and keeps the variance; the second adds beta to
    the precision. Raises ValueError for a coordinate that samples do not have.
    """
    if options.index >= samples.data.shape[1]:
        raise ValueError(f"index: found {options.index}, allowed are 0 to {samples.data.shape[1] - 1}")
    x = samples.data[:, options.index].astype(np.float64)
    return options.beta * x if options.form == "linear" else -options.beta * (x - options.centre) ** 2 / 2


def coordinate_fault(facts: Facts, options: CoordinateOptions) -> str:
    """A coordinate that samples do not have."""
    width = facts.shape[0]
    return "" if options.index < width else f"index: found {options.index}, allowed are 0 to {width - 1}"


class CategoryOptions(Options):
    """What each category is worth."""

    worth: tuple[float, ...] = Field(min_length=1, description="of category 0, 1, ...: one number each")


def category(samples: SampleSet, seen: object, options: CategoryOptions) -> np.ndarray:
    """What a sample's category is worth, by a table: (n,) float64. Raises ValueError for one beyond the table."""
    table = np.array(options.worth, np.float64)
    if len(samples) and not 0 <= samples.data.min() <= samples.data.max() < len(table):
        raise ValueError(
            f"worth: found {len(table)} numbers, and categories {samples.data.min()} to {samples.data.max()}; allowed "
            "is a number for each"
        )
    return table[samples.data]
