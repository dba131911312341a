"""What a training learns from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["images", "vectors", "categories"]
"""What a sample is: (C, H, W) uint8, (d,) float32 or float64, or one int64."""


@dataclass(frozen=True)
class TrainingSet:
    """data: (N, ...) as in a sample set. labels: (N,) int64, or None. weights: (N,) float64, 1 by default."""

    data: np.ndarray
    labels: np.ndarray | None
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.data)
