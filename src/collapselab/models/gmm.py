"""The mixture of normal laws, fitted by expectation and maximisation (scikit-learn)."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.ask import Ask
from ..core.errors import Diverged
from ..core.kinds import KindName
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .arrays import no_curve, symmetric_root
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES
from .inputs import weighted_rows
from .options import Options
from .stored import Stored


class GMMOptions(Options):
    """How many components there are, and how they are fitted."""

    components: int = Field(ge=1, description="number of normal laws in the mixture")
    covariance: Literal["full", "tied", "diag", "spherical"] = Field(
        "full", description="full: one of its own each; tied: one for all; diag: diagonal; spherical: a number times I"
    )
    regularisation: float = Field(
        1e-6, ge=0, allow_inf_nan=False, description="added to all variances, so that no component can become a point"
    )
    restarts: int = Field(1, ge=1, description="fits from different starts, of which the likeliest is taken")
    iterations: int = Field(100, ge=1, description="most iterations of a fit; one that has not converged is taken")

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"components": 2}

    def check_rows(self, rows: int) -> None:
        if rows < self.components:
            raise ValueError(f"gmm with components: {self.components} needs as many rows; got {rows}")


@dataclass(frozen=True, eq=False)
class GMM:
    """The mixture sum_k weight_k N(mean_k, covariance_k).

    weights: (K,) float64. means: (K, d) float64. covariances: float64, (K, d, d) full, (d, d) tied, (K, d) diag or
    (K,) spherical.
    """

    Options: ClassVar = GMMOptions
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = "covariance factor in each component"
    conditions: ClassVar = ()
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: GMMOptions
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def fit(cls, training: TrainingSet, options: GMMOptions, run: Run, init: Self | None = None) -> Self:
        """A local maximum of the likelihood, by EM from k-means, which ``seed`` starts, or from the model ``init``.

        Rows that are all equal leave K components at one place with the variance ``regularisation``. EM counts every
        row once: unequal weights are refused, but for those of 0. Of the other arguments none has a part in it.

        training.data: (N, d) float. Raises ValueError for other data, unequal weights, fewer rows than components or an
        ``init`` of another form, and Diverged where a covariance is not positive definite: without regularisation, or
        with one that is lost in the rounding of large numbers.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        rows, weights = weighted_rows(training, "gmm")
        if np.ptp(weights):
            found = f"{weights.min():g} to {weights.max():g}"
            raise ValueError(f"weights: found {found}, allowed with gmm are equal ones, and 0")
        options.check_rows(len(rows))
        try:
            start = {} if init is None else init._as_start(options, rows.shape[1])
            mixture = GaussianMixture(
                options.components,
                covariance_type=options.covariance,
                reg_covar=options.regularisation,
                n_init=1 if start else options.restarts,
                max_iter=options.iterations,
                random_state=run.seed % 2**32,
                **start,
            )
            with warnings.catch_warnings():
                # Fewer different rows than components, or a fit that could go on: a collapsing loop meets both.
                warnings.simplefilter("ignore", ConvergenceWarning)
                mixture.fit(rows)
        except (ValueError, np.linalg.LinAlgError) as error:
            if "ill-defined" in str(error) or isinstance(error, np.linalg.LinAlgError):
                raise Diverged(len(rows), float("nan")) from error
            raise
        return cls(options, mixture.weights_, mixture.means_, mixture.covariances_)

    def _as_start(self, options: GMMOptions, dimension: int) -> dict[str, np.ndarray]:
        """What scikit-learn starts from. Raises ValueError for options or data of another form."""
        for name in ("components", "covariance"):
            found, wanted = getattr(self.options, name), getattr(options, name)
            if found != wanted:
                raise ValueError(f"init: found a gmm with {name}: {found}, allowed is {name}: {wanted}")
        if self.means.shape[1] != dimension:
            raise ValueError(f"init: found a gmm of {self.means.shape[1]} dimensions, allowed are {dimension}")
        precisions = 1 / self.covariances if self.covariances.ndim < 2 or options.covariance == "diag" else None
        if precisions is None:
            precisions = np.linalg.inv(self.covariances)
        return {"weights_init": self.weights, "means_init": self.means, "precisions_init": precisions}

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d,)."""
        return self.means.shape[1:]

    @cached_property
    def _full(self) -> np.ndarray:
        """The covariance of each component, (K, d, d)."""
        components, dimension = self.means.shape
        identity = np.eye(dimension)
        return {
            "full": lambda: self.covariances,
            "tied": lambda: np.broadcast_to(self.covariances, (components, dimension, dimension)),
            "diag": lambda: self.covariances[:, :, None] * identity,
            "spherical": lambda: self.covariances[:, None, None] * identity,
        }[self.options.covariance]()

    @cached_property
    def _roots(self) -> np.ndarray:
        return symmetric_root(self._full)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: data (count, d) float64.

        ask.bias multiplies the covariance of every component; means and weights stay.
        """
        check_ask(ask, self)
        uniform = seeds.uniforms(seeds.seed_of(ask.seed, None, None, "components"), ask.start, ask.count, 1)[:, 0]
        cumulative = np.cumsum(self.weights)
        chosen = np.searchsorted(cumulative / cumulative[-1], uniform, side="left")
        noise = seeds.normals(ask.seed, ask.start, ask.count, self.means.shape[1]) * math.sqrt(ask.bias)
        data = self.means[chosen]
        for component, root in enumerate(self._roots):
            mine = chosen == component
            # einsum and not @: BLAS rounds a row differently in batches of different sizes.
            data[mine] += np.einsum("ni,ij->nj", noise[mine], root)
        return SampleSet(data)

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-density of each row in nats, (n,) float64: nan where a component is flat to rounding.

        data: (n, d) float. Seed, steps and probes have no part in it.
        """
        data, total = np.asarray(data, np.float64), np.full(len(data), -np.inf)
        for weight, mean, covariance in zip(self.weights, self.means, self._full, strict=True):
            variances, directions = np.linalg.eigh(covariance)
            if not (variances > len(variances) * np.finfo(np.float64).eps * variances[-1]).all():
                return np.full(len(data), np.nan)
            scores = np.einsum("ni,ij->nj", data - mean, directions)
            density = -(np.square(scores) / variances + np.log(2 * np.pi * variances)).sum(axis=1) / 2
            with np.errstate(divide="ignore"):
                total = np.logaddexp(total, density + np.log(weight))
        return total

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (d,) and covariance (d, d), within the components and between their means, float64."""
        mean = self.weights @ self.means
        off = self.means - mean
        return mean, np.einsum("k,kij->ij", self.weights, self._full) + (off.T * self.weights) @ off

    def stored(self) -> Stored:
        """weights, means, covariances, and a training curve without points."""
        arrays = {"weights": self.weights, "means": self.means, "covariances": self.covariances}
        return Stored({**arrays, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: GMMOptions, shape: tuple[int, ...], rows: int) -> int:
        """Weights, means and covariances in float64."""
        k, (dimension,) = options.components, shape
        numbers = {"full": k * dimension**2, "tied": dimension**2, "diag": k * dimension, "spherical": k}
        return 8 * (k * (1 + dimension) + numbers[options.covariance])

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The mixture that ``stored`` and ``options`` describe."""
        return cls(options, stored.tensors["weights"], stored.tensors["means"], stored.tensors["covariances"])
