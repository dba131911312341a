"""Keeping what carries no mark: a detector throws out what it takes for generated."""

import numpy as np
from pydantic import Field

from .base import Pool, Selection, ShareOptions


class UnmarkedOptions(ShareOptions):
    """How suspicious the detector is, and how much is handed over."""

    rate: float = Field(0.01, gt=0, lt=1, description="false alarms that are allowed, as a share of unmarked samples")
    share: float = Field(gt=0, le=1, description="share of the samples that is kept: the first that pass as unmarked")


def unmarked(pool: Pool, options: UnmarkedOptions, seed: int) -> Selection:
    """The first ``share`` of the samples in which the detector of the arm's mark finds none, or fewer if fewer pass.

    A sample passes whose p-value is above ``rate``: of marked ones a share 1 - b, with b the detector's rate of hits.
    Of rows of which a share q is synthetic, a share q (1 - b) / (q (1 - b) + (1 - q)(1 - a)) still is, where real ones
    are thrown out at the rate a (:func:`collapselab.theory.purged_share`). p-values are those that the extractor
    ``mark`` measures: of one key in pixels by real training images, else by the law over the keys. scores: p-values.
    """
    if not len(pool):
        return Selection(np.arange(0), np.empty(0), (), "detector of marks")
    rows = np.flatnonzero(pool.p_mark > options.rate)[: options.keeps(len(pool))]
    return Selection(rows, pool.p_mark[rows], ("no mark found",) * len(rows), "detector of marks")
