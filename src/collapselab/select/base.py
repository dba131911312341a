"""What a selector is, what it may look at, and what it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.choice import Options
from ..core.kinds import KindName
from ..core.needs import NOTHING, Needs
from ..core.sets import Ballots, SampleSet
from ..store.cells import Cell

if TYPE_CHECKING:  # who selects by no features does not depend on how they are made
    from ..features import Features
    from ..models.base import Model


@dataclass(frozen=True)
class Selection:
    """The rows that are kept.

    rows: (n,) int64, ascending. scores: (n,) float64, NaN where the selector has none. reasons: n words. judge: who
    decided.
    """

    rows: np.ndarray
    scores: np.ndarray
    reasons: tuple[str, ...]
    judge: str


def check_selection(selection: Any, count: int, keeps: int) -> None:
    """Raise ValueError unless a selection is one of ``count`` samples, of which ``keeps`` are kept, each once."""
    if not isinstance(selection, Selection):
        raise ValueError(f"gave a {type(selection).__name__}, allowed is a Selection")
    rows = np.asarray(selection.rows)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer) or (np.diff(rows) <= 0).any():
        raise ValueError("rows: found others than whole numbers that rise, allowed are those: each is kept once")
    if len(rows) and not 0 <= rows[0] <= rows[-1] < count:
        raise ValueError(f"rows: found {rows[0]} to {rows[-1]}, allowed are those of {count} samples")
    if len(rows) != keeps:
        raise ValueError(f"rows: found {len(rows)}, allowed are {keeps}, as many as its options say of {count} samples")
    if not len(selection.scores) == len(selection.reasons) == len(rows):
        raise ValueError(
            f"scores, reasons: found {len(selection.scores)}, {len(selection.reasons)}, one a row is allowed"
        )


class Seen(NamedTuple):
    """What a selector sees through one extractor: the samples, and the training split.

    Never the held-out images, which the metrics compare with: the judge is not the prosecutor.
    """

    samples: "Features"
    train: "Features"


class Pool(NamedTuple):
    """What is chosen from, and what a selector is handed beside it: whatever its ``needs`` name, and nothing else.

    samples: as they are released, after all transforms. cell: where they stand in the study. seen: by extractor.
    scores: what the rewards give them that the options name, (n,) float64 by option. model: the one that made them.
    ballots: people's judgements of them, whose round is closed.
    """

    samples: SampleSet
    cell: Cell
    seen: Mapping[str, Seen] = {}
    scores: Mapping[str, np.ndarray] = {}
    model: "Model | None" = None
    ballots: Ballots | None = None

    def __len__(self) -> int:
        return len(self.samples)


class SelectorOptions(Options):
    """Options of a selector."""

    def keeps(self, count: int) -> int:
        """How many of ``count`` samples are kept, which is known before anybody has looked at them."""
        return count


@dataclass(frozen=True)
class Selector:
    """A way to select.

    select: ``f(pool, options, seed) -> Selection``, a pure function, of people's ballots, too. needs: what the pool
    holds beside the samples. takes: the kinds of data that it can judge.
    """

    Options: type[SelectorOptions]
    select: Callable[[Pool, Any, int], Selection]
    needs: Needs = NOTHING
    takes: tuple[KindName, ...] = ("images", "vectors", "categories")
