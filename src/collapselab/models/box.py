"""The smallest generative model: a box around the points, and points uniform in the box.

It gets a point within the box and among the others right, and two wrong: one within the box where no point can be, and
one outside it where points are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

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


class BoxOptions(Options):
    """How much of the points the box has to hold."""

    share: float = Field(
        1.0, gt=0, le=1, description="central share of the rows' weight that it holds in each coordinate; 1: all rows"
    )


@dataclass(frozen=True, eq=False)
class Box:
    """The uniform law between two corners: low and high, (d,) float64."""

    Options: ClassVar = BoxOptions
    takes: ClassVar = ("vectors",)
    density: ClassVar = "exact"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: Options
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def fit(cls, training: TrainingSet, options: BoxOptions, run: Run, init: Self | None = None) -> Self:
        """The box between the rows' quantiles in each coordinate, so that at most (1 - share) / 2 is left on a side.

            low = least x with F(x) >= (1 - share) / 2        high likewise, from above

        F is the weighted distribution of the rows: a quantile is always a row's coordinate. With share 1 they are the
        least and the largest row, the estimate of maximum likelihood. The fit is in closed form: of the other arguments
        none has a part in it.

        training.data: (N, d) float. Raises ValueError for other data, and Diverged for numbers that are not finite.
        """
        rows, weights = weighted_rows(training, "box")
        tail = (1 - options.share) / 2
        low, mirrored = (
            np.quantile(side, tail, axis=0, weights=weights, method="inverted_cdf") for side in (rows, -rows)
        )
        return cls(options, low, -mirrored)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (d,)."""
        return self.low.shape

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, uniform in the box: data (count, d) float64. The bias has to be 1."""
        check_ask(ask, self)
        return SampleSet(
            self.low + (self.high - self.low) * seeds.uniforms(ask.seed, ask.start, ask.count, len(self.low))
        )

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-density of each row in nats, (n,) float64: -inf outside; nan where the box is flat and has none.

        data: (n, d) float. Seed, steps and probes have no part in it.
        """
        sides = self.high - self.low
        if not sides.all():
            return np.full(len(data), np.nan)
        inside = ((data >= self.low) & (data <= self.high)).all(axis=1)
        return np.where(inside, -np.log(sides).sum(), -np.inf)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (d,), the centre, and covariance (d, d), the squared sides over 12, float64."""
        return (self.low + self.high) / 2, np.diag((self.high - self.low) ** 2 / 12)

    def stored(self) -> Stored:
        """low, high, and a training curve without points."""
        return Stored({"low": self.low, "high": self.high, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: BoxOptions, shape: tuple[int, ...], rows: int) -> int:
        """Two corners in float64."""
        (dimension,) = shape
        return 16 * dimension

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The box that ``stored`` and ``options`` describe."""
        return cls(options, stored.tensors["low"], stored.tensors["high"])
