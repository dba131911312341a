"""The data themselves as features."""

import numpy as np

from ..core.images import to_unit
from ..core.kinds import kind_of
from .base import Features, Weights


def identity(data: np.ndarray, weights: Weights | None = None) -> Features:
    """The vectors themselves, (n, d) in their own precision; categories (n,) are their own classes, as one column."""
    kind = kind_of(data)
    if kind == "categories":
        return Features(data[:, None].astype(np.float64), classes=data)
    if kind == "vectors":
        return Features(data)
    raise ValueError(
        f"data: found {data.dtype} of shape {data.shape}, allowed for identity are float vectors and int64 categories"
    )


def pixels(data: np.ndarray, weights: Weights | None = None) -> Features:
    """The pixels of (n, C, H, W) uint8 images as rows of float32 in [-1, 1]."""
    return Features(to_unit(data).reshape(len(data), -1))
