"""Keeping by who lies near: realistic, rare, new samples among the training data, in a feature space of choice."""

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.facts import Facts, neighbours_fault
from ..features.base import ExtractorName
from ..metrics import memorisation
from ..metrics import neighbours as balls
from .base import Pool, Selection, ShareOptions
from .ranking import best, first, nothing


class NeighbourOptions(ShareOptions):
    """Where one looks, and how many neighbours count."""

    extractor: ExtractorName = Field(description="in whose features distances are taken; not the primary metric's")
    k: int = Field(3, ge=1, description="a ball around each training row reaches to its k-th nearest one")


class RealismOptions(NeighbourOptions):
    """What is realistic enough."""

    least: float | None = Field(
        None, ge=0, description="keep the first samples of this realism at least, as 1; null: the most realistic"
    )


def realism(pool: Pool, options: RealismOptions, seed: int) -> Selection:
    """The samples that lie deepest among the training data, or the first that lie deep enough.

    R(x) = max over training rows r of radius_k(r) / |x - r| in the features of an extractor, of the balls that are not
    larger than the median one (Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 3; their k is 3): 1 or more inside, inf
    for a copy. scores: R.
    """
    if not len(pool):
        return nothing("realism")
    train, samples = pool.seen[options.extractor].train, pool.seen[options.extractor].samples
    scores, wanted = balls.realism(train, samples, k=options.k), options.keeps(len(pool))
    if options.least is None:
        return best(scores, wanted, "most realistic", "realism")
    return first(scores >= options.least, scores, wanted, "realistic", "realism")


class RarityOptions(NeighbourOptions):
    """Which end is kept."""

    end: Literal["rare", "common"] = Field("rare", description="keep the rarest samples, or the commonest")


def rarity(pool: Pool, options: RarityOptions, seed: int) -> Selection:
    """The rarest samples that are still like training data, or the commonest.

    The radius of the smallest ball of a training row that holds a sample (Han et al. 2022, arXiv 2206.08549; their k is
    3): large where training data are sparse. A sample in no ball is not realistic, has no rarity, and is never kept, so
    that there may be too few. scores: the radius, in units of the features.
    """
    if not len(pool):
        return nothing("rarity")
    train, samples = pool.seen[options.extractor].train, pool.seen[options.extractor].samples
    radii = balls.rarity(train, samples, k=options.k)
    sign = 1 if options.end == "rare" else -1
    found = best(sign * radii, options.keeps(len(pool)), f"most {options.end}", "rarity", among=~np.isnan(radii))
    return Selection(found.rows, radii[found.rows], found.reasons, found.judge)


class NoveltyOptions(ShareOptions):
    """What counts as a copy."""

    extractor: ExtractorName = Field(description="in whose features distances are taken; not the primary metric's")
    alpha: float = Field(
        0.5,
        gt=0,
        le=1,
        description="a copy's nearest training row is nearer than alpha times the rest",
    )
    neighbours: int = Field(50, ge=2, description="training rows around a sample, whose mean distance is the rest")


def novelty(pool: Pool, options: NoveltyOptions, seed: int) -> Selection:
    """The first samples that are no copies of training data, of which there may be too few.

    A copy has d(x, nearest) < alpha * mean of d(x, r) over the ``neighbours`` nearest training rows r (the adaptive
    distance of Carlini et al. 2023, arXiv 2301.13188; alpha .5, 50 neighbours there). scores: the ratio, 0 for a copy
    and up to 1.
    """
    if not len(pool):
        return nothing("novelty")
    train, samples = pool.seen[options.extractor].train, pool.seen[options.extractor].samples
    ratio = memorisation.nearest_ratio(train, samples, neighbours=options.neighbours)
    return first(ratio >= options.alpha, ratio, options.keeps(len(pool)), "no copy", "novelty")


def fault(facts: Facts, options: NeighbourOptions) -> str:
    """A neighbour that the training split has not."""
    return neighbours_fault(facts, options.k)


def novelty_fault(facts: Facts, options: NoveltyOptions) -> str:
    """More training rows around a sample than there are."""
    if options.neighbours <= facts.rows:
        return ""
    return f"neighbours: found {options.neighbours}, allowed are 2 to {facts.rows}, the training rows there are"
