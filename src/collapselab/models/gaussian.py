"""The Gaussian family: mean and covariance by moments, and a known truth to draw real data from.

Its loops have closed forms (``theory``), so that a whole study can be held against exact numbers on a CPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ..core import seeds
from ..core.ask import Ask
from ..core.errors import Diverged
from ..core.kinds import KindName
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .arrays import check_parts
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES
from .options import Options
from .stored import Stored


class GaussianOptions(Options):
    """How a Gaussian is fitted; its dimension is that of the data."""

    ddof: Literal[0, 1] = Field(
        description="0: maximum likelihood, divides by n (Schaeffer's code); 1: unbiased, divides by n - 1 (MAD). "
        "Generations multiply the expected variance by 1 - 1/n with 0 and keep it with 1, so there is no default."
    )
    covariance: Literal["full", "diagonal"] = Field(
        "full", description="diagonal: every dimension is a one-dimensional Gaussian of its own"
    )

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"ddof": 1}


class GaussianPopulation(Options):
    """A known truth N(mean, diag(sd squared)) that real data is drawn from."""

    dimension: int = Field(1, ge=1, description="number of dimensions")
    mean: float | tuple[float, ...] = Field(0.0, description="one mean for all dimensions, or a list of them")
    sd: float | tuple[float, ...] = Field(1.0, description="one standard deviation > 0 for all dimensions, or a list")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, value in (("mean", self.mean), ("sd", self.sd)):
            if isinstance(value, tuple) and len(value) != self.dimension:
                raise ValueError(
                    f"{name} has {len(value)} numbers; dimension: {self.dimension} needs as many, or one number"
                )
            if not np.isfinite(value).all():
                raise ValueError(f"{name} must be finite; got {value}")
        if np.min(self.sd) <= 0:
            raise ValueError(f"sd must be greater than 0; got {self.sd}")
        return self


@dataclass(frozen=True, eq=False)
class Gaussians:
    """R normal laws side by side, which are fitted and drawn together; each comes out as it would alone, bit for bit.

    For that, numpy has to do the same in the same order for each: ``matmul`` calls the same routine for every entry of
    a stack, and whatever sums over rows here goes through it.

    means: (R, d) float64. covariances: (R, d, d) float64, or their diagonals as (R, d).
    """

    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def fit(cls, data: np.ndarray, weights: np.ndarray, options: GaussianOptions, numbers: Sequence[int]) -> Self:
        """The laws with the weighted moments of the rows, as :meth:`Gaussian.fit` has them; they may be not finite.

        data: (R, n, d) float64, contiguous. weights: (R, n) float64, or (1, n) for all alike. numbers: a seed each,
        which play no part. Raises ValueError when fewer than 1 + ddof rows have weight.
        """
        rows = np.count_nonzero(weights, axis=1).min()
        if rows <= options.ddof:
            raise ValueError(
                f"gaussian with ddof: {options.ddof} needs at least {options.ddof + 1} rows with weight; got {rows}"
            )
        row, total = weights[:, None, :], weights.sum(axis=1)[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            means = (row @ data)[:, 0] / total
            deviations = data - means[:, None]
            divisor = total - options.ddof * (weights**2).sum(axis=1)[:, None] / total
            if options.covariance == "diagonal":
                return cls(means, (row @ deviations**2)[:, 0] / divisor)
            centred = deviations * np.sqrt(weights)[:, :, None]
            return cls(means, centred.transpose(0, 2, 1) @ centred / divisor[:, :, None])

    @classmethod
    def of(cls, law: "Gaussian") -> Self:
        """One law, as a stack of one."""
        return cls(law.mean[None], law.covariance[None])

    @property
    def variances(self) -> np.ndarray:
        """The variance of each dimension: (R, d)."""
        return self.covariances if self.covariances.ndim == 2 else np.diagonal(self.covariances, axis1=1, axis2=2)

    @cached_property
    def roots(self) -> np.ndarray:
        """The symmetric square roots of the covariances, or of their diagonals, in their shape.

        Unlike a Cholesky factor they exist for a collapsed covariance, and change continuously with it, so that arms
        that share their noise stay comparable.
        """
        if self.covariances.ndim == 2:
            return np.sqrt(self.covariances)
        values, vectors = np.linalg.eigh(self.covariances)
        return (vectors * np.sqrt(values.clip(0.0))[:, None, :]) @ vectors.transpose(0, 2, 1)

    def sample(self, count: int, numbers: Sequence[int], sampling_bias: float = 1.0) -> np.ndarray:
        """Samples ``0 .. count`` of each law, by its seed among ``numbers``: (R, count, d); one law does for all."""
        return self.spread(seeds.stacked_normals(numbers, count, self.means.shape[1]), sampling_bias)

    def spread(self, noise: np.ndarray, sampling_bias: float) -> np.ndarray:
        """What standard normal numbers (R, n, d) become as samples of N(mean, sampling_bias covariance)."""
        noise = noise * np.sqrt(sampling_bias)
        if self.roots.ndim == 2:
            return self.means[:, None] + noise * self.roots[:, None]
        # einsum and not @: BLAS rounds a row differently in batches of different sizes.
        return self.means[:, None] + np.einsum("rni,rij->rnj", noise, self.roots)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The normal law N(mean, covariance).

    mean: (d,) float64. covariance: (d, d) float64, or its diagonal as (d,).
    """

    Options: ClassVar = GaussianOptions
    PopulationOptions: ClassVar = GaussianPopulation
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = "covariance factor"
    conditions: ClassVar = ()
    gives: ClassVar = "vectors"
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: Options
    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def population(cls, options: GaussianPopulation) -> Self:
        """The known truth that the options describe: its samples are the real data."""
        shape = (options.dimension,)
        sd = np.broadcast_to(np.asarray(options.sd, np.float64), shape)
        return cls(options, np.broadcast_to(np.asarray(options.mean, np.float64), shape).copy(), sd**2)

    @classmethod
    def fit(cls, training: TrainingSet, options: GaussianOptions, run: Run, init: Self | None = None) -> Self:
        """The Gaussian with the weighted moments of the rows: with weights w and W = sum w,

            mean = sum w x / W
            covariance = sum w (x - mean)(x - mean)' / (W - ddof sum w^2 / W)

        Weights say how much a row counts, not how often it was seen: multiplying them all by a number changes nothing,
        and with ddof 1 the covariance is unbiased for independent rows of any weights. Equal weights divide by
        n - ddof.
        The fit is in closed form: of the other arguments none has a part in it.

        training.data: (N, d) float. Raises ValueError when the data are not vectors or fewer than 1 + ddof rows have
        weight, and Diverged when a moment is not finite.
        """
        data, weights = np.asarray(training.data, np.float64), np.asarray(training.weights, np.float64)
        if data.ndim != 2:
            raise ValueError(f"gaussian takes vectors (rows, dimensions); got data of shape {training.data.shape}")
        stack = Gaussians.fit(np.ascontiguousarray(data)[None], weights[None], options, [run.seed])
        mean, covariance = stack.means[0], stack.covariances[0]
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise Diverged(len(data), float("nan"))
        return cls(options, mean, covariance)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d,)."""
        return self.mean.shape

    @cached_property
    def _stack(self) -> Gaussians:
        return Gaussians.of(self)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, of N(mean, ask.bias covariance): data (count, d) float64.

        Raises ValueError when a guide is given: there is no trajectory to steer.
        """
        check_ask(ask, self)
        noise = seeds.normals(ask.seed, ask.start, ask.count, len(self.mean))
        return SampleSet(self._stack.spread(noise[None], ask.bias)[0])

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-density of each row in nats, (n,) float64: nan where the covariance is singular to rounding.

        data: (n, d) float. The density is in closed form: seed, steps and probes have no part in it.
        """
        centred = np.asarray(data, np.float64) - self.mean
        if self.covariance.ndim == 1:
            variances, least = self.covariance, 0.0
        else:
            variances, directions = np.linalg.eigh(self.covariance)
            centred, least = centred @ directions, len(variances) * np.finfo(np.float64).eps * variances[-1]
        if not (variances > least).all():
            return np.full(len(centred), np.nan)
        return -(np.square(centred) / variances + np.log(2 * np.pi * variances)).sum(axis=1) / 2

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (d,) and covariance (d, d), float64."""
        return self.mean, np.diag(self.covariance) if self.covariance.ndim == 1 else self.covariance

    def weights(self) -> Mapping[str, np.ndarray]:
        """mean (d,) and covariance (d, d), or its diagonal (d,): float64."""
        return {"mean": self.mean, "covariance": self.covariance}

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> Self:
        """The Gaussian with this mean and this covariance.

        Raises ValueError unless names and shapes are those of its own, for a covariance with a negative variance in
        some direction, and for numbers that are not finite.
        """
        check_parts(self.weights(), weights, "weights")
        mean, covariance = (np.asarray(weights[name], np.float64) for name in ("mean", "covariance"))
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise ValueError("weights: found a mean or a covariance that is not finite, allowed are finite numbers")
        variances = covariance if covariance.ndim == 1 else np.linalg.eigvalsh(covariance)
        if variances.min() < -len(mean) * np.finfo(np.float64).eps * variances.max():
            raise ValueError(
                f"weights: found a covariance with a variance of {variances.min():.3g}, allowed are from 0"
            )
        return type(self)(self.options, mean, covariance)

    def variance_weights(self) -> tuple[str, ...]:
        """The covariance."""
        return ("covariance",)

    def stored(self) -> Stored:
        """mean, covariance, and a training curve without points: a closed form has no steps."""
        curve = {"curve.images_seen": np.empty(0, np.int64), "curve.loss": np.empty(0)}
        return Stored({"mean": self.mean, "covariance": self.covariance, **curve})

    @classmethod
    def stored_bytes(cls, options: GaussianOptions, shape: tuple[int, ...], rows: int) -> int:
        """The mean and the covariance in float64."""
        (dimension,) = shape
        return 8 * dimension * (2 if options.covariance == "diagonal" else 1 + dimension)

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The Gaussian that ``stored`` and ``options`` describe."""
        return cls(options, stored.tensors["mean"], stored.tensors["covariance"])
