"""Which samples are kept, why, and by whom."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from .. import seeds
from ..store import SampleSet

if TYPE_CHECKING:  # who selects by no features does not depend on how they are made
    from ..features import Features


@dataclass(frozen=True)
class Selection:
    """The rows that are kept.

    rows: (n,) int64, ascending. scores: (n,) float64, NaN where the selector has none. reasons: n words. judge: who
    decided. altered: (n, ...) samples that take the place of the kept rows where a correction changed them, or None.
    """

    rows: np.ndarray
    scores: np.ndarray
    reasons: tuple[str, ...]
    judge: str
    altered: np.ndarray | None = None


class Seen(NamedTuple):
    """What a selector may look at: the samples and the training split, in the feature space that it ``reads``.

    Never the held-out images, which the metrics compare with: the judge is not the prosecutor.
    """

    samples: "Features"
    train: "Features"


class Waiting(Exception):
    """People have not finished judging; the message says who is waited for and where."""


class Options(BaseModel):
    """Options of one selector."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Selector(NamedTuple):
    """A way to select.

    select: ``f(samples, seen, options, seed) -> Selection``. reads: the extractor whose features it is ``seen``; None
    for a selector that looks at no features, which gets None.
    """

    Options: type[Options]
    select: Callable[[SampleSet, Seen | None, Any, int], Selection]
    reads: str | None = None


class NoOptions(Options):
    """Nothing to choose."""


def nobody(samples: SampleSet, seen: Seen | None, options: NoOptions, seed: int) -> Selection:
    """Every sample is kept."""
    count = len(samples)
    return Selection(np.arange(count), np.full(count, np.nan), ("all",) * count, "nobody")


class RandomOptions(Options):
    """How much chance keeps."""

    share: float = Field(gt=0, le=1, description="share of the samples that is kept")


def random(samples: SampleSet, seen: Seen | None, options: RandomOptions, seed: int) -> Selection:
    """A share of the samples, drawn without replacement: the control of every other selector."""
    count = round(options.share * len(samples))
    rows = np.sort(seeds.generator(seed).permutation(len(samples))[:count])
    return Selection(rows, np.full(count, np.nan), ("drawn",) * count, "chance")


SELECTORS: dict[str, Selector] = {
    "nobody": Selector(NoOptions, nobody),
    "random": Selector(RandomOptions, random),
}
