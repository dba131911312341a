"""Ridge regression on inputs of a power-law spectrum as a generative model of labels: what a penalty does to a loop
whose error grows in every generation, and where scaling laws come from (Dohmatob, Feng and Kempe 2024,
https://arxiv.org/abs/2402.07712; ``theory``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.ask import Ask
from ..core.errors import Diverged
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .arrays import no_curve
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES
from .inputs import weighted_rows
from .options import Options
from .stored import Stored


class RidgeRegressionOptions(Options):
    """How the labels are fitted and made; a row is [x, y], its label last."""

    penalty: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="lambda, added to the squared error of a row as lambda |w|^2; 0: least squares",
    )
    noise_sd: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="standard deviation of the noise on a sample's label"
    )
    spectrum: float = Field(
        0.0, ge=0, le=10, description="a: new inputs are independent, the i-th of variance i^-a; 0: all of 1"
    )


def powers(dimension: int, exponent: float) -> np.ndarray:
    """i^-exponent, i = 1 .. dimension: (d,) float64."""
    return np.arange(1.0, dimension + 1) ** -exponent


@dataclass(frozen=True, eq=False)
class RidgeRegression:
    """The law of [x, y] with x ~ N(0, diag(i^-a)), a the ``spectrum``, and y = x'w + noise.

    coefficients: w, (d,) float64.
    """

    Options: ClassVar = RidgeRegressionOptions
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: RidgeRegressionOptions
    coefficients: np.ndarray

    @classmethod
    def fit(cls, training: TrainingSet, options: RidgeRegressionOptions, run: Run, init: Self | None = None) -> Self:
        """The coefficients of least penalised error, (sum s x x' + penalty)^-1 sum s x y with s = weight / sum weight.

        Without a penalty those of least norm, where the rows do not determine them. The fit is in closed form: of the
        other arguments none has a part in it.

        training.data: (N, d + 1) float with d >= 1. Raises ValueError for other data, and Diverged for numbers that
        are not finite.
        """
        rows, weights = weighted_rows(training, "ridge-regression")
        if rows.shape[1] < 2:
            raise ValueError(f"data: found {rows.shape[1]} numbers a row, allowed are 2 or more: inputs and a label")
        root = np.sqrt(weights / weights.sum())
        x, y = rows[:, :-1] * root[:, None], rows[:, -1] * root
        if options.penalty:
            # As least squares on rows of the penalty's: better conditioned than the square of x.
            x = np.concatenate([x, math.sqrt(options.penalty) * np.eye(x.shape[1])])
            y = np.concatenate([y, np.zeros(x.shape[1])])
        coefficients = np.linalg.lstsq(x, y)[0]
        if not np.isfinite(coefficients).all():
            raise Diverged(len(rows), float("nan"))
        return cls(options, coefficients)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d + 1,)."""
        return (len(self.coefficients) + 1,)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, as data (count, d + 1) float64: [x, x'w + noise_sd e], e ~ N(0, 1), x new.

        The bias has to be 1.
        """
        check_ask(ask, self)
        drawn = seeds.normals(ask.seed, ask.start, ask.count, len(self.coefficients) + 1)
        return SampleSet(labelled(drawn, self.coefficients, self.options.spectrum, self.options.noise_sd))

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-density of each row in nats, (n,) float64: nan where samples have no noise, and so no density.

        log N(x; 0, diag(i^-a)) + log N(y; x'w, noise_sd^2). data: (n, d + 1) float. Seed, steps and probes have no part
        in it.
        """
        x, sd = data[:, :-1], self.options.noise_sd
        if sd == 0:
            return np.full(len(data), np.nan)
        variances = powers(x.shape[1], self.options.spectrum)
        off = (data[:, -1] - np.einsum("ni,i->n", x, self.coefficients)) / sd
        squares = np.einsum("ni,i->n", np.square(x), 1 / variances) + off**2
        constant = data.shape[1] * math.log(2 * math.pi) + np.log(variances).sum() + 2 * math.log(sd)
        return -(squares + constant) / 2

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean 0 (d + 1,) and covariance [[S, S w], [w'S, w'S w + noise_sd^2]], S = diag(i^-a)."""
        return regression_moments(self.coefficients, self.options.spectrum, self.options.noise_sd)

    def stored(self) -> Stored:
        """coefficients, and a training curve without points."""
        return Stored({"coefficients": self.coefficients, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: RidgeRegressionOptions, shape: tuple[int, ...], rows: int) -> int:
        """The coefficients in float64."""
        (width,) = shape
        return 8 * (width - 1)

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The regression that ``stored`` and ``options`` describe."""
        return cls(options, stored.tensors["coefficients"])


def labelled(drawn: np.ndarray, coefficients: np.ndarray, spectrum: float, noise_sd: float) -> np.ndarray:
    """Rows [x, y] made of standard normal numbers (n, d + 1): float64 of the same shape."""
    x = drawn[:, :-1] * np.sqrt(powers(len(coefficients), spectrum))
    # einsum and not @: BLAS rounds a row differently in batches of different sizes.
    labels = np.einsum("ni,i->n", x, coefficients) + noise_sd * drawn[:, -1]
    return np.concatenate([x, labels[:, None]], axis=1)


def regression_moments(w: np.ndarray, spectrum: float, noise_sd: float) -> tuple[np.ndarray, np.ndarray]:
    """The exact mean (d + 1,) and covariance (d + 1, d + 1) of such rows."""
    variances = powers(len(w), spectrum)
    covariance = np.diag(np.append(variances, w @ (variances * w) + noise_sd**2))
    covariance[-1, :-1] = covariance[:-1, -1] = variances * w
    return np.zeros(len(w) + 1), covariance
