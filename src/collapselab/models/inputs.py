"""Checks of what families are given: training sets, and sizes that files say."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import seeds
from ..core.errors import Diverged
from ..core.kinds import KINDS, KindName, kind_of
from ..core.sets import TrainingSet

# -- training sets -----------------------------------------------------------------------------------------------------


def weighted_rows(training: TrainingSet, family: str, kinds: Sequence[KindName] = ("vectors",)) -> tuple[Any, Any]:
    """The rows of a training set that have weight, and their weights: (N, d) float64 and (N,) float64.

    Images are rows of their pixels in [-1, 1], in the order (C, H, W). kinds: "vectors", "images" or both, which the
    family takes. Raises ValueError for data of other kinds, weights below 0, or no row with weight, and Diverged when
    a number is not finite.
    """
    data, weights = np.asarray(training.data), np.asarray(training.weights, np.float64)
    kind = kind_of(data)
    if kind not in kinds:
        allowed = " and ".join(kinds)
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, allowed with {family} are {allowed}")
    rows = KINDS[kind].to_unit(data).reshape(len(data), math.prod(data.shape[1:])).astype(np.float64)
    if not (np.isfinite(rows).all() and np.isfinite(weights).all()):
        raise Diverged(len(data), float("nan"))
    if (weights < 0).any() or not weights.any():
        raise ValueError(f"weights: allowed with {family} are numbers from 0 up, not all 0")
    seen = weights > 0
    return (rows, weights) if seen.all() else (rows[seen], weights[seen])


def dequantised(images: np.ndarray, seed: int) -> np.ndarray:
    """The pixels of uint8 images b as numbers (b + u - 1/2) / 127.5 - 1 with u uniform in (0, 1): (n, C H W) float64.

    With a density p of them, log p - C H W log 127.5 is a lower bound in expectation of the log-mass of the bytes
    (Theis, van den Oord and Bethge 2016, arXiv 1511.01844). u comes from the seed and the image's own bytes.
    """
    rows = images.reshape(len(images), math.prod(images.shape[1:]))
    names = (f"dequantise/{hashlib.sha256(row.tobytes()).hexdigest()}" for row in rows)
    uniform = [seeds.uniforms(seeds.seed_of(seed, None, None, name), 0, 1, rows.shape[1])[0] for name in names]
    return (rows + np.reshape(uniform, rows.shape) - 0.5) / 127.5 - 1


def image_shape(training: TrainingSet, classes: int, what: str = "training") -> tuple[int, int, int]:
    """The shape (C, H, W) of the images of a training set, or ``what`` else it is, for a network of so many classes.

    Raises ValueError unless it has uint8 images, weights that one can draw by, and, with classes, labels below them.
    """
    data = training.data
    if not KINDS["images"].holds(data) or not len(data):
        raise ValueError(
            f"{what} data: found {data.dtype} of shape {data.shape}, allowed are uint8 images (N, C, H, W), N > 0"
        )
    _check_rows(training, classes, what)
    return data.shape[1:]


def row_shape(training: TrainingSet, classes: int = 0, what: str = "training") -> tuple[int, ...]:
    """The shape of a row, (C, H, W) of uint8 images, (d,) of float vectors or (bands, frames) of log-mel pictures;
    otherwise as :func:`image_shape`."""
    data = training.data
    if not (data.ndim in (2, KINDS["audio"].ndim) and np.issubdtype(data.dtype, np.floating) and data.size):
        if not KINDS["images"].holds(data) or not len(data):
            raise ValueError(
                f"{what} data: found {data.dtype} of shape {data.shape}, allowed are uint8 images (N, C, H, W) and "
                "float vectors (N, d) or log-mel pictures (N, bands, frames), N > 0"
            )
        return image_shape(training, classes, what)
    _check_rows(training, classes, what)
    return data.shape[1:]


def _check_rows(training: TrainingSet, classes: int, what: str) -> None:
    labels, weights = training.labels, training.weights
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise ValueError(f"{what} weights: allowed are finite numbers from 0 up, not all 0")
    if classes and labels is None:
        raise ValueError(f"classes: found {classes}, but the {what} data has no labels; allowed is 0")
    if classes and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"classes: found {classes}, but the {what} data has labels {labels.min()} to {labels.max()}; "
            f"allowed are labels 0 to {classes - 1}"
        )


# -- what files say ----------------------------------------------------------------------------------------------------


def checked_shape(sizes: Sequence[int]) -> tuple[int, int, int]:
    """The shape (C, H, W) that a file says. Raises ValueError for what are no sizes of images, up to 4096 pixels."""
    shape = tuple(int(size) for size in sizes)
    if len(shape) != 3 or not all(1 <= size <= 4096 for size in shape):
        raise ValueError(f"shape: found {shape}, allowed are three numbers (C, H, W) from 1 to 4096")
    return shape


def checked_row_shape(sizes: Sequence[int]) -> tuple[int, ...]:
    """The shape of a row that a file says: :func:`checked_shape`, (d,) of vectors with up to 2^20 numbers, or (bands,
    frames) of clips, up to 4096 each."""
    if len(sizes) == 2:
        return checked_shape([1, *sizes])[1:]
    if len(sizes) != 1:
        return checked_shape(sizes)
    if not 1 <= int(sizes[0]) <= 2**20:
        raise ValueError(f"shape: found ({int(sizes[0])},), allowed is one number (d,) from 1 to {2**20}")
    return (int(sizes[0]),)
