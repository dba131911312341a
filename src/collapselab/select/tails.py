"""What is rare is favoured: the far quantiles of an attribute, or where real samples are sparse."""

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.distances import on_host, squared_distances
from ..core.facts import Facts, neighbours_fault
from ..features.base import ExtractorName
from .base import Pool, Seen, Selection, ShareOptions
from .targeting import targeted, wanted_rows

TAIL = 1


class TailsOptions(ShareOptions):
    """What is a tail, and how much it is favoured."""

    extractor: ExtractorName = Field(description="the extractor through which samples are looked at")
    by: Literal["attribute", "density"] = Field(
        "attribute", description="attribute: the far values of one number; density: far from the real samples around"
    )
    attribute: str = Field(
        "0", description="which number of the extractor: its name where it has names, else which one, from 0"
    )
    tail: Literal["low", "high", "both"] = Field("both", description="which end of the attribute is a tail")
    quantile: float = Field(
        0.1, gt=0, le=0.5, description="share of the real samples in a tail, at each end where both are tails"
    )
    k: int = Field(5, ge=1, description="which neighbour among the real samples tells the density")
    chosen: float = Field(gt=0, le=1, description="share of the kept samples that is chosen from the tails")
    stops: bool = Field(
        True,
        description="no more is chosen than takes the tails to their share of the real samples; false: a standing "
        "share, which goes beyond",
    )


def tails(pool: Pool, options: TailsOptions, seed: int) -> Selection:
    """The samples of which a share is chosen from the tails, and the rest drawn by lot from all.

    A tail is what lies beyond a quantile of the training split: of one number, or of the distance to the k-th nearest
    real sample, which grows as the density falls. Where the tails have not as many, fewer are kept. It stops when
    their share of what is kept is that of the real samples, unless it is told not to
    (:func:`~collapselab.select.targeting.wanted_rows`). scores: the attribute, or the distance.

    Raises ValueError for an attribute that the extractor has not.
    """
    wanted = options.keeps(len(pool))
    if not len(pool):
        return Selection(np.arange(0), np.empty(0), (), "tails")
    scores, real = _scores(pool.seen[options.extractor], options)
    low, high = np.quantile(real, [options.quantile, 1 - options.quantile])
    tail = "high" if options.by == "density" else options.tail
    groups, truth = (
        ((side < low) & (tail != "high") | (side > high) & (tail != "low")).astype(np.int64) for side in (scores, real)
    )
    shares, of_real = {TAIL: groups.mean()}, {TAIL: truth.mean()}
    numbers = wanted_rows({TAIL: options.chosen}, shares, of_real if options.stops else None, wanted)
    rows, chosen = targeted(groups, numbers, wanted, seed)
    return Selection(rows, scores[rows], tuple("a tail, chosen" if one else "by lot" for one in chosen), "tails")


def _scores(seen: Seen, options: TailsOptions) -> tuple[np.ndarray, np.ndarray]:
    """Of each sample, and of each row of the training split: (n,) float64."""
    if options.by == "density":
        return _reach(seen, options.k), on_host(seen.train.radii(options.k))
    column = column_of(seen, options.attribute)
    return tuple(on_host(side.values)[:, column].astype(np.float64) for side in seen)


def _reach(seen: Seen, k: int) -> np.ndarray:
    """The distance of each sample to its k-th nearest row of the training split."""
    found = np.empty(len(seen.samples))
    seen.train.require(k + 1, "training split")
    for rows, squared in squared_distances(seen.samples.values, seen.train.values):
        found[rows] = np.sqrt(np.partition(on_host(squared), k - 1, axis=1)[:, k - 1])
    return found


def column_of(seen: Seen, attribute: str) -> int:
    """Which column of features an attribute is. Raises ValueError for one that they have not."""
    width, names = seen.samples.values.shape[1], seen.samples.names
    allowed = names or tuple(map(str, range(width)))
    if attribute not in allowed:
        said = ", ".join(allowed) if names else f"0 to {width - 1}"
        raise ValueError(f"attribute: found {attribute!r}, allowed are {said}")
    return allowed.index(attribute)


def fault(facts: Facts, options: TailsOptions) -> str:
    """An attribute that the extractor has not, or a neighbour that the training split has not."""
    if options.by == "density":
        return neighbours_fault(facts, options.k)
    return attribute_fault(facts, options.extractor, options.attribute)


def attribute_fault(facts: Facts, extractor: str, attribute: str) -> str:
    """The fault of an attribute that an extractor has not; empty if it has, or nobody knows before."""
    allowed = facts.columns(extractor)
    if not allowed or attribute in allowed:
        return ""
    said = f"0 to {len(allowed) - 1}" if allowed[0] == "0" else ", ".join(allowed)
    return f"attribute: found {attribute!r}, allowed are {said} of {extractor}"
