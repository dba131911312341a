"""Sequences as families of networks take them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...core.sets import TrainingSet


def as_fed(training: TrainingSet) -> TrainingSet:
    """A training set as the loop is fed with it: tokens as float32, in which every whole number up to 2^24 is exact."""
    return replace(training, data=training.data.astype(np.float32))


def checked_vocabulary(training: TrainingSet, known: int) -> int:
    """How many tokens the sequences of a training set are of, which is ``known``.

    Raises ValueError for what are no sequences, for tokens that are not known, and for weights one cannot draw by.
    """
    data, weights = training.data, training.weights
    if data.ndim != 2 or data.dtype != np.int32 or not data.size:
        raise ValueError(
            f"training data: found {data.dtype} of shape {data.shape}, allowed are int32 sequences (N, L), N > 0"
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise ValueError("training weights: allowed are finite numbers from 0 up, not all 0")
    if not 0 <= data.min() <= data.max() < known:
        raise ValueError(f"vocabulary: found tokens {data.min()} to {data.max()}, allowed are 0 to {known - 1}")
    return known


def check_scored(data: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless data are sequences of up to as many tokens as a model's."""
    if data.ndim != 2 or data.dtype != np.int32 or not 1 <= data.shape[1] <= shape[0]:
        raise ValueError(
            f"data: found {data.dtype} of shape {data.shape}, allowed are int32 sequences of 1 to {shape[0]} tokens"
        )


def scored(data: np.ndarray, vocabulary: int, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """What ``score`` says of the sequences whose tokens are all of the vocabulary; -inf of others: (n,) float64."""
    known = ((data >= 0) & (data < vocabulary)).all(axis=1)
    found = np.full(len(data), -np.inf)
    found[known] = score(data[known])
    return found
