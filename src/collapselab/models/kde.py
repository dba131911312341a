"""The kernel density estimate: a normal cloud around every training row.

Its loops inflate: each generation adds the variance of the kernel. A kernel of width 0 is the bootstrap, which only
repeats rows and loses them as a multinomial does (``theory``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.ask import Ask
from ..core.errors import Diverged
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .arrays import no_curve, symmetric_root
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES
from .inputs import weighted_rows
from .options import Options
from .stored import Stored


class KDEOptions(Options):
    """How wide the kernel is."""

    bandwidth: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["scott", "silverman"] = Field(
        "scott",
        description="the kernel's standard deviation in units of the data, 0 for the bootstrap; or a rule by which its "
        "covariance is a share of the rows': scott or silverman",
    )


@dataclass(frozen=True, eq=False)
class KDE:
    """The equal or weighted mixture of normal laws around rows.

    rows: (N, d) float64. weights: (N,) float64 that sum to 1, or (0,) where all are equal. kernel: the covariance of
    each normal law, (d, d) float64.
    """

    Options: ClassVar = KDEOptions
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = "kernel covariance factor"
    conditions: ClassVar = ()
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: Options
    rows: np.ndarray
    weights: np.ndarray
    kernel: np.ndarray

    @classmethod
    def fit(cls, training: TrainingSet, options: KDEOptions, run: Run, init: Self | None = None) -> Self:
        """The rows and a kernel: h^2 I for a bandwidth h, or by a rule f^2 S with the rows' covariance S and

            scott       f = n^(-1 / (d + 4))                     (Scott 1992)
            silverman   f = (n (d + 2) / 4)^(-1 / (d + 4))       (Silverman 1986, equation 4.14)

        S = sum w (x - mean)(x - mean)' / (1 - sum w^2), which for equal weights divides by n - 1, and n = 1 / sum w^2,
        for weights w of sum 1, as in ``scipy.stats.gaussian_kde``. The fit is in closed form: of the other arguments
        none has a part in it.

        training.data: (N, d) float. Raises ValueError for other data, or for a rule and fewer than 2 rows with weight,
        and Diverged for numbers that are not finite.
        """
        rows, weights = weighted_rows(training, "kde")
        shares, dimension = weights / weights.sum(), rows.shape[1]
        if isinstance(options.bandwidth, str):
            if len(rows) < 2:
                raise ValueError(
                    f"kde with bandwidth: {options.bandwidth} needs at least 2 rows with weight; got {len(rows)}"
                )
            size = 1 / np.square(shares).sum()
            scale = {"scott": 1.0, "silverman": (dimension + 2) / 4}[options.bandwidth]
            factor = (size * scale) ** (-1 / (dimension + 4))
            kernel = factor**2 * _moments(rows, shares)[1] / (1 - 1 / size)
        else:
            kernel = np.eye(dimension) * options.bandwidth**2
        if not np.isfinite(kernel).all():
            raise Diverged(len(rows), float("nan"))
        return cls(options, rows, shares if np.ptp(weights) else np.empty(0), kernel)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d,)."""
        return self.rows.shape[1:]

    @cached_property
    def _root(self) -> np.ndarray:
        return symmetric_root(self.kernel)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, as data (count, d) float64: a row by its weight, and the kernel's noise.

        ask.bias multiplies the covariance of the kernel.
        """
        check_ask(ask, self)
        uniform = seeds.uniforms(seeds.seed_of(ask.seed, None, None, "rows"), ask.start, ask.count, 1)[:, 0]
        if self.weights.size:
            cumulative = np.cumsum(self.weights)
            chosen = np.searchsorted(cumulative / cumulative[-1], uniform, side="left")
        else:
            chosen = (uniform * len(self.rows)).astype(np.int64)
        noise = seeds.normals(ask.seed, ask.start, ask.count, self.rows.shape[1]) * np.sqrt(ask.bias)
        # einsum and not @: BLAS rounds a row differently in batches of different sizes.
        return SampleSet(self.rows[chosen] + np.einsum("ni,ij->nj", noise, self._root))

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-density of each row in nats, (n,) float64: nan where the kernel is flat, as in the bootstrap.

        data: (n, d) float. In coordinates in which the kernel is N(0, I), by scikit-learn's ``KernelDensity`` without
        any tolerance. Seed, steps and probes have no part in it.
        """
        from sklearn.neighbors import KernelDensity

        variances, directions = np.linalg.eigh(self.kernel)
        if not (variances > len(variances) * np.finfo(np.float64).eps * variances[-1]).all():
            return np.full(len(data), np.nan)
        whiten = directions / np.sqrt(variances)
        estimate = KernelDensity(bandwidth=1.0, kernel="gaussian").fit(
            np.einsum("ni,ij->nj", self.rows, whiten), sample_weight=self.weights if self.weights.size else None
        )
        whitened = np.einsum("ni,ij->nj", np.asarray(data, np.float64), whiten)
        return estimate.score_samples(whitened) - np.log(variances).sum() / 2

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (d,) of the rows and covariance (d, d), theirs over n and the kernel's, float64."""
        mean, scatter = _moments(self.rows, self.weights if self.weights.size else None)
        return mean, scatter + self.kernel

    def stored(self) -> Stored:
        """rows, weights, kernel, and a training curve without points."""
        return Stored({"rows": self.rows, "weights": self.weights, "kernel": self.kernel, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: KDEOptions, shape: tuple[int, ...], rows: int) -> int:
        """The kernel and the rows in float64."""
        (dimension,) = shape
        return 8 * dimension**2 + 8 * dimension * rows

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The estimate that ``stored`` and ``options`` describe."""
        return cls(options, stored.tensors["rows"], stored.tensors["weights"], stored.tensors["kernel"])


def _moments(rows: np.ndarray, shares: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the covariance of a law that has the rows with these shares; None: with equal ones."""
    mean = np.average(rows, axis=0, weights=shares)
    with np.errstate(over="ignore", invalid="ignore"):
        centred = rows - mean
        scaled = centred * (shares[:, None] if shares is not None else 1 / len(rows))
        return mean, scaled.T @ centred
