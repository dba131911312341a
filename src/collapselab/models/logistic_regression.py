"""Logistic regression as a generative model of labels, and a known truth of the same form: a loop that accumulates its
labels ends with pi^2/6 times the variance of one fit, and one that replaces them grows without bound (Dey and Donoho
2024, https://arxiv.org/abs/2410.22812; ``theory``).
"""

import math
from collections.abc import Mapping, Sequence
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

STEPS, SETTLED = 100, 1e-10  # of Newton's method, and a step's size in w that is none
NODES, REACH, FAR = 400, 12.0, 40.0  # of an integral: exp(-12^2 / 2) and exp(-40) are nothing beside rounding


class LogisticRegressionOptions(Options):
    """How the coefficients are estimated; a row is [x, y], its label y = -1 or 1 last."""

    penalty: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="taken from the mean log-likelihood: this times |w|^2 / 2. With 0 there is no estimate where a "
        "hyperplane parts the labels",
    )

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"penalty": 0.1}


class LogisticRegressionPopulation(Options):
    """A known truth that real data is drawn from."""

    dimension: int = Field(5, ge=1, description="number of inputs d")
    signal: float = Field(1.0, ge=0, allow_inf_nan=False, description="length of the coefficients w, all of them equal")


@dataclass(frozen=True, eq=False)
class LogisticRegressions:
    """R logistic regressions side by side, each of which is fitted and drawn as it would be alone.

    coefficients: (R, d) float64, nan where there is no estimate.
    """

    coefficients: np.ndarray

    @classmethod
    def fit(
        cls, data: np.ndarray, weights: np.ndarray, options: LogisticRegressionOptions, numbers: Sequence[int]
    ) -> Self:
        """The coefficients of the greatest likelihood, as :meth:`LogisticRegression.fit` has them.

        data: (R, n, d + 1) float64. weights: (R, n) float64, or (1, n) for all alike. numbers: a seed each, which play
        no part. Raises ValueError for other data.
        """
        found = np.full((len(data), data.shape[2] - 1), np.nan)
        for row, own, w in zip(found, data, np.broadcast_to(weights, data.shape[:2]), strict=True):
            maximum = _maximum(*_signed(own, w), options.penalty) if np.isfinite(own).all() else None
            row[:] = np.nan if maximum is None else maximum
        return cls(found)

    @classmethod
    def of(cls, law: "LogisticRegression") -> Self:
        """One law, as a stack of one."""
        return cls(law.coefficients[None])

    @property
    def means(self) -> np.ndarray:
        """Those of [x, y], which are 0; nan where there is no estimate: (R, d + 1)."""
        return np.concatenate([self.coefficients, self.coefficients[:, :1]], axis=1) * 0.0

    @property
    def variances(self) -> np.ndarray:
        """Those of [x, y], which are 1; nan where there is no estimate: (R, d + 1)."""
        return self.means + 1.0

    @property
    def covariances(self) -> np.ndarray:
        """The covariances of [x, y], as :meth:`LogisticRegression.moments` has them: (R, d + 1, d + 1)."""
        return np.array([_covariance(one) for one in self.coefficients])

    def sample(self, count: int, numbers: Sequence[int], sampling_bias: float = 1.0) -> np.ndarray:
        """Samples ``0 .. count`` of each law, by its seed among ``numbers``: (R, count, d + 1); one law does for all.

        Raises ValueError for a bias that is not 1.
        """
        if sampling_bias != 1:
            raise ValueError(f"sampling_bias: found {sampling_bias!r}, allowed with logistic-regression is 1")
        laws = np.broadcast_to(self.coefficients, (len(numbers), self.coefficients.shape[1]))
        return np.array([_drawn(law, number, 0, count) for law, number in zip(laws, numbers, strict=True)])


@dataclass(frozen=True, eq=False)
class LogisticRegression:
    """The law of [x, y] with x ~ N(0, I) and y = 1 with the probability 1 / (1 + exp(-x'w)), else -1.

    coefficients: w, (d,) float64.
    """

    Options: ClassVar = LogisticRegressionOptions
    PopulationOptions: ClassVar = LogisticRegressionPopulation
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    gives: ClassVar = "vectors"
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: Options
    coefficients: np.ndarray

    @classmethod
    def population(cls, options: LogisticRegressionPopulation) -> Self:
        """The known truth that the options describe: its samples are the real data."""
        return cls(options, np.full(options.dimension, options.signal / math.sqrt(options.dimension)))

    @classmethod
    def fit(cls, training: TrainingSet, options: LogisticRegressionOptions, run: Run, init: Self | None = None) -> Self:
        """The coefficients that maximise the weighted log-likelihood by Newton's method, from w = 0.

            sum weight log sigma(y x'w) / sum weight - penalty |w|^2 / 2,  sigma(u) = 1 / (1 + e^-u)

        A step is halved until it raises that. It is concave, so that there is one maximum or, without a penalty where a
        hyperplane parts the labels, none. Of the other arguments none has a part in it.

        training.data: (N, d + 1) float with d >= 1, its last column -1 or 1. Raises ValueError for other data, and
        Diverged for numbers that are not finite or where there is no maximum.
        """
        rows, weights = weighted_rows(training, "logistic-regression")
        (w,) = LogisticRegressions.fit(rows[None], weights[None], options, [run.seed]).coefficients
        if not np.isfinite(w).all():
            raise Diverged(len(rows), float("nan"))
        return cls(options, w)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d + 1,)."""
        return (len(self.coefficients) + 1,)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, as data (count, d + 1) float64: [x, y] with y = -1 or 1.

        The bias has to be 1.
        """
        check_ask(ask, self)
        return SampleSet(_drawn(self.coefficients, ask.seed, ask.start, ask.count))

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log of the density of x times the mass of its label, in nats, (n,) float64: -inf for other labels.

        log N(x; 0, I) + log sigma(y x'w). data: (n, d + 1) float. Seed, steps and probes have no part in it.
        """
        from scipy.special import log_expit

        x, labels = data[:, :-1], data[:, -1]
        logs = log_expit(labels * np.einsum("ni,i->n", x, self.coefficients))
        logs = logs - (np.einsum("ni,ni->n", x, x) + x.shape[1] * math.log(2 * math.pi)) / 2
        return np.where(np.isin(labels, (-1.0, 1.0)), logs, -np.inf)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean 0 (d + 1,) and covariance [[I, c], [c', 1]] (d + 1, d + 1), c = 2 w E sigma'(|w| Z), Z normal.

        c = E[x y] by Stein's lemma; to numerical precision.
        """
        return np.zeros(len(self.coefficients) + 1), LogisticRegressions.of(self).covariances[0]

    def stored(self) -> Stored:
        """coefficients, and a training curve without points."""
        return Stored({"coefficients": self.coefficients, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: LogisticRegressionOptions, shape: tuple[int, ...], rows: int) -> int:
        """The coefficients in float64."""
        (width,) = shape
        return 8 * (width - 1)

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The regression that ``stored`` and ``options`` describe."""
        return cls(options, stored.tensors["coefficients"])


def information(length: float) -> tuple[float, float]:
    """The Fisher information of a row along w and across it: E sigma'(|w| Z) Z^2 and E sigma'(|w| Z), Z normal.

    Inputs are N(0, I), so that I(w) has these two eigenvalues, the first once. By trapezoids, which are exact to
    rounding for functions that die out at both ends.
    """
    from scipy.special import expit

    reach = REACH if length * REACH <= FAR else FAR / length
    z = np.linspace(-reach, reach, NODES)
    slope = expit(length * z) * expit(-length * z) * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    step = z[1] - z[0]
    return float(step * (slope @ z**2)), float(step * slope.sum())


def _covariance(w: np.ndarray) -> np.ndarray:
    covariance = np.eye(len(w) + 1)
    covariance[:-1, -1] = covariance[-1, :-1] = 2 * information(float(np.linalg.norm(w)))[1] * w
    return covariance


def _drawn(w: np.ndarray, seed: int, start: int, count: int) -> np.ndarray:
    """Rows [x, y] of the law with coefficients w: (count, d + 1) float64."""
    from scipy.special import expit

    uniform = seeds.uniforms(seeds.seed_of(seed, None, None, "labels"), start, count, 1)[:, 0]
    x = seeds.normals(seed, start, count, len(w))
    # einsum and not @: BLAS rounds a row differently in batches of different sizes.
    labels = np.where(uniform < expit(np.einsum("ni,i->n", x, w)), 1.0, -1.0)
    return np.concatenate([x, labels[:, None]], axis=1)


def _signed(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows y x, and the share of each. Raises ValueError unless rows are inputs and a label, -1 or 1."""
    if rows.shape[1] < 2 or not np.isin(rows[:, -1], (-1.0, 1.0)).all():
        raise ValueError("data: allowed with logistic-regression are rows of inputs and a label, which is -1 or 1")
    return rows[:, :-1] * rows[:, -1:], weights / weights.sum()


def _maximum(signed: np.ndarray, shares: np.ndarray, penalty: float) -> np.ndarray | None:
    """The coefficients of the greatest likelihood of rows y x; None where Newton's method settles at none.

    Without a penalty there is none as soon as some w is on the right side of every row: its multiples do ever better.
    """
    from scipy.special import expit, log_expit

    def height(w: np.ndarray) -> float:
        return float(shares @ log_expit(signed @ w)) - penalty * float(w @ w) / 2

    w, now = np.zeros(signed.shape[1]), -math.log(2)
    for _ in range(STEPS):
        away = expit(-(signed @ w))
        gradient = (shares * away) @ signed - penalty * w
        curvature = (signed * (shares * away * (1 - away))[:, None]).T @ signed + penalty * np.eye(len(w))
        try:
            step = np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:
            return None
        while (found := height(w + step)) < now - abs(now) * np.finfo(np.float64).eps * 4:
            step = step / 2
        w, now = w + step, found
        if not np.isfinite(w).all() or (not penalty and (signed @ w > 0).all()):
            return None
        if np.linalg.norm(step) <= SETTLED * (1 + np.linalg.norm(w)):
            return w
    return None
