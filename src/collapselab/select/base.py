"""What a selector is, what it may look at, and what it gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..core.sets import SampleSet

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
