"""Samples, and what is said of their rows: which make a training set, which were kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .kinds import KINDS, KindName, kind_of


@dataclass(frozen=True)
class SampleSet:
    """N samples with where they come from.

    data: (N, C, H, W) uint8 images, (N, d) float32 or float64 vectors, (N,) int64 categories, (N, length) int32
    sequences, of which the lineage says the vocabulary (:mod:`core.sequences`), or (N, bands, frames) float32 log-mel
    pictures of clips.
    labels: (N,) int64, or None.
    aux: what the sampler can tell about each sample, columns of length N.
    lineage: JSON-like; who made this from what (hashes of the inputs, options, seeds).
    kind: what the data are, found out where it is not said; None for data of no kind, as of a model that diverged.
    Raises ValueError for data that are not of the kind that is said.
    """

    data: np.ndarray
    labels: np.ndarray | None = None
    aux: Mapping[str, np.ndarray] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    kind: KindName | None = None

    def __post_init__(self) -> None:
        if self.kind is None:
            object.__setattr__(self, "kind", kind_of(self.data))
        elif self.kind not in KINDS or not KINDS[self.kind].holds(self.data):
            raise ValueError(f"data: found {self.data.dtype} of shape {self.data.shape}, which are no {self.kind}")

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True)
class TrainingSet:
    """data: (N, ...) as in a sample set. labels: (N,) int64, or None. weights: (N,) float64, 1 by default."""

    data: np.ndarray
    labels: np.ndarray | None
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.data)


class Reference(NamedTuple):
    """Rows of one stored sample set that take part in a training set."""

    source: str  # SHA-256 of the sample set's file
    path: str  # where that file lies, relative to the project
    rows: np.ndarray  # (n,) int64
    origin: str  # real or synthetic
    arm: str  # whose samples, or which kind of real data
    generation: int
    labels: np.ndarray | None  # (n,) int64
    weight: float


@dataclass(frozen=True)
class TrainingTable:
    """A training set as references: which rows of which stored sample sets, in order, with weight and origin.

    row_weights: (N,) float64, by which the weight of each row is multiplied; None where a selector has given none.
    """

    references: tuple[Reference, ...]
    lineage: Mapping[str, Any] = field(default_factory=dict)
    row_weights: np.ndarray | None = None

    def __len__(self) -> int:
        return sum(len(reference.rows) for reference in self.references)


@dataclass(frozen=True)
class Ballots:
    """What people said of samples: one judgement a row, of a round that is closed.

    rows: (n,) int64, the sample that was judged. judges: n names, by which nobody is known. answers: n words.
    seconds: (n,) float64, how long it was looked at, NaN where nobody knows. lineage: ``pool``, the SHA-256 of the
    sample set's file, and how the round was held.
    """

    rows: np.ndarray
    judges: tuple[str, ...]
    answers: tuple[str, ...]
    seconds: np.ndarray
    lineage: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def votes(self) -> np.ndarray:
        """The places of the ballots that are the first of their judge on a sample, rising: a later one is a repeat."""
        first: dict[tuple[str, int], int] = {}
        for place, one in enumerate(zip(self.judges, np.asarray(self.rows).tolist(), strict=True)):
            first.setdefault(one, place)
        return np.array(list(first.values()), np.int64)

    def of(self, rows: np.ndarray) -> "Ballots":
        """The judgements of some of the samples, (n,) int64, ascending, by their places among these."""
        there = np.flatnonzero(np.isin(self.rows, rows))
        words = (tuple(column[one] for one in there) for column in (self.judges, self.answers))
        return Ballots(np.searchsorted(rows, self.rows[there]), *words, self.seconds[there], self.lineage)


class Seen(NamedTuple):
    """What a selector or a transform sees through one extractor: features of the samples, and of the training split.

    Never of the held-out images, which the metrics compare with: the judge is not the prosecutor.
    """

    samples: Any
    train: Any


@dataclass(frozen=True)
class KeptTable:
    """Which rows of a sample set were kept, why, and by whom.

    rows: (n,) int64. scores: (n,) float64, NaN where the selector has none. reasons, judge: words. weights: (n,)
    float64, how much each row counts in a training set, or None where all count the same.
    """

    rows: np.ndarray
    scores: np.ndarray
    reasons: tuple[str, ...]
    judge: str
    lineage: Mapping[str, Any] = field(default_factory=dict)
    weights: np.ndarray | None = None
