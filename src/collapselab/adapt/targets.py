"""What a model is to forget: which rows of its training set, and which class where it is one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from ..core.choice import FileName, Options
from ..core.distances import on_host
from ..core.errors import Damaged
from ..core.facts import Facts
from ..core.sets import SampleSet, TrainingSet
from ..features.base import ExtractorName
from ..features.logo import LogoOptions, logo
from ..select.hallucination import DETECTORS, WatchingOptions, watching
from ..store import read_samples
from .base import Given
from .tuning import NONE


class AttributeTarget(Options):
    """Rows whose attribute is as high, or as low, as is said."""

    extractor: ExtractorName = Field(description="whose features hold the attribute")
    column: str | int = Field(0, description="the feature's name, or its place from 0")
    least: float | None = Field(None, allow_inf_nan=False, description="rows with at least so much are forgotten")
    most: float | None = Field(None, allow_inf_nan=False, description="rows with at most so much are forgotten")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("least: found null, and most is null, too; say one of them, or both for what lies between")
        return self


class HallucinatedTarget(WatchingOptions):
    """Own samples on whose path the model was unsure: what is watched, and which of them are forgotten."""

    samples: int = Field(1000, ge=2, description="own samples that are made and watched")
    share: float = Field(
        0.05, gt=0, lt=1, description="of these samples, the most suspicious are forgotten, so many of them"
    )


class Forget(Options):
    """What is to be forgotten: one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    class_: int | None = Field(None, ge=0, alias="class", description="a class, by its number")
    images: FileName | None = Field(
        None, description="given rows: a sample set (safetensors), or .npy with rows, or with numbers of training rows"
    )
    attribute: AttributeTarget | None = Field(None, description="rows with an attribute")
    marked: LogoOptions | None = Field(None, description="rows that carry a planted logo")

    hallucinated: HallucinatedTarget | None = Field(
        None, description="own samples on whose path the model was unsure; the training set is kept whole"
    )
    earlier: "tuple[Forget, ...]" = Field(
        (), description="targets of earlier requests: their rows are not among those that are kept"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        said, names = self.said, ", ".join(TARGETS)
        if len(said) != 1:
            raise ValueError(f"found {' and '.join(said) or 'nothing'}; allowed is one of {names}")
        for one in self.earlier:
            if one.earlier or one.hallucinated is not None:
                found = "earlier in earlier" if one.earlier else "hallucinated, which are no training rows"
                allowed = ", ".join(name for name in TARGETS if name != "hallucinated")
                raise ValueError(f"earlier: found {found}; allowed are {allowed}")
        return self

    @property
    def said(self) -> tuple[str, ...]:
        """The targets that are said, by the words of :data:`TARGETS`."""
        return tuple(name for name in TARGETS if self._of(name) is not None)

    @property
    def target(self) -> Any:
        """What is said of the one target."""
        (name,) = self.said
        return self._of(name)

    def _of(self, name: str) -> Any:
        return getattr(self, "class_" if name == "class" else name)


class Target(NamedTuple):
    """What is to be forgotten of a training set.

    training: the training set, without what earlier requests asked for. rows: (N,) bool, which of its rows it is.
    forget: these rows, or those that were given. keep: the other rows of the training set. label: the class, where a
    whole class is forgotten. alike: ``f(samples) -> (n,) bool``, which of other rows are what is forgotten, where that
    can be told of them.
    """

    training: TrainingSet
    rows: np.ndarray
    forget: TrainingSet
    keep: TrainingSet
    label: int | None = None
    alike: Callable[[SampleSet], np.ndarray] | None = None


def unfit(facts: Facts, of: Any, options: Any) -> str:
    """A class that the model is never told, a logo larger than the images, an attribute that its extractor has not."""
    return next(filter(None, (_unfit(facts, of, one) for one in (options.forget, *options.forget.earlier))), "")


def _unfit(facts: Facts, of: Any, forget: Forget) -> str:
    classes = getattr(of, "classes", 0)
    if forget.class_ is not None and classes and forget.class_ >= classes:
        return f"forget: found class {forget.class_}; allowed are 0 to {classes - 1}, the model's classes"
    if forget.marked is not None and forget.marked.size > (side := min(facts.shape[1:], default=0)):
        found = f"forget: marked: found a logo of {forget.marked.size} pixels"
        return f"{found}; the images allow at most {side}" if side else f"{found}; the data are no images"
    if forget.attribute is not None and (columns := facts.columns(forget.attribute.extractor)):
        column, said = forget.attribute.column, f"{forget.attribute.extractor!r} has {', '.join(columns)}"
        if not (column in columns or (isinstance(column, int) and 0 <= column < len(columns))):
            return f"forget: column: found {column!r}; {said}"
    return ""


def target_of(given: Given, forget: Forget) -> Target:
    """What is to be forgotten, found; what earlier requests asked for is no part of the training set.

    Raises ValueError where nothing of it is there, and where nothing else is.
    """
    (name,) = forget.said
    target = _found(given, forget)
    if forget.earlier:
        target = without(target, np.any([_found(given, one).rows for one in forget.earlier], axis=0))
    if not len(target.forget):
        raise ValueError(
            f"forget: {name} is none of the {len(given.training)} training rows; nothing is to be forgotten"
        )
    if not len(target.keep):
        raise ValueError(f"forget: {name} is all of the {len(given.training)} training rows; nothing would be kept")
    return target


def asked_before(given: Given, forget: Forget, samples: SampleSet) -> np.ndarray:
    """Which samples are what earlier requests asked for, (n,) bool: of their class, with their attribute or logo.

    Of given images it is unknown, for a sample is never one of them to the bit.
    """
    alike = [found.alike(samples) for one in forget.earlier if (found := _found(given, one)).alike is not None]
    return np.any([np.zeros(len(samples), bool), *alike], axis=0)


def _found(given: Given, forget: Forget) -> Target:
    (name,) = forget.said
    return TARGETS[name](given, forget.target)


def without(target: Target, gone: np.ndarray) -> Target:
    """A target of a training set from which rows are gone, (N,) bool."""
    training, rows = taken(target.training, ~gone), target.rows[~gone]
    return target._replace(training=training, rows=rows, keep=taken(training, ~rows))


def of_class(given: Given, label: int) -> Target:
    """All rows of a class. Raises ValueError for a training set without labels."""

    def labels_of(rows: TrainingSet | SampleSet) -> np.ndarray | None:
        return rows.data if rows.data.ndim == 1 else rows.labels  # categories are their own classes

    def alike(samples: SampleSet) -> np.ndarray:
        labels = labels_of(samples)
        return np.zeros(len(samples), bool) if labels is None else np.asarray(labels) == label

    labels = labels_of(given.training)
    if labels is None:
        raise ValueError(f"forget: found class {label}, and the training set has no labels; allowed: other targets")
    return parted(given.training, np.asarray(labels) == label, label)._replace(alike=alike)


def of_images(given: Given, file: str) -> Target:
    """Rows of a file, whether they are in the training set or not; where they are, those rows are not kept.

    A row is in the training set if it is there to the bit. Raises ValueError for a file that is none, or of other rows.
    """
    training = given.training
    data, labels = _rows_in(Path(file))
    if data.ndim == 1 and np.issubdtype(data.dtype, np.integer) and training.data.ndim > 1:
        if len(data) and not 0 <= data.min() <= data.max() < len(training):
            found = f"{data.min()} to {data.max()}"
            raise ValueError(f"forget: {file} holds numbers of rows {found}; allowed are 0 to {len(training) - 1}")
        return parted(training, np.isin(np.arange(len(training)), data))
    if data.shape[1:] != training.data.shape[1:] or data.dtype.kind != training.data.dtype.kind:
        found = f"{data.dtype} rows of shape {data.shape[1:]}"
        allowed = f"{training.data.dtype} rows of shape {training.data.shape[1:]}, as the training set's"
        raise ValueError(f"forget: {file} holds {found}; allowed are {allowed}")
    data = data.astype(training.data.dtype, copy=False)
    places = {row.tobytes(): number for number, row in enumerate(np.ascontiguousarray(data))}
    matches = np.array([places.get(row.tobytes(), NONE) for row in np.ascontiguousarray(training.data)], np.int64)
    if training.labels is not None and labels is None:
        labels = np.full(len(data), NONE, np.int64)
        labels[matches[matches != NONE]] = training.labels[matches != NONE]
    labels = None if training.labels is None else labels
    left = parted(training, matches != NONE)
    return left._replace(forget=TrainingSet(data, labels, np.ones(len(data))))


def of_attribute(given: Given, said: AttributeTarget) -> Target:
    """Rows by a feature. Raises ValueError for a column that the extractor has not."""
    features = given.look[said.extractor](given.training.data)
    names = list(features.names or ())
    values = np.asarray(on_host(features.values), np.float64)
    place = names.index(said.column) if said.column in names else said.column
    if not isinstance(place, int) or not 0 <= place < values.shape[1]:
        allowed = ", ".join(names) or f"0 to {values.shape[1] - 1}"
        raise ValueError(f"forget: column: found {said.column!r}; {said.extractor!r} has {allowed}")
    least, most = (-np.inf if said.least is None else said.least), (np.inf if said.most is None else said.most)

    def inside(column: np.ndarray) -> np.ndarray:
        return (column >= least) & (column <= most)

    def alike(samples: SampleSet) -> np.ndarray:
        return inside(np.asarray(on_host(given.look[said.extractor](samples.data).values), np.float64)[:, place])

    return parted(given.training, inside(values[:, place]))._replace(alike=alike)


def of_marked(given: Given, said: LogoOptions) -> Target:
    """Rows that carry a logo, as :func:`features.logo.logo` tells. Raises ValueError for rows that are no images."""

    def carries(data: np.ndarray) -> np.ndarray:
        return logo(data, **said.model_dump()).values[:, 1] == 1

    return parted(given.training, carries(given.training.data))._replace(alike=lambda samples: carries(samples.data))


def of_hallucinated(given: Given, said: HallucinatedTarget) -> Target:
    """Own samples that a detector of ``select.hallucination`` finds the most suspicious; all training rows are kept.

    They are made by the arm's sampling, and watched as they are made. A model that knows classes is told those again.
    """
    watch = watching(said)
    samples = given.own(said.samples, guide=watch)
    scores = DETECTORS[said.by].seen(watch.path(said.samples))
    rows = np.sort(np.argsort(-scores, kind="stable")[: max(1, round(said.share * said.samples))])
    labels = None if samples.labels is None or given.training.labels is None else samples.labels[rows]
    forget = TrainingSet(samples.data[rows], labels, np.ones(len(rows)))
    return Target(given.training, np.zeros(len(given.training), bool), forget, given.training)


def parted(training: TrainingSet, rows: np.ndarray, label: int | None = None) -> Target:
    """A training set parted in rows to forget, (N,) bool, and rows to keep."""
    return Target(training, rows, taken(training, rows), taken(training, ~rows), label)


def taken(training: TrainingSet, rows: np.ndarray) -> TrainingSet:
    """Some rows of a training set, by (N,) bool or by their numbers."""
    labels = None if training.labels is None else training.labels[rows]
    return TrainingSet(training.data[rows], labels, training.weights[rows])


def found(target: Target) -> dict[str, int]:
    """How many rows were to be forgotten, and how many were kept: what adapters say of it in the lineage."""
    return {"forgotten_rows": len(target.forget), "kept_rows": len(target.keep)}


def _rows_in(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The rows of a file, and their labels where it has some. Nothing in the file is run."""
    if not path.exists():
        raise ValueError(f"forget: there is no {path}")
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False), None
        samples = read_samples(path)
    except (Damaged, ValueError, OSError, EOFError, KeyError) as error:
        raise ValueError(
            f"forget: {path} cannot be read: {error}; allowed are sample sets (safetensors) and .npy"
        ) from None
    return samples.data, samples.labels


TARGETS: Mapping[str, Callable[[Given, Any], Target]] = {
    "class": of_class,
    "images": of_images,
    "attribute": of_attribute,
    "marked": of_marked,
    "hallucinated": of_hallucinated,
}
"""What may be forgotten, by the words of :class:`Forget`: ``f(given, what is said) -> Target``."""
