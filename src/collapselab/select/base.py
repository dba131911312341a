"""What a selector is, what it may look at, and what it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field

from ..core.ask import Ask
from ..core.choice import Options
from ..core.facts import Facts, no_fault
from ..core.kinds import KindName, Part
from ..core.needs import NOTHING, Needs
from ..core.sets import Ballots, KeptTable, SampleSet
from ..core.sets import Seen as Seen
from ..store.cells import Cell

if TYPE_CHECKING:
    from ..models.base import Model


@dataclass(frozen=True)
class Selection:
    """The rows that are kept.

    rows: (n,) int64, ascending. scores: (n,) float64, NaN where the selector has none. reasons: n words. judge: who
    decided. weights: (n,) float64, positive: how much each row counts in training sets; None where all count the same.
    """

    rows: np.ndarray
    scores: np.ndarray
    reasons: tuple[str, ...]
    judge: str
    weights: np.ndarray | None = None


def check_selection(selection: Any, count: int, keeps: int) -> None:
    """Raise ValueError unless a selection is of ``count`` samples ``keeps`` or fewer, each once."""
    if not isinstance(selection, Selection):
        raise ValueError(f"gave a {type(selection).__name__}, allowed is a Selection")
    rows = np.asarray(selection.rows)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer) or (np.diff(rows) <= 0).any():
        raise ValueError("rows: found others than whole numbers that rise, allowed are those: each is kept once")
    if len(rows) and not 0 <= rows[0] <= rows[-1] < count:
        raise ValueError(f"rows: found {rows[0]} to {rows[-1]}, allowed are those of {count} samples")
    if len(rows) > keeps:
        raise ValueError(
            f"rows: found {len(rows)}, allowed are {keeps} or fewer, as its options say of {count} samples"
        )
    if not len(selection.scores) == len(selection.reasons) == len(rows):
        raise ValueError(
            f"scores, reasons: found {len(selection.scores)}, {len(selection.reasons)}, one a row is allowed"
        )
    weights = selection.weights
    if weights is not None and (np.shape(weights) != (len(rows),) or not ((weights > 0) & (weights < np.inf)).all()):
        raise ValueError("weights: found others than one positive number a row, allowed are those")


@dataclass(frozen=True)
class Twin:
    """What the selector of another arm has kept, as chance is to keep as many: its samples' labels and its table."""

    labels: np.ndarray | None
    kept: KeptTable


@dataclass(frozen=True, eq=False)
class Pool:
    """What is chosen from, and what a selector is handed beside it: whatever its ``needs`` name, and nothing else.

    samples: as they are released, after all transforms; of a chain of selectors those that the ones before have kept.
    cell: where they stand in the study. seen: by extractor. scores: what the rewards give them that the options name,
    (n,) float64 by option. model: the one that made them. ballots: people's judgements of them, whose round is closed;
    rows are those of these samples. train: the training split. twin: what another arm's selector has kept. places:
    (n,) int64, where each of the samples stands among those that its model gave; None where they are all of them.
    ask: what the model was asked for when it gave them, with the seed; asked the same again, it gives the same.
    p_mark: (n,) float64, how likely each were to look as marked as it does if it had not the arm's mark.
    """

    samples: SampleSet
    cell: Cell
    seen: Mapping[str, Seen] = field(default_factory=dict)
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    model: "Model | None" = None
    ballots: Ballots | None = None
    train: SampleSet | None = None
    twin: Twin | None = None
    places: np.ndarray | None = None
    ask: Ask | None = None
    p_mark: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def of(self, rows: np.ndarray) -> Self:
        """The pool of some of its samples, (n,) int64, ascending."""
        from ..features import taken

        own = self.samples
        columns = {name: np.asarray(column)[rows] for name, column in own.aux.items()}
        labels = None if own.labels is None else own.labels[rows]
        places = rows if self.places is None else self.places[rows]
        return replace(
            self,
            samples=replace(own, data=own.data[rows], labels=labels, aux=columns),
            seen={name: Seen(taken(one.samples, rows), one.train) for name, one in self.seen.items()},
            scores={option: score[rows] for option, score in self.scores.items()},
            ballots=None if self.ballots is None else self.ballots.of(rows),
            places=places,
            p_mark=None if self.p_mark is None else self.p_mark[rows],
        )


def no_labels(options: Any) -> str:
    """Of a selector that reads no labels of the samples."""
    return ""


class SelectorOptions(Options):
    """Options of a selector."""

    def keeps(self, count: int) -> int:
        """How many of ``count`` samples are wanted, which is known before anybody has looked at them."""
        return count


class ShareOptions(SelectorOptions):
    """How much is kept."""

    share: float = Field(gt=0, le=1, description="share of the samples that is kept")

    def keeps(self, count: int) -> int:
        """The share of ``count``, rounded."""
        return round(self.share * count)


@dataclass(frozen=True)
class Selector:
    """A way to select.

    select: ``f(pool, options, seed) -> Selection``, a pure function, of people's ballots, too; it keeps as many as its
    options say (``keeps``), or fewer where it finds no more that are good enough: then the study's policy counts.
    needs: what the pool holds beside the samples. takes: the kinds of data that it can judge. asks: what the model has
    to be able to do, where it needs one (``models.capabilities``). weighs: whether it may give weights. reads: the part
    of the features that it reads, which an extractor of the user's choice has to give.
    fault: ``f(facts, options) -> str``: what keeps it from working on data of which so much is known; empty if nothing.
    unlabelled: ``f(options) -> str``: what keeps it from working on samples without labels; empty if nothing.
    """

    Options: type[SelectorOptions]
    select: Callable[[Pool, Any, int], Selection]
    needs: Needs = NOTHING
    takes: tuple[KindName, ...] = ("images", "vectors", "categories", "audio", "sequences")
    asks: tuple[type, ...] = ()
    weighs: bool = False
    reads: Part = "values"
    fault: Callable[[Facts, Any], str] = no_fault
    unlabelled: Callable[[Any], str] = no_labels
