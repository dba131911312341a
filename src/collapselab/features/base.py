"""What features are: what a sample looks like to a metric or a selector, as a row of numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel

from ..distances import squared_distances

Weights = Mapping[str, np.ndarray]
Array = Any  # a numpy array, or a torch tensor on any device
STORED = ("values", "classes", "probabilities")


class Undefined(ValueError):
    """The features at hand determine no value: there are too few rows, or numbers that are not finite."""


@dataclass(frozen=True, eq=False)
class Features:
    """n samples as rows of d numbers.

    values: (n, d) float32 or float64.
    classes: (n,) int64, which class each sample looks like; None where the extractor has no opinion.
    probabilities: (n, C) float32, how much it looks like each class; None where the extractor has no opinion.
    names: what the d columns are called; None where they are coordinates.
    moments: mean (d,) and covariance (d, d) in float64 where they are known exactly, as of a population; None where
    they have to be estimated from the values.
    """

    values: Array
    classes: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    moments: tuple[np.ndarray, np.ndarray] | None = None
    _radii: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, samples: "Features | Array") -> Self:
        """The features themselves; or an array (n, d) or a torch tensor, wrapped."""
        return samples if isinstance(samples, Features) else cls(samples)

    def __len__(self) -> int:
        return len(self.values)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file holds of them, by name; :meth:`from_arrays` undoes it."""
        return {name: array for name in STORED if (array := getattr(self, name)) is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], names: tuple[str, ...] | None = None) -> Self:
        """The features that a file holds."""
        return cls(**arrays, names=names)

    def require(self, rows: int, role: str) -> None:
        """Raise Undefined unless there are ``rows`` rows or more and all values are finite; ``role`` is their name."""
        if len(self) < rows:
            raise Undefined(f"{role}: found {len(self)} rows, needed are at least {rows}")
        bad = np.count_nonzero(~np.isfinite(self.values).all(axis=1))
        if bad:
            raise Undefined(f"{role}: {bad} of {len(self)} rows have features that are not finite")

    def radii(self, k: int) -> np.ndarray:
        """The distance of each row to its k-th nearest other row: (n,) float64, computed once for each k.

        Raises Undefined when there are no k other rows.
        """
        if k < 1:
            raise ValueError(f"k: found {k!r}, allowed are whole numbers from 1")
        if k not in self._radii:
            self.require(k + 1, f"radii of {k} neighbours")
            radii = np.empty(len(self))
            for rows, squared in squared_distances(self.values, self.values):
                squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
                radii[rows] = np.sqrt(np.partition(squared, k - 1, axis=1)[:, k - 1])
            self._radii[k] = radii
        return self._radii[k]


@dataclass(frozen=True)
class Extractor:
    """How features are made.

    extract: ``f(data, weights=None) -> Features`` with the data of a sample set. What weights are is the extractor's
    own: None, the arrays that ``train`` returned, the path of a file or folder of a published network (``published``),
    or a trained generative model (``of_model``).
    train: ``f(data, labels, seed, options, *, held_out) -> (weights, info)``; None for what is not trained here.
    Options: what a study can say of it, a model; None for nothing.
    takes: the kinds of data that it can look at.
    published: the weights that ``collapselab weights`` knows it by; it needs a path, and never fetches by itself.
    of_model: it looks at data through the model of each generation.
    statistic: its columns are numbers of their own and no space in which distances mean something: only metrics that
    name it read it.
    gives: what its features have beside their values, where data have it: classes, probabilities.
    facts: how it looks, as far as numbers depend on it: batch, resize, precision; they stand in the fingerprint.
    uses_torch: whether it runs on the device.
    """

    extract: Callable[..., Features]
    train: Callable[..., tuple[dict[str, np.ndarray], dict[str, Any]]] | None = None
    Options: type[BaseModel] | None = None
    takes: tuple[Literal["images", "vectors", "categories"], ...] = ("images",)
    published: str | None = None
    of_model: bool = False
    statistic: bool = False
    gives: tuple[Literal["classes", "probabilities"], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    uses_torch: bool = False

    @property
    def trained(self) -> bool:
        """Whether the workflow trains it, and so needs images with labels to learn from."""
        return self.train is not None
