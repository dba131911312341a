"""What a known truth offers: real data without end, and where it can, the last word on what is possible."""

from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np

from ..models.base import Kind, Options
from ..store import SampleSet


class Judgement(NamedTuple):
    """What the truth says of n samples.

    possible: (n,) bool, whether it can be a draw of the population at all. cell: (n,) int64, which cell of the
    population's partition it falls into, 0 .. K - 1; -1 where it is impossible.
    """

    possible: np.ndarray
    cell: np.ndarray


class Population(Protocol):
    """A law that is known exactly: a few trained families (Gaussian, multinomial), and laws made for their truth.

    A population that can ``judge`` has cells: a partition of what is possible into K parts with known masses, so that
    precision, recall and coverage have true values beside their estimates.
    """

    PopulationOptions: ClassVar[type[Options]]
    gives: ClassVar[Kind]
    options: Options

    @classmethod
    def population(cls, options: Any) -> Self:
        """The law that the options describe."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (C, H, W), (d,) or ()."""
        ...

    def sample(self, count: int, seed: int, *, start: int = 0, sampling_bias: float = 1.0) -> SampleSet:
        """Draws ``start .. start + count`` of the endless sequence that ``seed`` names; sampling_bias has to be 1."""
        ...

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (d,) and covariance (d, d); of categories those of the one-hot encoding. May be lacking."""
        ...

    @property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (K,) float64, all above 0; together 1 but for what is called impossible."""
        ...

    def judge(self, data: np.ndarray) -> Judgement:
        """Which of the samples are possible, and their cells. Lacks, with ``masses``, where everything is possible."""
        ...
