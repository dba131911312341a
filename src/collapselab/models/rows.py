"""Rows as networks of vectors see them: standardised, and with random numbers of their own."""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np

from .. import seeds
from .base import Diverged, TrainingSet

SMALLEST = 1e-300  # below it squares are no longer float64 numbers of full precision


@dataclass(frozen=True, eq=False)
class Scale:
    """Where rows lie and how wide they are: z = (x - location) / scale.

    location, scale: (d,) float64. They are those of the training set, and not of an earlier model that a training
    starts from: a network then sees numbers of mean 0 and variance 1 wherever a loop has wandered and however narrow
    its data have become, so that what is learned does not depend on the data's unit and origin.
    """

    location: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, training: TrainingSet, *, shared: bool = False) -> Self:
        """The weighted mean and standard deviation (with divisor n) of the vectors (N, d) of a training set.

        shared: one scale for all dimensions, the root of their mean variance, by which round noise stays round. A
        standard deviation of 0 is replaced by 1. Raises Diverged where a moment is not finite.
        """
        data = np.asarray(training.data, np.float64)
        shares = training.weights / training.weights.sum()
        with np.errstate(over="ignore", invalid="ignore"):
            location = shares @ data
            variance = shares @ np.square(data - location)
        if not (np.isfinite(location).all() and np.isfinite(variance).all()):
            raise Diverged(len(data), float("nan"))
        if shared:
            variance = np.full_like(variance, variance.mean())
        return cls(location, np.sqrt(np.where(variance > SMALLEST, variance, 1.0)))

    def standardised(self, data: np.ndarray) -> np.ndarray:
        """The rows as numbers of mean 0 and variance 1, float64. They are not rounded before the mean is gone."""
        return (np.asarray(data, np.float64) - self.location) / self.scale

    def training(self, training: TrainingSet) -> TrainingSet:
        """The training set with standardised rows, float32, as the loop takes them."""
        return TrainingSet(self.standardised(training.data).astype(np.float32), training.labels, training.weights)

    def restored(self, rows: np.ndarray) -> np.ndarray:
        """What :meth:`standardised` undoes: the rows in the data's own units, float64."""
        return self.location + self.scale * np.asarray(rows, np.float64)


def check_rows(data: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the rows are those of a model of ``shape``: uint8 images or float vectors."""
    images = len(shape) == 3
    fits = data.dtype == np.uint8 if images else np.issubdtype(data.dtype, np.floating)
    if not fits or data.shape[1:] != shape:
        kind = "uint8 images" if images else "float vectors"
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, allowed are {kind} of shape {shape}")


def own_uniforms(seed: int, row: np.ndarray, count: int, width: int | None = None) -> np.ndarray:
    """Uniform numbers in (0, 1) that belong to one row, whatever it stands beside: (count, width) float64.

    They come from the seed and the row's bytes. width: as many as the row has numbers, by default.
    """
    digest = hashlib.sha256(f"{seed}|".encode() + row.tobytes()).digest()
    return seeds.uniforms(int.from_bytes(digest[:8], "big") >> 1, 0, count, row.size if width is None else width)
