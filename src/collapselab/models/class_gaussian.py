"""A Gaussian for each class: what generative replay forgets of a class, generation by generation, has a closed form.

The model knows the classes of its training rows and no others, so that one which learns class after class is replayed
those that it has seen (``theory.updating``).
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


class ClassGaussianOptions(Options):
    """How the Gaussian of a class is fitted."""

    ddof: Literal[0, 1] = Field(
        0, description="0: maximum likelihood, divides by a class's n; 1: unbiased, divides by n - 1"
    )

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"ddof": 0}

    def gives_labels(self) -> bool:
        """True: a sample's label is the class that it is drawn from."""
        return True


@dataclass(frozen=True, eq=False)
class ClassGaussian:
    """The equal mixture of N(mean_c, diag(variance_c)) over its classes c.

    classes: (K,) int64, rising. means, variances: (K, d) float64.
    """

    Options: ClassVar = ClassGaussianOptions
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: ClassGaussianOptions
    classes: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    @classmethod
    def fit(cls, training: TrainingSet, options: ClassGaussianOptions, run: Run, init: Self | None = None) -> Self:
        """The weighted mean and variance of each dimension in each class that the rows have; without labels in one.

        variance = sum w (x - mean)^2 / (W - ddof sum w^2 / W) with W = sum w. A class of one row has a variance of 0,
        also with ddof 1. The fit is in closed form: of the other arguments none has a part in it.

        training.data: (N, d) float. Raises ValueError for other data, and Diverged for numbers that are not finite.
        """
        rows, weights = weighted_rows(training, "class-gaussian")
        labels = np.zeros(len(training), np.int64) if training.labels is None else np.asarray(training.labels, np.int64)
        labels = labels[np.asarray(training.weights) > 0]  # as many as there are rows with weight
        classes, moments = np.unique(labels), []
        with np.errstate(over="ignore", invalid="ignore"):
            for one in classes:
                own, w = rows[labels == one], weights[labels == one]
                mean = w @ own / w.sum()
                spread = w.sum() - options.ddof * (w**2).sum() / w.sum()
                moments.append((mean, w @ (own - mean) ** 2 / (spread if len(own) > 1 else w.sum())))
        means, variances = (np.array(one) for one in zip(*moments, strict=True))
        if not (np.isfinite(means).all() and np.isfinite(variances).all()):
            raise Diverged(len(rows), float("nan"))
        return cls(options, classes, means, variances)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d,)."""
        return (self.means.shape[1],)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: data (count, d) float64, and as labels their classes.

        Sample i is of class i mod K. The bias has to be 1.
        """
        check_ask(ask, self)
        which = np.arange(ask.start, ask.start + ask.count) % len(self.classes)
        noise = seeds.normals(ask.seed, ask.start, ask.count, self.means.shape[1])
        return SampleSet(self.means[which] + noise * np.sqrt(self.variances[which]), self.classes[which])

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-density of each row in nats, (n,) float64: nan where a variance is 0.

        data: (n, d) float. The density is in closed form: seed, steps and probes have no part in it.
        """
        if not (self.variances > 0).all():
            return np.full(len(data), np.nan)
        logs = [
            -((np.asarray(data, np.float64) - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum(axis=1) / 2
            for mean, variance in zip(self.means, self.variances, strict=True)
        ]
        return np.logaddexp.reduce(np.array(logs), axis=0) - math.log(len(self.classes))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (d,) and covariance (d, d): the mean of the variances, and the covariance of the means."""
        mean = self.means.mean(axis=0)
        centred = self.means - mean
        return mean, np.diag(self.variances.mean(axis=0)) + centred.T @ centred / len(self.classes)

    def stored(self) -> Stored:
        """classes, means, variances, and a training curve without points."""
        parts = {"classes": self.classes, "means": self.means, "variances": self.variances}
        return Stored({**parts, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: ClassGaussianOptions, shape: tuple[int, ...], rows: int) -> int:
        """The class, the means and the variances of one class; how many there are only the labels say."""
        (dimension,) = shape
        return 8 * (1 + 2 * dimension)

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The model that ``stored`` and ``options`` describe."""
        return cls(options, *(stored.tensors[name] for name in ("classes", "means", "variances")))
