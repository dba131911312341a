"""Selectors that look at nothing: all that there is, and what chance keeps."""

import numpy as np
from pydantic import Field

from ..core import seeds
from .base import Pool, Selection, SelectorOptions


def nobody(pool: Pool, options: SelectorOptions, seed: int) -> Selection:
    """Every sample is kept."""
    count = len(pool.samples)
    return Selection(np.arange(count), np.full(count, np.nan), ("all",) * count, "nobody")


class ShareOptions(SelectorOptions):
    """How much is kept."""

    share: float = Field(gt=0, le=1, description="share of the samples that is kept")

    def keeps(self, count: int) -> int:
        """The share of ``count``, rounded."""
        return round(self.share * count)


def random(pool: Pool, options: ShareOptions, seed: int) -> Selection:
    """A share of the samples, drawn without replacement: the control of every other selector."""
    total, count = len(pool.samples), options.keeps(len(pool.samples))
    rows = np.sort(seeds.generator(seed).permutation(total)[:count])
    return Selection(rows, np.full(count, np.nan), ("drawn",) * count, "chance")
