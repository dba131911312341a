"""Rows as networks see them: of mean 0 and variance 1."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ..core.errors import Diverged
from ..core.images import to_unit
from ..core.kinds import KINDS
from ..core.sets import TrainingSet

SMALLEST = 1e-300  # below it squares are no longer float64 numbers of full precision
BYTE_VARIANCE = 1 / (12 * 127.5**2)  # of a number that is uniform within a byte, in units of [-1, 1]
CHUNK = 4096  # images that are turned into float64 at once


@dataclass(frozen=True, eq=False)
class Scale:
    """Where rows lie and how wide they are: z = (x - location) / scale.

    location, scale: (d,) float64; of images those of the pixels in [-1, 1], in the order (C, H, W). They are those of
    the training set, and not of an earlier model that a training starts from: a network then sees numbers of mean 0 and
    variance 1 wherever a loop has wandered and however narrow its data have become, so that what is learned does not
    depend on the data's unit and origin.
    """

    location: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, training: TrainingSet, *, shared: bool = False) -> Self:
        """The weighted mean and standard deviation (with divisor n) of a training set.

        shared: one scale for all dimensions, the root of their mean variance, by which round noise stays round. Else
        pixels have the variance of what is uniform within their bytes, beside their own. A standard deviation of 0 is
        replaced by 1. Raises Diverged where a moment is not finite.
        """
        shares = np.asarray(training.weights, np.float64) / np.sum(training.weights)
        with np.errstate(over="ignore", invalid="ignore"):
            location = sum(shares[rows] @ numbers(training.data[rows]) for rows in _chunks(training))
            variance = sum(
                shares[rows] @ np.square(numbers(training.data[rows]) - location) for rows in _chunks(training)
            )
        if not (np.isfinite(location).all() and np.isfinite(variance).all()):
            raise Diverged(len(training), float("nan"))
        if shared:
            variance = np.full_like(variance, variance.mean())
        elif KINDS["images"].holds(training.data):
            variance = variance + BYTE_VARIANCE
        return cls(location, np.sqrt(np.where(variance > SMALLEST, variance, 1.0)))

    def standardised(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, ...) as numbers (n, d) of mean 0 and variance 1, float64, not rounded before the mean is gone."""
        return (np.asarray(rows, np.float64).reshape(-1, self.location.size) - self.location) / self.scale

    def training(self, training: TrainingSet) -> TrainingSet:
        """A training set of vectors or clips with standardised rows (N, d), float32, as the loop takes them."""
        return TrainingSet(self.standardised(training.data).astype(np.float32), training.labels, training.weights)

    def restored(self, rows: np.ndarray) -> np.ndarray:
        """What :meth:`standardised` undoes: the rows in the data's own units, float64."""
        return self.location + self.scale * np.asarray(rows, np.float64)


def numbers(data: np.ndarray) -> np.ndarray:
    """Images as rows of their pixels in [-1, 1], vectors as they are: (n, d) float64."""
    return (to_unit(data) if KINDS["images"].holds(data) else data).reshape(len(data), -1).astype(np.float64)


def _chunks(training: TrainingSet) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, len(training), CHUNK)]
