"""A Gaussian for each label, which can be told what to draw: pictures, beside a model of words.

Beside ``class-gaussian``, which knows the classes that it has seen and draws each as often, it can be told the label of
every sample, and it keeps what it knew of a label of which a training set has no rows (``theory.labels``).
"""

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
from .asking import asked_labels, check_ask
from .capabilities import ODE_STEPS, PROBES
from .class_gaussian import ClassGaussian, ClassGaussianOptions
from .inputs import weighted_rows
from .options import Options
from .stored import Stored


class ConditionalGaussianOptions(Options):
    """How many labels there are, and how the Gaussian of each is fitted."""

    classes: int = Field(0, ge=0, le=100_000, description="number of labels; 0: one Gaussian without labels")
    ddof: Literal[0, 1] = Field(0, description="0: maximum likelihood, divides by n; 1: unbiased, by n - 1")

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"ddof": 0}


@dataclass(frozen=True, eq=False)
class ConditionalGaussian:
    """N(mean_c, diag(variance_c)) given the label c.

    means, variances: (K, d) float64, of one row where there are no labels.
    """

    Options: ClassVar = ConditionalGaussianOptions
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = ""
    conditions: ClassVar = ("labels",)
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: ConditionalGaussianOptions
    means: np.ndarray
    variances: np.ndarray

    @classmethod
    def fit(
        cls, training: TrainingSet, options: ConditionalGaussianOptions, run: Run, init: Self | None = None
    ) -> Self:
        """The weighted mean and variance of each dimension among the rows of each label.

            variance = sum w (x - mean)^2 / (W - ddof sum w^2 / W),   W = sum w

        A label of one row has a variance of 0, also with ddof 1. One without rows keeps the Gaussian of ``init``;
        where there is none, it gets that of all rows together, since nothing else is known of it.

        training.data: (N, d) float; training.labels: (N,) of 0 .. classes - 1, where there are classes. Raises
        ValueError for other data or an ``init`` of another shape, and Diverged for numbers that are not finite.
        """
        rows, weights = weighted_rows(training, "conditional-gaussian")
        count = max(options.classes, 1)
        labels = _labels_of(training, options.classes)[np.asarray(training.weights) > 0]
        if init is not None and init.means.shape != (count, rows.shape[1]):
            found = f"found a conditional-gaussian of shape {init.means.shape}"
            raise ValueError(f"init: {found}, allowed is ({count}, {rows.shape[1]}): labels, and numbers of a row")
        means, variances, seen = _moments(rows, weights, labels, count, options.ddof)
        if not seen.all():
            whole = _moments(rows, weights, np.zeros_like(labels), 1, options.ddof)[:2]
            known = whole if init is None else (init.means[~seen], init.variances[~seen])
            means[~seen], variances[~seen] = known
        if not (np.isfinite(means).all() and np.isfinite(variances).all()):
            raise Diverged(len(rows), float("nan"))
        return cls(options, means, variances)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d,)."""
        return (self.means.shape[1],)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: data (count, d) float64, and their labels where there are any.

        A sample is of the label that it is asked for, else sample i is of label i mod classes; its noise is the same
        whatever its label. The bias has to be 1.
        """
        check_ask(ask, self)
        labels = asked_labels(ask, self.options.classes)
        which = np.zeros(ask.count, np.int64) if labels is None else labels
        noise = seeds.normals(ask.seed, ask.start, ask.count, self.means.shape[1])
        return SampleSet(self.means[which] + noise * np.sqrt(self.variances[which]), labels)

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-density of each row in nats, (n,) float64, with every label as likely: nan where a variance is 0.

        data: (n, d) float. The density is in closed form: seed, steps and probes have no part in it.
        """
        return self._mixture().log_likelihood(data, seed)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (d,) and covariance (d, d) with every label as likely: the mean of the variances, and the
        covariance of the means."""
        return self._mixture().moments()

    def _mixture(self) -> ClassGaussian:
        """It with every label as likely."""
        return ClassGaussian(ClassGaussianOptions(), np.arange(len(self.means)), self.means, self.variances)

    def stored(self) -> Stored:
        """means, variances, and a training curve without points."""
        return Stored({"means": self.means, "variances": self.variances, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: ConditionalGaussianOptions, shape: tuple[int, ...], rows: int) -> int:
        """The means and the variances of each label in float64."""
        (dimension,) = shape
        return 16 * dimension * max(options.classes, 1)

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The model that ``stored`` and ``options`` describe."""
        return cls(options, stored.tensors["means"], stored.tensors["variances"])


def _labels_of(training: TrainingSet, classes: int) -> np.ndarray:
    """The label of each row, (N,) int64: all 0 without classes. Raises ValueError for labels that do not suit them."""
    if not classes:
        return np.zeros(len(training), np.int64)
    if training.labels is None:
        raise ValueError(f"classes: found {classes}, but the training data has no labels; allowed is 0")
    labels = np.asarray(training.labels, np.int64)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        found = f"the training data has labels {labels.min()} to {labels.max()}"
        raise ValueError(f"classes: found {classes}, but {found}; allowed are labels 0 to {classes - 1}")
    return labels


def _moments(
    rows: np.ndarray, weights: np.ndarray, labels: np.ndarray, count: int, ddof: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weighted mean and variance of each column for each label, (count, d) each, and which labels have rows.

    Those of a label without rows are 0.
    """

    def sums(columns: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(labels, one, count) for one in columns.T], axis=1)

    rows_of, total = np.bincount(labels, minlength=count), np.bincount(labels, weights, count)
    with np.errstate(over="ignore", invalid="ignore"):
        there = np.where(rows_of > 0, total, 1)[:, None]
        means = sums(weights[:, None] * rows) / there
        squares = np.bincount(labels, weights**2, count)
        free = total - np.where(rows_of > 1, ddof * squares / there[:, 0], 0)
        variances = sums(weights[:, None] * (rows - means[labels]) ** 2) / np.where(rows_of > 0, free, 1)[:, None]
    variances[rows_of == 1] = 0.0  # whatever rounding makes of a mean of one
    return means, variances, rows_of > 0
