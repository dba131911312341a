"""Linear regression as a generative model of labels: the loop in which collapse was first shown to be avoidable.
Replacing the data in every generation makes the error grow linearly, and accumulating them keeps it bounded
(Gerstgrasser et al. 2024, https://arxiv.org/abs/2404.01413; ``theory``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.ask import Ask
from ..core.errors import Diverged
from ..core.kinds import KindName
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .arrays import no_curve
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES
from .inputs import weighted_rows
from .options import Options
from .stored import Stored


class LinearRegressionOptions(Options):
    """How the labels of samples are made; a row is [x, y], its label last."""

    noise_sd: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="standard deviation of the noise on a sample's label"
    )
    inputs: Literal["same", "fresh"] = Field(
        "same", description="same: the inputs x of the training rows, in turn; fresh: new ones from N(0, I)"
    )

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"inputs": "fresh"}


@dataclass(frozen=True, eq=False)
class LinearRegression:
    """The law y = x'w + noise of a row [x, y].

    coefficients: w, (d,) float64. inputs: (M, d) float64, the different inputs of the training rows in the order of
    their first appearance; with fresh inputs (0, d).
    """

    Options: ClassVar = LinearRegressionOptions
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: LinearRegressionOptions
    coefficients: np.ndarray
    inputs: np.ndarray

    @classmethod
    def fit(cls, training: TrainingSet, options: LinearRegressionOptions, run: Run, init: Self | None = None) -> Self:
        """The weighted least squares w = X^+ y, of least norm where the rows do not determine it.

        X^+ is the pseudo-inverse, and rows are multiplied by the square roots of their weights. The fit is in closed
        form: of the other arguments none has a part in it.

        training.data: (N, d + 1) float with d >= 1. Raises ValueError for other data, and Diverged for numbers that
        are not finite.
        """
        rows, weights = weighted_rows(training, "linear-regression")
        if rows.shape[1] < 2:
            raise ValueError(f"data: found {rows.shape[1]} numbers a row, allowed are 2 or more: inputs and a label")
        root, x = np.sqrt(weights), rows[:, :-1]
        coefficients = np.linalg.lstsq(x * root[:, None], rows[:, -1] * root)[0]
        if not np.isfinite(coefficients).all():
            raise Diverged(len(rows), float("nan"))
        first = np.sort(np.unique(x, axis=0, return_index=True)[1]) if options.inputs == "same" else slice(0)
        return cls(options, coefficients, x[first])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d + 1,)."""
        return (len(self.coefficients) + 1,)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, as data (count, d + 1) float64: [x, x'w + noise_sd e], e ~ N(0, 1).

        With the same inputs, sample i has the x of different input i mod M. However often an accumulating loop has
        stored an input, M samples bring each of them back once. The bias has to be 1.
        """
        check_ask(ask, self)
        if self.options.inputs == "same":
            x = self.inputs[np.arange(ask.start, ask.start + ask.count) % len(self.inputs)]
            noise = seeds.normals(ask.seed, ask.start, ask.count, 1)[:, 0]
        else:
            drawn = seeds.normals(ask.seed, ask.start, ask.count, len(self.coefficients) + 1)
            x, noise = drawn[:, :-1], drawn[:, -1]
        # einsum and not @: BLAS rounds a row differently in batches of different sizes.
        labels = np.einsum("ni,i->n", x, self.coefficients) + self.options.noise_sd * noise
        return SampleSet(np.concatenate([x, labels[:, None]], axis=1))

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-density of each row in nats, (n,) float64, for x ~ N(0, I): nan without noise, when it has none.

        log N(x; 0, I) + log N(y; x'w, noise_sd^2). data: (n, d + 1) float. Seed, steps and probes have no part in it.
        """
        x, sd = data[:, :-1], self.options.noise_sd
        if sd == 0:
            return np.full(len(data), np.nan)
        off = (data[:, -1] - np.einsum("ni,i->n", x, self.coefficients)) / sd
        squares = np.einsum("ni,ni->n", x, x) + off**2
        return -(squares + data.shape[1] * math.log(2 * math.pi)) / 2 - math.log(sd)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean 0 (d + 1,) and covariance [[I, w], [w', w'w + noise_sd^2]] (d + 1, d + 1) for x ~ N(0, I)."""
        w = self.coefficients
        covariance = np.eye(len(w) + 1)
        covariance[-1, :-1] = covariance[:-1, -1] = w
        covariance[-1, -1] = w @ w + self.options.noise_sd**2
        return np.zeros(len(w) + 1), covariance

    def stored(self) -> Stored:
        """coefficients, inputs, and a training curve without points."""
        return Stored({"coefficients": self.coefficients, "inputs": self.inputs, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: LinearRegressionOptions, shape: tuple[int, ...], rows: int) -> int:
        """The coefficients in float64, and the rows' inputs where samples have the same; equal ones count once."""
        (width,) = shape
        return 8 * (width - 1) * (1 + rows if options.inputs == "same" else 1)

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The regression that ``stored`` and ``options`` describe."""
        return cls(options, stored.tensors["coefficients"], stored.tensors["inputs"])
