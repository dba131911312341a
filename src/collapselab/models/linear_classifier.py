"""A linear classifier of two Gaussian classes as a generative model of labelled rows, some of them labelled wrongly.
An imperfect verifier that keeps a right label with probability phi and a wrong one with psi leaves the classifier where
it is or turns it round, depending on whether the share of wrong labels is below 1 / (1 + psi / phi) (Feng et al. 2024,
https://arxiv.org/abs/2406.07515; ``theory``).
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
from ..core.kinds import KindName
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .arrays import no_curve
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES
from .inputs import weighted_rows
from .options import Options
from .stored import Stored


class LinearClassifierOptions(Options):
    """How well the generator labels; a row is [x, y], its label y = -1 or 1 last."""

    label_error: float = Field(0.0, ge=0, lt=1, description="share of the samples whose label is wrong")

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"label_error": 0.2}


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """The law of [x, y]: a class c = -1 or 1 with probability 1/2 each, x ~ N(c w, I), and y = c, or -c by mistake.

    A mistake has the probability ``label_error``, whatever x is. The classifier is the sign of x'w.
    direction: w, (d,) float64.
    """

    Options: ClassVar = LinearClassifierOptions
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: LinearClassifierOptions
    direction: np.ndarray

    @classmethod
    def fit(cls, training: TrainingSet, options: LinearClassifierOptions, run: Run, init: Self | None = None) -> Self:
        """The plug-in estimate w = the weighted mean of y x, which wrong labels shrink by 1 - 2 label_error.

        The fit is in closed form: of the other arguments none has a part in it.

        training.data: (N, d + 1) float with d >= 1, its last column -1 or 1. Raises ValueError for other data, and
        Diverged for numbers that are not finite.
        """
        rows, weights = weighted_rows(training, "linear-classifier")
        labels = rows[:, -1]
        if rows.shape[1] < 2 or not np.isin(labels, (-1.0, 1.0)).all():
            raise ValueError("data: allowed with linear-classifier are rows of inputs and a label, which is -1 or 1")
        with np.errstate(over="ignore", invalid="ignore"):
            direction = (weights * labels) @ rows[:, :-1] / weights.sum()
        if not np.isfinite(direction).all():
            raise Diverged(len(rows), float("nan"))
        return cls(options, direction)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d + 1,)."""
        return (len(self.direction) + 1,)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, as data (count, d + 1) float64: [x, y] with y = -1 or 1.

        The bias has to be 1.
        """
        check_ask(ask, self)
        drawn = seeds.uniforms(seeds.seed_of(ask.seed, None, None, "labels"), ask.start, ask.count, 2)
        classes = np.where(drawn[:, 0] < 0.5, -1.0, 1.0)
        labels = np.where(drawn[:, 1] < self.options.label_error, -classes, classes)
        x = classes[:, None] * self.direction + seeds.normals(ask.seed, ask.start, ask.count, len(self.direction))
        return SampleSet(np.concatenate([x, labels[:, None]], axis=1))

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log of the density of x times the mass of its label, in nats, (n,) float64: -inf for other labels.

            p(x, y) = ((1 - e) N(x; y w, I) + e N(x; -y w, I)) / 2        with e = label_error

        data: (n, d + 1) float. Seed, steps and probes have no part in it.
        """
        x, labels, error = data[:, :-1], data[:, -1], self.options.label_error
        # With equal covariances N(x; -y w, I) = N(x; y w, I) exp(-2 y x'w).
        product = labels * np.einsum("ni,i->n", x, self.direction)
        squares = np.einsum("ni,ni->n", x, x) + self.direction @ self.direction
        right, wrong = product - squares / 2 + math.log1p(-error), -product - squares / 2
        wrong = wrong + math.log(error) if error else np.full_like(wrong, -np.inf)
        found = np.logaddexp(right, wrong) - math.log(2) - x.shape[1] * math.log(2 * math.pi) / 2
        return np.where(np.isin(labels, (-1.0, 1.0)), found, -np.inf)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean 0 (d + 1,) and covariance [[I + w w', w], [w', 1]] (d + 1, d + 1), before any mistake.

        So the covariance of x and y is the direction; mistakes multiply it by 1 - 2 label_error.
        """
        w = self.direction
        covariance = np.eye(len(w) + 1)
        covariance[:-1, :-1] += np.outer(w, w)
        covariance[-1, :-1] = covariance[:-1, -1] = w
        return np.zeros(len(w) + 1), covariance

    def stored(self) -> Stored:
        """direction, and a training curve without points."""
        return Stored({"direction": self.direction, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: LinearClassifierOptions, shape: tuple[int, ...], rows: int) -> int:
        """The direction in float64."""
        (width,) = shape
        return 8 * (width - 1)

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The classifier that ``stored`` and ``options`` describe."""
        return cls(options, stored.tensors["direction"])
