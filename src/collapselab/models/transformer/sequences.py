"""Sequences as families of networks take them."""

from dataclasses import replace

import numpy as np

from ...core.sequences import check_tokens
from ...core.sets import TrainingSet


def as_fed(training: TrainingSet) -> TrainingSet:
    """A training set as the loop is fed with it: tokens as float32, in which every whole number up to 2^24 is exact."""
    return replace(training, data=training.data.astype(np.float32))


def check_training(training: TrainingSet, vocabulary: int) -> None:
    """Raise ValueError unless a training set has int32 tokens (N, L) of the vocabulary, and weights to draw by."""
    check_tokens(training.data, vocabulary, "training data")
    weights = training.weights
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise ValueError("training weights: allowed are finite numbers from 0 up, not all 0")


def check_scored(data: np.ndarray, vocabulary: int, length: int) -> None:
    """Raise ValueError unless data are int32 tokens of the vocabulary, in sequences of up to ``length``."""
    check_tokens(data, vocabulary)
    if data.shape[1] > length:
        raise ValueError(f"data: found sequences of {data.shape[1]} tokens, allowed are 1 to {length}, the model's")
