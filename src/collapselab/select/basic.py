"""Selectors that look at nothing: all that there is, and what chance keeps."""

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.sets import SampleSet
from .base import Options, Seen, Selection


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
