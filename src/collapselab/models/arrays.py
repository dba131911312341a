"""Arrays as several families make and store them: rows in fixed batches, named parts, roots of covariances."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.kinds import KINDS, kind_of_shape


def in_batches(
    make: Callable[[int], np.ndarray], count: int, start: int, size: int, shape: Sequence[int]
) -> np.ndarray:
    """Rows ``start .. start + count`` of an endless sequence: (count, C, H, W) uint8, or (count, d) float64 where
    ``shape`` has one number.

    The sequence is cut into batches of ``size`` at fixed places, and every batch that holds a wanted row is computed
    whole: a row always has the same neighbours and the same place among them, so the same bits.
    make: batch -> its images (size, C, H, W), float in [-1, 1], or its vectors (size, d).
    """
    batches = range(start // size, -(-(start + count) // size))
    kind = KINDS[kind_of_shape(shape)]
    rows = np.empty((len(batches) * size, *shape), kind.dtypes[-1])
    for index, batch in enumerate(batches):
        made = make(batch)
        rows[index * size : (index + 1) * size] = kind.from_unit(made)
    first = start - batches.start * size
    return rows[first : first + count]


def part(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Those whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def no_curve() -> dict[str, np.ndarray]:
    """A training curve without points, as a closed form has it: it takes no steps."""
    return {"curve.images_seen": np.empty(0, np.int64), "curve.loss": np.empty(0)}


def symmetric_root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of covariances (..., d, d).

    Unlike a Cholesky factor it exists for a collapsed covariance, and it changes continuously with it, so that arms
    that share their noise stay comparable.
    """
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def check_parts(own: Mapping[str, np.ndarray], given: Mapping[str, Any], what: str) -> None:
    """Raise ValueError unless named arrays have the names and the shapes of others. what: they are called."""
    found, allowed = ({name: np.shape(array) for name, array in arrays.items()} for arrays in (given, own))
    if found != allowed:
        raise ValueError(f"{what}: found {found}, allowed are {allowed}")
