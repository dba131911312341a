"""The exact moments of a law, in place of its samples."""

from typing import Any

import numpy as np

from ..models.capabilities import Knows
from .base import Features


def moments(data: np.ndarray, weights: Any = None) -> Features:
    """The mean and the covariance of a model or a known truth, exactly: no samples are looked at.

    values: the mean as one row, (1, d) float64; moments: mean (d,) and covariance (d, d). Of categories they are those
    of the one-hot encoding. Raises ValueError for a family without ``moments``.

    data: not looked at. weights: the model, or the population.
    """
    if not isinstance(weights, Knows):
        family = "None" if weights is None else type(weights).__name__.lower()
        raise ValueError(f"weights: found {family}, moments needs a model of a family that has moments")
    mean, covariance = weights.moments()
    return Features(mean[None], moments=(mean, covariance))
