"""Two Gaussian classes with their labels: what a linear classifier learns, and a verifier of labels knows."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import Judgement
from ..models.options import Options
from .base import as_rows, judged, noise, words


class TwoClassesOptions(Options):
    """How many inputs there are, and how far apart the classes."""

    dimension: int = Field(10, ge=1, description="number of inputs d")
    separation: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="distance s of either class's mean from the middle, in sd"
    )


@dataclass(frozen=True, eq=False)
class TwoClasses:
    """The law of (x, y) with y = -1 or 1, as likely, and x ~ N(y mu, I) in d dimensions, mu = (separation, 0, .., 0).

    Which label x was drawn with cannot be read from x. So right is the label that the best classifier gives: a row is
    possible if y is the sign of mu'x (of its first number), and its cell is y. Of the real rows a share Phi(s) is right
    (s the separation), not all.

    A flip turns a right label wrong and a wrong one right, so labels that are flipped with chance p, whatever x is, are
    wrong with chance

        e = p Phi(s) + (1 - p)(1 - Phi(s))   where they were drawn from this law,
        e = p                                where they were the best classifier's.

    A verifier that keeps right rows with chance phi and wrong ones with chance psi (Feng et al. 2024, arXiv 2406.07515)
    leaves a share psi e / (psi e + phi (1 - e)) of wrong ones, which is 1/2 at e = 1 / (1 + psi / phi). A classifier
    learns from the mean of y x over what is kept. Where labels are drawn from this law, y x_1 is s on average and |x_1|

        m = sqrt(2 / pi) exp(-s^2 / 2) + s (2 Phi(s) - 1),

    of which (m + s) / 2 belongs to rows that are right before the flip, (m - s) / 2 to the others. So the mean over
    what is kept is 0, and the classifier turns round, at

        p = (phi (m + s) - psi (m - s)) / (2 s (phi + psi)),

    which goes to 1 / (1 + psi / phi) as the classes part: a row near the border is often wrong and counts little.
    """

    PopulationOptions: ClassVar = TwoClassesOptions
    gives: ClassVar = "vectors"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: TwoClassesOptions

    @classmethod
    def population(cls, options: TwoClassesOptions) -> Self:
        """The law that the options describe."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (d + 1,), the label last."""
        return (self.options.dimension + 1,)

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, d + 1) float64, y last; labels 0 for y = -1, 1 for y = 1."""
        check_ask(ask, self)
        (uniform,) = words(ask.seed, ask.start, ask.count, 1)
        label = (uniform[:, 0] > 0.5).astype(np.int64)
        y = 2.0 * label - 1
        inputs = noise(ask.seed, ask.start, ask.count, self.options.dimension)
        inputs[:, 0] += self.options.separation * y
        return SampleSet(np.concatenate([inputs, y[:, None]], axis=1), label)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean 0 (d + 1,) and covariance [[I + mu mu', mu], [mu', 1]] (d + 1, d + 1), float64."""
        size, separation = self.options.dimension + 1, self.options.separation
        covariance = np.eye(size)
        covariance[0, 0] += separation**2
        covariance[0, -1] += separation
        covariance[-1, 0] += separation
        return np.zeros(size), covariance

    @property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (2,) float64: Phi(separation) / 2 for either label."""
        from scipy.special import ndtr

        return np.full(2, ndtr(self.options.separation) / 2)

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each row's label is the sign of mu'x, and the label: cell 0 for -1, 1 for 1.

        data: (n, d + 1) float; rows whose label is neither -1 nor 1, or that are not finite, are impossible.
        """
        rows = as_rows(data, self.options.dimension + 1)
        y = rows[:, -1]
        right = np.isfinite(rows).all(axis=1) & (np.abs(y) == 1) & (rows[:, 0] * y > 0)
        return judged(right, y > 0)
