"""What a known truth offers: real data without end, and where it can, the last word on what is possible."""

from typing import Any, ClassVar, Protocol, Self

import numpy as np

from ..core import seeds
from ..core.ask import Ask, Condition
from ..core.kinds import KindName
from ..core.sets import SampleSet
from ..models.capabilities import Judgement
from ..models.options import Options


def words(seed: int, start: int, count: int, *widths: int) -> list[np.ndarray]:
    """Uniform numbers in (0, 1), one array (count, width) float64 for each width; row i depends on (seed, i) alone."""
    return np.split(seeds.uniforms(seed, start, count, sum(widths)), np.cumsum(widths)[:-1], axis=1)


def noise(seed: int, start: int, count: int, width: int) -> np.ndarray:
    """Standard normal numbers (count, width) float64, independent of the :func:`words` of the same seed."""
    return seeds.normals(seeds.seed_of(seed, None, None, "noise"), start, count, width)


def choices(shares: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """For each uniform number in (0, 1) the entry whose cumulative share it falls into: int64, of the same shape.

    shares: (K,) float64 >= 0, of any sum. The first entry whose cumulative share reaches the number: one without a
    share is never it.
    """
    cumulative = np.cumsum(shares)
    return np.searchsorted(cumulative / cumulative[-1], uniform, side="left").astype(np.int64)


def as_rows(data: np.ndarray, width: int) -> np.ndarray:
    """The data as (n, width) float64. Raises ValueError for others."""
    data = np.asarray(data)
    if data.ndim != 2 or data.shape[1] != width or data.dtype.kind not in "fiu":
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, allowed are rows of {width} numbers")
    return data.astype(np.float64)


def judged(possible: np.ndarray, cell: np.ndarray) -> Judgement:
    """The judgement with cells where samples are possible, and -1 elsewhere."""
    return Judgement(possible, np.where(possible, cell, -1).astype(np.int64))


class Population(Protocol):
    """A law that is known exactly: a few trained families (Gaussian, multinomial), and laws made for their truth.

    gives: the kind of its data. bias, conditions: as of a model, what it can be asked for. One that :class:`Judges` has
    cells with known ``masses``, so that precision, recall and coverage have true values beside their estimates; one
    that :class:`Knows` its moments is compared with exactly.
    """

    PopulationOptions: ClassVar[type[Options]]
    gives: ClassVar[KindName]
    bias: ClassVar[str]
    conditions: ClassVar[tuple[Condition, ...]]
    uses_torch: ClassVar[bool]
    options: Options

    @classmethod
    def population(cls, options: Any) -> Self:
        """The law that the options describe."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (C, H, W), (d,) or ()."""
        ...

    def sample(self, ask: Ask) -> SampleSet:
        """Draws ``ask.start .. ask.start + ask.count`` of the sequence that ``ask.seed`` names."""
        ...
