"""A set that is rich as a whole: whoever is kept depends on who is kept already."""

import heapq
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from ..core.distances import on_host
from ..features.base import ExtractorName
from .base import Pool, Seen, Selection, ShareOptions

By = Literal["coverage", "facility", "moments", "entropy"]


class RichnessOptions(ShareOptions):
    """What makes a set rich, and in whose eyes."""

    extractor: ExtractorName = Field(description="the extractor in whose features samples are compared")
    by: By = Field(
        "coverage",
        description="coverage: far from all that are kept; facility: near to every real sample; moments: with the "
        "mean and the covariance of the real samples; entropy: with the most entropy",
    )


class Steps(NamedTuple):
    """Rows in the order in which they were chosen, and what each was worth at that moment: two of length n."""

    rows: list[int]
    worth: list[float]


def richness(pool: Pool, options: RichnessOptions, seed: int) -> Selection:
    """The samples that a greedy search takes one by one, each the best beside those that it has taken.

    scores: what a sample was worth when it was taken (:func:`farthest_first`, :func:`facilities`,
    :func:`matching_moments`, :func:`most_entropic`). There is no chance in it: of equals the first is taken.
    """
    wanted = options.keeps(len(pool))
    if not wanted:
        return Selection(np.arange(0), np.empty(0), (), options.by)
    rows, worth = GREEDY[options.by](pool.seen[options.extractor], wanted)
    order = np.argsort(rows)
    reasons = tuple(f"taken as number {place + 1}" for place in order)
    return Selection(np.asarray(rows, np.int64)[order], np.asarray(worth)[order], reasons, options.by)


def farthest_first(seen: Seen, wanted: int) -> Steps:
    """Each sample is the one that lies farthest from all that are taken; the first lies farthest from the mean.

    The traversal of Gonzalez (1985): no other set of as many leaves a sample at less than half the distance that this
    one does. Greedy selection against collapse (Shi et al. 2025, arXiv 2509.16499). worth: that distance, (wanted,).
    """
    values = _rows(seen.samples)
    near = _distances(values, values.mean(axis=0))
    found = Steps([], [])
    for step in range(wanted):
        row = _best(near, found.rows)
        found.rows.append(row)
        found.worth.append(float(near[row]))
        away = _distances(values, values[row])
        near = np.minimum(near, away) if step else away
    return found


def facilities(seen: Seen, wanted: int) -> Steps:
    """Each sample is the one that brings the real samples nearest to one that is taken, in the mean.

    f(S) = - (1/M) sum over real r of min over s in S of |r - s|, which is submodular, so that the greedy set has at
    least 1 - 1/e of what the best one gains over the first (Nemhauser, Wolsey and Fisher 1978); a bound of an
    earlier step bounds all later ones, so few have to be computed again (Minoux 1978). worth: by how much the mean
    distance falls, for the first from the largest distance that there is.
    """
    values, real = _rows(seen.samples), _rows(seen.train)
    near = np.zeros(len(real))
    for value in values:
        np.maximum(near, _distances(real, value), out=near)
    bounds = [(-float((near - _distances(real, value)).mean()), row, 0) for row, value in enumerate(values)]
    heapq.heapify(bounds)
    found = Steps([], [])
    while len(found.rows) < wanted:
        worth, row, step = heapq.heappop(bounds)
        away = _distances(real, values[row])
        if step < len(found.rows):  # what it was worth before others were taken
            gain = float(np.maximum(near - away, 0).mean())
            heapq.heappush(bounds, (-gain, row, len(found.rows)))
            continue
        found.rows.append(row)
        found.worth.append(-worth)
        np.minimum(near, away, out=near)
    return found


def matching_moments(seen: Seen, wanted: int) -> Steps:
    """Each sample is the one that brings mean and covariance of the set nearest to those of the real samples.

    Nearest by |m_S - m|^2 / T + |C_S - C|^2 / (2 T^2), with C_S the covariance around the real mean m, Frobenius's
    norm, and T = trace C: neither the scale nor the directions of the axes count. It is the herding of Chen, Welling
    and Smola (2010, arXiv 1203.3472) without replacement, with the kernel x.y / T + (x.y)^2 / (2 T^2). worth: minus
    that discrepancy of the set that the sample completes.
    """
    values, (mean, covariance) = _rows(seen.samples), seen.train.mean_and_covariance()
    mean, covariance = on_host(mean).astype(np.float64), on_host(covariance).astype(np.float64)
    total = float(np.trace(covariance)) or 1.0
    away = values - mean
    own = _kernel(np.einsum("nd,nd->n", away, away) / total)
    towards = np.einsum("nd,nd->n", away @ covariance, away) / (2 * total**2)  # the kernel's mean over the real law
    within = float((covariance**2).sum()) / (2 * total**2)
    to_kept, pairs, to_real = np.zeros(len(values)), 0.0, 0.0
    found = Steps([], [])
    for size in range(1, wanted + 1):
        row = _best(-(to_kept + own / 2 - size * towards), found.rows)
        pairs += 2 * to_kept[row] + own[row]
        to_real += towards[row]
        found.rows.append(row)
        found.worth.append(-float(pairs / size**2 - 2 * to_real / size + within))
        to_kept += _kernel(away @ away[row] / total)
    return found


def most_entropic(seen: Seen, wanted: int) -> Steps:
    """Each sample is the one with which the set has the most entropy by the distances to nearest neighbours.

    The sum over the set of ln |s - nearest other|, with which the estimate of Kozachenko and Leonenko (1987) rises
    (:func:`~collapselab.metrics.neighbour_entropy`; Shi et al. 2025, arXiv 2509.16499): a sample brings its own
    distance, and shortens those of whom it comes near to. The first lies farthest from the mean, the second farthest
    from the first. worth: by how much the sum rises, NaN for these two; an equal of one that is taken counts as 1e-300
    away.
    """
    values = _rows(seen.samples)
    first = int(_distances(values, values.mean(axis=0)).argmax())
    found, near = Steps([first], [np.nan]), _log_distances(values, values[first])
    own, loss = np.array([np.inf]), np.zeros(len(values))
    while len(found.rows) < wanted:
        row = _best(near - loss, found.rows)
        found.worth.append(float(near[row] - loss[row]) if len(own) > 1 else np.nan)
        away = _log_distances(values, values[row])
        for place in np.flatnonzero(away[found.rows] < own):  # whose nearest it becomes: few
            known = _log_distances(values, values[found.rows[place]])
            loss -= _shortened(own[place], known)
            own[place] = known[row]
            loss += _shortened(own[place], known)
        found.rows.append(row)
        own = np.append(own, near[row])
        loss += _shortened(near[row], away)
        near = np.minimum(near, away)
    return found


GREEDY: dict[By, Callable[[Seen, int], Steps]] = {
    "coverage": farthest_first,
    "facility": facilities,
    "moments": matching_moments,
    "entropy": most_entropic,
}


def _rows(features) -> np.ndarray:
    return on_host(features.values).astype(np.float64)


def _distances(values: np.ndarray, one: np.ndarray) -> np.ndarray:
    away = values - one
    return np.sqrt(np.einsum("nd,nd->n", away, away))


def _log_distances(values: np.ndarray, one: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(_distances(values, one), 1e-300))


def _shortened(own: float, to_others: np.ndarray) -> np.ndarray:
    """By how much one's log distance to its nearest falls if each of the others is taken: (n,), 0 for no nearest."""
    return np.maximum(own - to_others, 0.0) if np.isfinite(own) else np.zeros(len(to_others))


def _kernel(products: np.ndarray) -> np.ndarray:
    return products + products**2 / 2


def _best(worth: np.ndarray, taken: list[int]) -> int:
    left = worth.copy()
    left[taken] = -np.inf
    return int(left.argmax())
