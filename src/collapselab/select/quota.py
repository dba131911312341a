"""A table says how many of which class are kept."""

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ..core.facts import Facts
from ..features.base import ExtractorName
from .base import Pool, Selection, ShareOptions
from .targeting import shares_of, targeted, wanted_rows

Table = Literal["even", "true"] | dict[int, float]


class QuotaOptions(ShareOptions):
    """Whom the table favours, and until when."""

    table: Table = Field(
        description="share of the kept samples that is chosen from each class, as {class: share}; what it leaves is "
        "drawn by lot from all. even: the same of all classes of the training split; true: their shares there"
    )
    extractor: ExtractorName | None = Field(
        None, description="the extractor that says what class a sample looks like; without one, its label"
    )
    stops: bool = Field(
        True,
        description="a class is chosen from no more than takes it to its share of the training split, and no longer "
        "once it is there; false: a standing share, which goes beyond",
    )

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if isinstance(self.table, dict):
            total = sum(self.table.values())
            if not self.table or min(self.table.values()) < 0 or total > 1 + 1e-9:
                found = ", ".join(f"{group}: {share:g}" for group, share in self.table.items()) or "none"
                raise ValueError(f"table: found {found}, allowed are shares from 0 on, 1 or less together")
        return self


def quota(pool: Pool, options: QuotaOptions, seed: int) -> Selection:
    """The samples by a table of classes, as those who repair representation set it (Wyllie et al. 2024).

    Of the kept rows a share of the ``table`` is chosen from each class, and the rest drawn by lot from all
    (arXiv 2403.07857: batches are put together by the shares that somebody holds to be just). Where
    a class has not as many, fewer are kept. It stops at the truth unless it is told not to
    (:func:`~collapselab.select.targeting.wanted_rows`). scores: NaN.

    Raises ValueError for samples without labels where no extractor is named, for one that knows no classes, and for a
    class in the table that the training split has not.
    """
    wanted = options.keeps(len(pool))
    if not len(pool):
        return Selection(np.arange(0), np.empty(0), (), "quota")
    groups, real = _classes(pool, options)
    truth = shares_of(real)
    rows, chosen = targeted(groups, _wanted(options, shares_of(groups), truth, wanted), wanted, seed)
    reasons = tuple(
        f"class {group}, chosen" if one else "by lot" for group, one in zip(groups[rows], chosen, strict=True)
    )
    return Selection(rows, np.full(len(rows), np.nan), reasons, "quota")


def _wanted(options: QuotaOptions, shares: Mapping[int, float], truth: Mapping[int, float], count: int):
    if options.table == "even":
        table: Mapping[int, float] = dict.fromkeys(truth, 1 / len(truth))
    else:
        table = truth if options.table == "true" else options.table
    if unknown := sorted(set(table) - set(truth)):
        raise ValueError(f"table: found class {unknown[0]}, the training split has {', '.join(map(str, truth))}")
    return wanted_rows(table, shares, truth if options.stops and options.table != "true" else None, count)


def _classes(pool: Pool, options: QuotaOptions) -> tuple[np.ndarray, np.ndarray]:
    """The class of each sample, and of each row of the training split."""
    if options.extractor is None:
        found = [pool.samples.labels, pool.train.labels]
        cure = "these samples have no labels; name an extractor that knows classes, such as lenet"
    else:
        found = [side.classes for side in pool.seen[options.extractor]]
        cure = f"{options.extractor} says no classes; name one that does, such as lenet"
    if any(one is None for one in found):
        raise ValueError(f"extractor: {cure}")
    return found[0], found[1]


def unlabelled(options: QuotaOptions) -> str:
    """Classes that are to be those of the samples' labels."""
    if options.extractor is not None:
        return ""
    return "extractor: found none, and the samples have no labels; name an extractor that knows classes, such as lenet"


def fault(facts: Facts, options: QuotaOptions) -> str:
    """Labels that the data have not, and classes of the table that they have not."""
    if options.extractor is None and facts.classes() == 0:
        return "extractor: found none, and the data have no labels; name an extractor that knows classes, such as lenet"
    count = facts.classes()
    unknown = (
        [one for one in options.table if one < 0 or (count and one >= count)] if isinstance(options.table, dict) else []
    )
    if not unknown:
        return ""
    return f"table: found class {unknown[0]}, allowed are " + (f"0 to {count - 1}" if count else "whole numbers from 0")
