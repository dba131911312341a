"""Selectors that look at nothing: all that there is, and what chance keeps."""

import numpy as np
from pydantic import Field

from ..core import seeds
from .base import Pool, Selection, SelectorOptions, ShareOptions


def nobody(pool: Pool, options: SelectorOptions, seed: int) -> Selection:
    """Every sample is kept."""
    count = len(pool.samples)
    return Selection(np.arange(count), np.full(count, np.nan), ("all",) * count, "nobody")


def random(pool: Pool, options: ShareOptions, seed: int) -> Selection:
    """A share of the samples, drawn without replacement: the control of every other selector."""
    total, count = len(pool.samples), options.keeps(len(pool.samples))
    rows = np.sort(seeds.generator(seed).permutation(total)[:count])
    return Selection(rows, np.full(count, np.nan), ("drawn",) * count, "chance")


class YokedOptions(SelectorOptions):
    """What the selector keeps that chance is yoked to."""

    count: int = Field(ge=1, description="samples that the other arm's selector keeps")

    def keeps(self, count: int) -> int:
        """As many as the other selector."""
        return min(self.count, count)


def yoked(pool: Pool, options: YokedOptions, seed: int) -> Selection:
    """As many samples as another arm's selector has kept, of each class as many, drawn without replacement.

    The control of a selector: what its arm and this one differ by is which samples are kept, and neither how many nor
    of which classes. Where samples have no labels, or a class has fewer of them here, only the whole number is the
    same: what is missing is drawn from the others. Weights are those of the other arm, in an order by lot.
    """
    kept, own = pool.twin.kept, pool.samples.labels
    lot = seeds.seed_of(seed, None, None, "weights")
    order = seeds.generator(seed).permutation(len(pool))
    if own is None or pool.twin.labels is None:
        rows = order[: options.keeps(len(pool))]
    else:
        wanted = dict(zip(*np.unique(pool.twin.labels[kept.rows], return_counts=True), strict=True))
        rows = np.concatenate([order[own[order] == one][:count] for one, count in wanted.items()])
        rest = order[~np.isin(order, rows)]
        rows = np.concatenate([rows, rest[: options.keeps(len(pool)) - len(rows)]])
    weights = None if kept.weights is None else seeds.generator(lot).permutation(kept.weights)[: len(rows)]
    return Selection(np.sort(rows), np.full(len(rows), np.nan), ("drawn",) * len(rows), "chance", weights)
