"""What kinds of data there are: how their samples are stored, and how they become numbers that models compute with.

A kind is known by the type and the number of axes of the data; that is asked here and nowhere else.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .images import to_uint8, to_unit
from .sound import to_float32

KindName = Literal["images", "vectors", "categories", "sequences", "audio"]
"""What a sample is: (C, H, W) uint8, (d,) float32 or float64, one int64, (length,) int32 tokens, or a clip's log-mel
picture (bands, frames) float32 (``core.sound``)."""

Part = Literal["values", "classes", "probabilities"]
"""What features say of a sample: numbers, which class it looks like, how much it looks like each."""


def as_they_are(data: np.ndarray) -> np.ndarray:
    """The data, of which nothing is made."""
    return data


@dataclass(frozen=True)
class Kind:
    """One kind of data.

    ndim: the number of axes of data, that of the samples included. dtypes: the types that its numbers may have, and
    itemsize: the bytes of the largest. to_unit: from data to the numbers that models compute with; from_unit: and back.
    """

    name: KindName
    ndim: int
    dtypes: tuple[type, ...]
    itemsize: int
    to_unit: Callable[[np.ndarray], np.ndarray] = as_they_are
    from_unit: Callable[[np.ndarray], np.ndarray] = as_they_are

    def holds(self, data: Any) -> bool:
        """Whether an array is data of this kind."""
        return data.ndim == self.ndim and data.dtype in self.dtypes

    def row_bytes(self, shape: Sequence[int]) -> int:
        """The most bytes that a sample of this shape takes when it is stored."""
        return self.itemsize * math.prod(shape)


KINDS: dict[KindName, Kind] = {
    "images": Kind("images", 4, (np.uint8,), 1, to_unit, to_uint8),
    "vectors": Kind("vectors", 2, (np.float32, np.float64), 8),
    "categories": Kind("categories", 1, (np.int64,), 8),
    "sequences": Kind("sequences", 2, (np.int32,), 4),
    "audio": Kind("audio", 3, (np.float32,), 4, as_they_are, to_float32),
}

NOUNS: dict[KindName, str] = {
    "images": "images",
    "vectors": "rows",
    "categories": "rows",
    "sequences": "sequences",
    "audio": "clips",
}
"""What samples of a kind are called where they are counted."""

SHOWN: tuple[KindName, ...] = ("images", "audio", "sequences")
"""Kinds whose single samples tell a reader something: pictures, clips and texts."""

PICTURED: tuple[KindName, ...] = ("images", "audio")
"""Kinds of which a report shows pictures: of clips their spectrograms."""


def kind_of(data: np.ndarray) -> KindName | None:
    """The kind of data; None for what is of no kind, as the empty array is that stands for samples of no model."""
    return next((name for name, kind in KINDS.items() if kind.holds(data)), None)


def kind_of_shape(shape: Sequence[int]) -> KindName:
    """The kind of samples of a shape, of families of pixels and numbers: (C, H, W), (d,), () or (bands, frames).

    Sequences have the shape of vectors, and are told from them by their type alone (:func:`kind_of`): who takes both
    asks that. Raises ValueError for other shapes.
    """
    for name, kind in KINDS.items():
        if kind.ndim == 1 + len(shape):
            return name
    raise ValueError(f"shape: found {tuple(shape)}, allowed are (C, H, W), (d,), () and (bands, frames)")


def check_taken(what: str, takes: Sequence[KindName], kind: KindName | None, where: str) -> None:
    """Raise ValueError unless data of a kind are among those that an entry takes. what: the entry, as ``reward 'a'``.

    where: which data they are, as ``samples``.
    """
    if kind not in takes:
        raise ValueError(f"{what}: {where}: found {kind or 'data of no kind'}, allowed are {' and '.join(takes)}")
