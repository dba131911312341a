"""The Gaussian family: mean and covariance by moments, and a known truth to draw real data from.

Its loops have closed forms (``theory``), so that a whole study can be held against exact numbers on a CPU.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from .. import seeds
from ..store import SampleSet
from .base import ODE_STEPS, PROBES, Diverged, Options, Progress, TrainingSet, check_bias


class GaussianOptions(Options):
    """How a Gaussian is fitted; its dimension is that of the data."""

    ddof: Literal[0, 1] = Field(
        description="0: maximum likelihood, divides by n (Schaeffer's code); 1: unbiased, divides by n - 1 (MAD). "
        "Generations multiply the expected variance by 1 - 1/n with 0 and keep it with 1, so there is no default."
    )
    covariance: Literal["full", "diagonal"] = Field(
        "full", description="diagonal: every dimension is a one-dimensional Gaussian of its own"
    )


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
class Gaussian:
    """The normal law N(mean, covariance).

    mean: (d,) float64. covariance: (d, d) float64, or its diagonal as (d,).
    """

    Options: ClassVar = GaussianOptions
    PopulationOptions: ClassVar = GaussianPopulation
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = "covariance factor"
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
    def fit(
        cls,
        training: TrainingSet,
        options: GaussianOptions,
        seed: int,
        init: Self | None = None,
        *,
        images_seen: int | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        allow_nonidentical: bool = False,
        validation: TrainingSet | None = None,
        inspect: Callable[[Self, int], None] | None = None,
    ) -> Self:
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
        rows = np.count_nonzero(weights)
        if rows <= options.ddof:
            raise ValueError(
                f"gaussian with ddof: {options.ddof} needs at least {options.ddof + 1} rows with weight; got {rows}"
            )
        total = weights.sum()
        with np.errstate(over="ignore", invalid="ignore"):
            mean = weights @ data / total
            centred = (data - mean) * np.sqrt(weights)[:, None]
            scatter = centred.T @ centred if options.covariance == "full" else np.einsum("ni,ni->i", centred, centred)
            covariance = scatter / (total - options.ddof * (weights @ weights) / total)
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise Diverged(len(data), float("nan"))
        return cls(options, mean, covariance)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d,)."""
        return self.mean.shape

    @cached_property
    def _root(self) -> np.ndarray:
        """The symmetric square root of the covariance, or of its diagonal.

        Unlike a Cholesky factor it exists for a collapsed covariance, and it changes continuously with it, so that
        arms that share their noise stay comparable.
        """
        if self.covariance.ndim == 1:
            return np.sqrt(self.covariance)
        values, vectors = np.linalg.eigh(self.covariance)
        return (vectors * np.sqrt(values.clip(0.0))) @ vectors.T

    def sample(
        self, count: int, seed: int, *, start: int = 0, sampling_bias: float = 1.0, guide: Any | None = None
    ) -> SampleSet:
        """Samples ``start .. start + count`` of N(mean, sampling_bias covariance): data (count, d) float64.

        Raises ValueError when a guide is given: there is no trajectory to steer.
        """
        check_bias(sampling_bias)
        if guide is not None:
            raise ValueError(f"guide: a gaussian cannot be guided, only sampled with a sampling_bias; got {guide!r}")
        noise = seeds.normals(seed, start, count, len(self.mean)) * np.sqrt(sampling_bias)
        # einsum and not @: BLAS rounds a row differently in batches of different sizes.
        spread = noise * self._root if self._root.ndim == 1 else np.einsum("ni,ij->nj", noise, self._root)
        return SampleSet(self.mean + spread)

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

    def tensors(self) -> Mapping[str, np.ndarray]:
        """mean, covariance, and a training curve without points: a closed form has no steps."""
        curve = {"curve.images_seen": np.empty(0, np.int64), "curve.loss": np.empty(0)}
        return {"mean": self.mean, "covariance": self.covariance, **curve}

    @classmethod
    def stored_bytes(cls, options: GaussianOptions, shape: tuple[int, ...]) -> int:
        """The mean and the covariance in float64."""
        (dimension,) = shape
        return 8 * dimension * (2 if options.covariance == "diagonal" else 1 + dimension)

    @classmethod
    def load(cls, tensors: Mapping[str, np.ndarray], options: Options) -> Self:
        """The Gaussian that ``tensors`` and ``options`` describe."""
        return cls(options, tensors["mean"], tensors["covariance"])
