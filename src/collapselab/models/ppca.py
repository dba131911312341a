"""Probabilistic principal components: a linear decoder of normal latents, with equal noise on every coordinate.
It is what a linear VAE learns, in closed form (Tipping and Bishop 1999, https://doi.org/10.1111/1467-9868.00196; Lucas
et al. 2019, https://arxiv.org/abs/1911.02469). Samples without their noise have the rank of the latents, for good.
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
from ..core.kinds import KINDS, KindName, kind_of_shape
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .arrays import no_curve
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES
from .inputs import checked_row_shape, dequantised, weighted_rows
from .options import Options
from .stored import Stored


class PPCAOptions(Options):
    """How many components there are, and whether samples have noise."""

    components: int = Field(ge=1, description="number of latents k, up to the number of coordinates")
    ddof: Literal[0, 1] = Field(
        description="0: maximum likelihood, divides by n; 1: unbiased, divides by n - 1. As with gaussian it decides "
        "whether generations shrink, so there is no default."
    )
    noise: Literal["keep", "drop"] = Field(
        "keep", description="keep: samples have the model's noise; drop: they are decoded latents alone"
    )

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"components": 2, "ddof": 1}


@dataclass(frozen=True, eq=False)
class PPCA:
    """The normal law with covariance W W' + sigma^2 I, W = U (L - sigma^2)^(1/2).

    mean: (d,) float64. directions: U', (k, d) float64, orthonormal, or rows of 0 where the data have a lower rank.
    variances: the diagonal of L, the k largest eigenvalues, (k,) float64. noise: sigma^2, () float64.
    row_shape: the shape of one sample, (d,), (C, H, W) or (bands, frames); images are rows of their pixels in [-1, 1].
    """

    Options: ClassVar = PPCAOptions
    takes: ClassVar = ("vectors", "images", "audio")
    density: ClassVar = "exact"
    bias: ClassVar = "covariance factor"
    conditions: ClassVar = ()
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: PPCAOptions
    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    noise: np.ndarray
    row_shape: tuple[int, ...]

    @classmethod
    def fit(cls, training: TrainingSet, options: PPCAOptions, run: Run, init: Self | None = None) -> Self:
        """The k first eigenvectors of the rows' covariance, and as noise the mean of its other eigenvalues.

            sigma^2 = sum_{i > k} l_i / (d - k)

        Equations 7 and 8 of Tipping and Bishop, without a rotation of the latents; sigma^2 is 0 for k = d. The
        covariance is that of gaussian, by weights w and ddof: sum w (x - mean)(x - mean)' / (W - ddof sum w^2 / W),
        W = sum w. Fewer rows than coordinates have its eigenvalues in their singular values, so that large images need
        no matrix of all pairs of pixels. The fit is in closed form: of the other arguments none has a part in it.

        training.data: (N, d) float, (N, C, H, W) uint8 or (N, bands, frames) float32. Raises ValueError for other
        data, fewer than 1 + ddof rows with weight or more components than coordinates, and Diverged for numbers that
        are not finite.
        """
        rows, weights = weighted_rows(training, "ppca", cls.takes)
        k, dimension = options.components, rows.shape[1]
        if k > dimension:
            raise ValueError(f"components: found {k}, allowed for rows of {dimension} numbers are 1 to {dimension}")
        if len(rows) <= options.ddof:
            raise ValueError(
                f"ppca with ddof: {options.ddof} needs at least {options.ddof + 1} rows with weight; got {len(rows)}"
            )
        total = weights.sum()
        with np.errstate(over="ignore", invalid="ignore"):
            mean = weights @ rows / total
            centred = (rows - mean) * np.sqrt(weights / (total - options.ddof * (weights @ weights) / total))[:, None]
            trace = np.einsum("ni,ni->", centred, centred)
        if not np.isfinite(trace):
            raise Diverged(len(training), float("nan"))
        if len(rows) > dimension:
            values, vectors = np.linalg.eigh(centred.T @ centred)
            values, found = values[::-1].clip(0.0), vectors.T[::-1]
        else:
            _, singular, found = np.linalg.svd(centred, full_matrices=False)
            values = singular**2
        directions, variances = np.zeros((k, dimension)), np.zeros(k)
        first = min(k, len(values))
        # A direction's sign is the algorithm's choice; with a fixed one, models that are alike decode a latent alike.
        largest = np.take_along_axis(found[:first], abs(found[:first]).argmax(axis=1)[:, None], axis=1)
        directions[:first], variances[:first] = found[:first] * np.sign(largest), values[:first]
        noise = values[k:].sum() / (dimension - k) if k < dimension else 0.0
        return cls(options, mean, directions, variances, np.asarray(noise), training.data.shape[1:])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (d,), (C, H, W) or (bands, frames)."""
        return self.row_shape

    @property
    def _signal(self) -> np.ndarray:
        """The variances of the latents once decoded, l_i - sigma^2; rounding alone could make one negative."""
        return (self.variances - self.noise).clip(0.0)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: data (count, d) float64, (count, C, H, W) uint8 or (count, bands,
        frames) float32, as the data were.

        mean + W z, and sigma e with ``noise: keep``. ask.bias multiplies the covariance.
        """
        check_ask(ask, self)
        k, dimension, keep = len(self.variances), len(self.mean), self.options.noise == "keep"
        drawn = seeds.normals(ask.seed, ask.start, ask.count, k + dimension * keep) * math.sqrt(ask.bias)
        # einsum and not @: BLAS rounds a row differently in batches of different sizes.
        rows = self.mean + np.einsum("nk,kd->nd", drawn[:, :k] * np.sqrt(self._signal), self.directions)
        if keep:
            rows += np.sqrt(self.noise) * drawn[:, k:]
        return SampleSet(KINDS[kind_of_shape(self.row_shape)].from_unit(rows.reshape(ask.count, *self.row_shape)))

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-density in nats of each vector, or the log-mass of each image by :func:`dequantised` bytes: (n,).

        It is that of the model with its noise, even where samples drop it: nan where sigma^2 is 0 and so the law has no
        density, unless all d eigenvalues are components. data: as it was trained on; others raise ValueError. Of the
        other arguments images alone need the seed.
        """
        images = kind_of_shape(self.row_shape) == "images"
        if data.shape[1:] != self.row_shape or images != (data.dtype == np.uint8):
            raise ValueError(
                f"data: found {data.dtype} of shape {data.shape}, allowed are {'uint8 images' if images else 'vectors'}"
                f" of shape {self.row_shape}"
            )
        rows = dequantised(data, seed) if images else np.asarray(data, np.float64).reshape(len(data), self.mean.size)
        k, dimension = self.directions.shape
        eigenvalues = np.append(self.variances, self.noise if k < dimension else [])
        if not (eigenvalues > dimension * np.finfo(np.float64).eps * self.variances[0]).all():
            return np.full(len(data), np.nan)
        centred = rows - self.mean
        scores = np.einsum("nd,kd->nk", centred, self.directions)
        squares = (scores**2 / self.variances).sum(axis=1)
        logs = np.log(self.variances).sum() + dimension * math.log(2 * math.pi)
        if k < dimension:
            # What is left is computed as a residual: the difference of two large sums of squares would lose digits.
            residual = centred - np.einsum("nk,kd->nd", scores, self.directions)
            squares += np.einsum("nd,nd->n", residual, residual) / self.noise
            logs += (dimension - k) * math.log(self.noise)
        return -(squares + logs) / 2 - (dimension * math.log(127.5) if images else 0.0)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (d,) and covariance (d, d) of the samples, of images before they are rounded to bytes."""
        covariance = (self.directions.T * self._signal) @ self.directions
        if self.options.noise == "keep":
            covariance[np.diag_indices_from(covariance)] += self.noise
        return self.mean, covariance

    def stored(self) -> Stored:
        """shape, mean, directions, variances, noise, and a training curve without points."""
        arrays = {"mean": self.mean, "directions": self.directions, "variances": self.variances, "noise": self.noise}
        return Stored({"shape": np.array(self.row_shape, np.int64), **arrays, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: PPCAOptions, shape: tuple[int, ...], rows: int) -> int:
        """The mean, the directions, the variances and the noise in float64."""
        dimension = math.prod(shape)
        return 8 * (dimension + options.components * (dimension + 1) + 1)

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The model that ``stored`` and ``options`` describe. Raises ValueError for a mean of another shape."""
        sizes, mean = stored.tensors["shape"], stored.tensors["mean"]
        shape = checked_row_shape(sizes) if len(sizes) > 1 else mean.shape
        if math.prod(shape) != mean.size:
            raise ValueError(f"shape: found {shape} beside a mean of {mean.size} numbers, allowed are equal numbers")
        return cls(
            options, mean, stored.tensors["directions"], stored.tensors["variances"], stored.tensors["noise"], shape
        )
