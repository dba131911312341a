"""The Poisson family: counts of independent rates, and a known truth to draw real data from. A loop of its fits is a
branching process, so that how fast a rate is forgotten is known exactly (Suresh et al. 2024,
https://arxiv.org/abs/2412.17646; ``theory``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from ..core import seeds
from ..core.ask import Ask
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .arrays import no_curve
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES
from .inputs import weighted_rows
from .options import Options
from .stored import Stored

FEW = 10.0  # the rate up to which adding up the masses is quicker than solving for the count
LARGEST_RATE = 1e6  # up to it the inverse of the law is exact to the last count


class PoissonOptions(Options):
    """A Poisson law is fitted without a choice: by maximum likelihood."""


class PoissonPopulation(Options):
    """A known truth of independent counts that real data is drawn from."""

    dimension: int = Field(1, ge=1, description="number of counts in a row")
    rate: float | tuple[float, ...] = Field(1.0, description="one mean > 0 for all counts, or a list of them")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.rate, tuple) and len(self.rate) != self.dimension:
            raise ValueError(
                f"rate has {len(self.rate)} numbers; dimension: {self.dimension} needs as many, or one number"
            )
        if not (np.min(self.rate) > 0 and np.max(self.rate) <= LARGEST_RATE):
            raise ValueError(f"rate must be above 0 and up to {LARGEST_RATE:g}; got {self.rate}")
        return self


@dataclass(frozen=True, eq=False)
class Poissons:
    """R Poisson laws side by side, which are fitted and drawn together; each comes out as it would alone, bit for bit.

    rates: (R, d) float64.
    """

    rates: np.ndarray

    @classmethod
    def fit(cls, data: np.ndarray, weights: np.ndarray, options: PoissonOptions, numbers: Sequence[int]) -> Self:
        """The weighted means, as :meth:`Poisson.fit` has them.

        data: (R, n, d) float64. weights: (R, n) float64, or (1, n) for all alike. numbers: a seed each, which play no
        part. Raises ValueError for data that are no counts, and for means that are too large to be sampled exactly.
        """
        wrong = (data < 0) | (data != np.floor(data))
        if wrong.any():
            raise ValueError(f"data: found {data[wrong][0]:g}, allowed with poisson are counts: 0, 1, 2, ...")
        rates = (weights[:, None, :] @ data)[:, 0] / weights.sum(axis=1)[:, None]
        if rates.max() > LARGEST_RATE:
            raise ValueError(f"data: found a mean of {rates.max():g}, allowed with poisson are up to {LARGEST_RATE:g}")
        return cls(rates)

    @classmethod
    def of(cls, law: "Poisson") -> Self:
        """One law, as a stack of one."""
        return cls(law.rates[None])

    @property
    def means(self) -> np.ndarray:
        """The rates: (R, d)."""
        return self.rates

    @property
    def variances(self) -> np.ndarray:
        """The rates: (R, d)."""
        return self.rates

    @property
    def covariances(self) -> np.ndarray:
        """The variances, since counts do not mix: (R, d)."""
        return self.rates

    def sample(self, count: int, numbers: Sequence[int], sampling_bias: float = 1.0) -> np.ndarray:
        """Samples ``0 .. count`` of each law, by its seed among ``numbers``: (R, count, d); one law does for all.

        Raises ValueError for a bias that is not 1.
        """
        if sampling_bias != 1:
            raise ValueError(f"sampling_bias: found {sampling_bias!r}, allowed with poisson is 1")
        return self.invert(seeds.stacked_uniforms(numbers, count, self.rates.shape[1]))

    def invert(self, uniform: np.ndarray) -> np.ndarray:
        """The least counts whose cumulative probabilities reach uniform numbers (R, n, d): float64."""
        from scipy.stats import poisson

        rates = np.broadcast_to(self.rates[:, None], uniform.shape)
        counts, few = np.empty_like(uniform), rates <= FEW
        counts[few] = _least(uniform[few], rates[few])
        counts[~few] = poisson.ppf(uniform[~few], rates[~few])
        return counts


@dataclass(frozen=True, eq=False)
class Poisson:
    """The law of independent counts with given means, which are their variances too: rates (d,) float64 from 0."""

    Options: ClassVar = PoissonOptions
    PopulationOptions: ClassVar = PoissonPopulation
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    gives: ClassVar = "vectors"
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}
    takes_counts: ClassVar = True

    options: Options
    rates: np.ndarray

    @classmethod
    def population(cls, options: PoissonPopulation) -> Self:
        """The known truth that the options describe: its samples are the real data."""
        return cls(options, np.broadcast_to(np.asarray(options.rate, np.float64), (options.dimension,)).copy())

    @classmethod
    def fit(cls, training: TrainingSet, options: PoissonOptions, run: Run, init: Self | None = None) -> Self:
        """The weighted means of the counts, which maximise the likelihood: rate = sum w x / sum w.

        A rate of 0 gives zeros alone, for ever. The fit is in closed form: of the other arguments none has a part in
        it.

        training.data: (N, d) float, whole numbers from 0. Raises ValueError for other data, and for means that are too
        large to be sampled exactly; Diverged for numbers that are not finite.
        """
        rows, weights = weighted_rows(training, "poisson")
        stack = Poissons.fit(np.ascontiguousarray(rows)[None], weights[None], options, [run.seed])
        return cls(options, stack.rates[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d,)."""
        return self.rates.shape

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: data (count, d) float64, whole numbers from 0.

        Each count is the least whose cumulative probability reaches a uniform number of its own. The bias has to be 1.
        """
        check_ask(ask, self)
        uniform = seeds.uniforms(ask.seed, ask.start, ask.count, len(self.rates))
        return SampleSet(Poissons.of(self).invert(uniform[None])[0])

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log of the mass of each row in nats, (n,) float64: -inf for what is no row of counts that can occur.

        sum_i x_i log rate_i - rate_i - log x_i!. data: (n, d) float. Seed, steps and probes have no part in it.
        """
        from scipy.special import gammaln, xlogy

        data = np.asarray(data, np.float64)
        counts = (data >= 0) & (data == np.floor(data)) & np.isfinite(data)
        safe = np.where(counts, data, 0.0)
        logs = xlogy(safe, self.rates) - self.rates - gammaln(safe + 1)
        return np.where(counts, logs, -np.inf).sum(axis=1)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (d,) and covariance (d, d): the rates, and the same on the diagonal."""
        return self.rates, np.diag(self.rates)

    def stored(self) -> Stored:
        """rates, and a training curve without points."""
        return Stored({"rates": self.rates, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: PoissonOptions, shape: tuple[int, ...], rows: int) -> int:
        """The rates in float64."""
        (width,) = shape
        return 8 * width

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The law that ``stored`` describes. Raises ValueError for rates below 0."""
        rates = stored.tensors["rates"]
        if not (rates >= 0).all():
            raise ValueError(f"rates: found {rates.min():g}, allowed are numbers from 0")
        return cls(options, rates)


def _least(uniform: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """The least counts whose cumulative masses reach uniform numbers, by adding up: both (n,) float64."""
    counts, left = np.zeros_like(uniform), np.arange(len(uniform))
    mass = np.exp(-rates)
    reached = mass.copy()
    for count in range(1, int(FEW + 12 * FEW**0.5) + 40):  # beyond it lies less than any uniform number leaves
        still = reached[left] < uniform[left]
        left = left[still]
        if not len(left):
            break
        counts[left] = count
        mass[left] *= rates[left] / count
        reached[left] += mass[left]
    return counts
