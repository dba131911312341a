"""What features are: what a sample looks like to a metric or a selector, as a row of numbers."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self
from weakref import WeakKeyDictionary

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj
from pydantic import BaseModel

from ..core.choice import Names, NoOptions
from ..core.distances import Array, centre, nearest_distances, row_blocks
from ..core.errors import Undefined
from ..core.kinds import KindName
from ..core.needs import NOTHING, Needs

Weights = Mapping[str, np.ndarray]
LARGEST = 1e25  # beyond it, what metrics compute of products of features may overflow


@dataclass(frozen=True, eq=False)
class Features:
    """n samples as rows of d numbers.

    values: (n, d) float32 or float64, a numpy array or a torch tensor on any device; other numbers become float64.
    classes: (n,) int64, which class each sample looks like; None where the extractor has no opinion.
    probabilities: (n, C) float32, how much it looks like each class; None where the extractor has no opinion.
    names: what the d columns are called; None where they are coordinates.
    moments: mean (d,) and covariance (d, d) in float64 where they are known exactly, as of a population; None where
    they have to be estimated from the values.

    What is dear to compute is computed once and kept. It can be stored, and handed over when the features are read
    again (``with_statistics``):

    sample_moments: mean (d,) and covariance (d, d) over n - 1 of the values, float64.
    neighbour_distances: (n, K) float64, the distances of each row to its K nearest other rows, ascending.
    """

    values: Array
    classes: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    moments: tuple[Array, Array] | None = None
    sample_moments: tuple[Array, Array] | None = None
    neighbour_distances: Array | None = None
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)
    _kept_beside: "WeakKeyDictionary[Features, dict[Hashable, Any]]" = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _as_numbers(self.values))
        for part in ("classes", "probabilities", "neighbour_distances"):
            array = getattr(self, part)
            if array is not None and len(array) != len(self.values):
                found = f"{len(array)} rows for {len(self.values)} rows of values"
                raise ValueError(f"{part}: found {found}, allowed are equal numbers")

    @classmethod
    def of(cls, samples: "Features | Array") -> Self:
        """The features themselves; or an array (n, d) or a torch tensor, wrapped."""
        return samples if isinstance(samples, Features) else cls(samples)

    def __len__(self) -> int:
        return len(self.values)

    def once(self, key: Hashable, make: Callable[[], Any], beside: "Features | None" = None) -> Any:
        """What ``make()`` gave the first time: for these features, or as long as those ``beside`` them live."""
        kept = self._kept if beside is None else self._kept_beside.setdefault(beside, {})
        if key not in kept:
            kept[key] = make()
        return kept[key]

    def to(self, where: Any) -> Self:
        """The same features with their values as a torch tensor on a torch device, where metrics are then computed."""
        import torch

        def moved(array: Array | None) -> Array | None:
            # A copy: arrays of files are read-only, which torch has no tensors for.
            return None if array is None else torch.tensor(np.asarray(array), device=where)

        pairs = (self.moments, self.sample_moments)
        moments, sample_moments = (tuple(map(moved, pair)) if pair else None for pair in pairs)
        neighbours = moved(self.neighbour_distances)
        own = {"moments": moments, "sample_moments": sample_moments, "neighbour_distances": neighbours}
        return replace(self, values=moved(self.values), **own)

    def require(self, rows: int, role: str, largest: float = LARGEST) -> None:
        """Raise Undefined unless there are ``rows`` rows or more, of finite values; ``role`` is their name."""
        if len(self) < rows:
            raise Undefined(f"{role}: found {len(self)} rows, needed are at least {rows}")
        bad = self.once(("bad rows", largest), lambda: self._bad_rows(largest))
        if bad:
            raise Undefined(
                f"{role}: {bad} of {len(self)} rows have features that are not finite, or beyond {largest:g}"
            )
        if not self.values.shape[1]:
            raise Undefined(f"{role}: found rows of no numbers, needed is at least 1")

    def radii(self, k: int) -> Array:
        """The distance of each row to its k-th nearest other row: (n,) float64, where the values are.

        Raises Undefined when there are no k other rows.
        """
        if k < 1:
            raise ValueError(f"k: found {k!r}, allowed are whole numbers from 1")
        self.require(k + 1, f"radii of {k} neighbours")
        known = self.neighbour_distances
        if known is not None and known.shape[1] >= k:
            xp = array_namespace(self.values)
            return self.once(("radii", k), lambda: xp.asarray(known[:, k - 1], device=device(self.values)))
        return self.once(("radii", k), lambda: nearest_distances(self.values, k)[:, k - 1])

    def mean_and_covariance(self) -> tuple[Array, Array]:
        """The exact moments where they are known, otherwise those of the sample: (d,) and (d, d) float64, over n - 1.

        The rows are summed in blocks around their mean. Equal rows have a covariance of exactly 0. There have to be two
        rows or more.
        """
        if self.moments is not None:
            return self.moments
        return self.sample_moments or self.once("moments", self._mean_and_covariance)

    def with_statistics(self, k: int) -> Self:
        """The same features with the distances to the k nearest rows and sample moments, to be stored with them.

        Moments only of more rows than columns: of fewer, a covariance is larger than the rows, which say the same.

        Raises Undefined when there are no k other rows or values that are not finite.
        """
        self.require(max(k + 1, 2), "features")
        moments = self.sample_moments
        if moments is None and len(self) > self.values.shape[1]:
            moments = self._mean_and_covariance()
        return replace(self, sample_moments=moments, neighbour_distances=nearest_distances(self.values, k))

    def _bad_rows(self, largest: float) -> int:
        xp = array_namespace(self.values)
        blocks = (self.values[rows, :] for rows in row_blocks(self.values, self.values.shape[1]))
        return int(sum(xp.count_nonzero(~xp.all(xp.abs(block) <= largest, axis=1)) for block in blocks))

    def _mean_and_covariance(self) -> tuple[Array, Array]:
        xp, width = array_namespace(self.values), self.values.shape[1]
        mean = centre(self.values)
        covariance = xp.zeros((width, width), dtype=xp.float64, device=device(self.values))
        for rows in row_blocks(self.values, width):
            deviations = self.values[rows, :] - mean
            covariance += deviations.T @ deviations
        return mean[0, :], covariance / (len(self) - 1)


def taken(features: Features, rows: np.ndarray | slice) -> Features:
    """Some rows of features, whose moments are only estimated by them."""
    parts = (features.classes, features.probabilities)
    classes, probabilities = (None if part is None else part[rows] for part in parts)
    return Features(features.values[rows], classes, probabilities, features.names)


def _as_numbers(values: Any) -> Array:
    """Rows as float32 or float64, without a gradient. Raises ValueError for what are no rows of real numbers."""
    if not is_array_api_obj(values) or isinstance(values, np.ma.MaskedArray):
        kind = type(values).__name__
        raise ValueError(f"features: found {kind}, allowed are a numpy array or a torch tensor, of rows (n, d)")
    if values.ndim != 2:
        raise ValueError(f"features: found an array of shape {tuple(values.shape)}, allowed are rows (n, d)")
    values = values.detach() if hasattr(values, "detach") else values
    xp = array_namespace(values)
    if values.dtype in (xp.float32, xp.float64):
        return values
    if "complex" in str(values.dtype) or getattr(values.dtype, "kind", "f") not in "fiub":
        raise ValueError(f"features: found an array of {values.dtype}, allowed are real numbers")
    return xp.astype(values, xp.float64)


ExtractorName = Annotated[str, Names("extractors")]
"""An option that names an extractor to look through; what the extractor is told stands under a study's extractors."""


@dataclass(frozen=True)
class Extractor:
    """How features are made.

    extract: ``f(data, weights=None) -> Features`` with the data of a sample set. What weights are follows from what it
    looks through (``needs.through``): None; the arrays that ``train`` returned; the path of a file or folder of a
    published network; a trained generative model; or the known truth.
    train: ``f(data, labels, seed, options, *, held_out) -> (weights, info)``, for what is learnt; else None.
    Options: what a study can say of it.
    takes: the kinds of data that it can look at.
    needs: what it looks through.
    statistic: its columns are numbers of their own and no space in which distances mean something: only metrics that
    name it read it.
    gives: what its features have beside their values, where data have it: classes, probabilities.
    facts: how it looks, as far as numbers depend on it: batch, resize, precision; they stand in the fingerprint.
    uses_torch: whether it runs on the device.
    symbols: whether its numbers are names of something and no sizes, so that nothing is chosen by them.
    """

    extract: Callable[..., Features]
    train: Callable[..., tuple[dict[str, np.ndarray], dict[str, Any]]] | None = None
    Options: type[BaseModel] = NoOptions
    takes: tuple[KindName, ...] = ("images",)
    needs: Needs = NOTHING
    statistic: bool = False
    gives: tuple[Literal["classes", "probabilities"], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    uses_torch: bool = False
    symbols: bool = False

    def tells(self, part: str, kind: str) -> bool:
        """Whether features of data of a kind have a part: values, classes or probabilities; categories are classes."""
        return part == "values" or part in self.gives or (part == "classes" and kind == "categories")
