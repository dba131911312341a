"""Precision, recall, density and coverage, realism and rarity: who lies in whose neighbourhood.

A *manifold* is the union of balls, one around each of its rows, that reach to the k-th nearest other row. The distances
between two sets are computed once for all of these numbers, if they are asked of the same two :class:`Features`.
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device
from pydantic import Field

from ..core.distances import TIE, on_host, squared_distances
from ..core.errors import Undefined
from ..features import Array, Features
from .estimates import Estimate, mean_of, share_of

Neighbours = Annotated[int, Field(ge=1)]
Comparison = Literal["<", "<="]
COMPARISONS = {"<": 1 - TIE, "<=": 1 + TIE}


def precision(real: Features, fake: Features, *, k: Neighbours = 5, comparison: Comparison = "<=") -> Estimate:
    """The share of fakes that lie inside the manifold of the real samples: are they realistic?

    (1 / N_fake) #{f : |f - r| <= radius_k(r) for some real r}

    (Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 2; their k is 3.) comparison: ``<=`` as there, or ``<``. The
    interval is that of the fakes' chance. Raises Undefined for k or fewer real rows, no fakes, or features that are not
    finite.
    """
    real, fake = _checked(real, fake, k + 1, 1)
    return share_of(hits(real, fake, k, comparison).fakes > 0)


def recall(real: Features, fake: Features, *, k: Neighbours = 5, comparison: Comparison = "<=") -> Estimate:
    """The share of real samples that lie inside the manifold of the fakes: is everything still there?

    Precision with the roles exchanged (Kynkäänniemi et al. 2019, eq. 2), its interval too.
    """
    real, fake = _checked(real, fake, 1, k + 1)
    return share_of(hits(real, fake, k, comparison).reals)


def density(real: Features, fake: Features, *, k: Neighbours = 5, comparison: Comparison = "<") -> Estimate:
    """How many balls of the real samples hold a fake, over the number expected of a fake that is like the real ones.

    (1 / (k N_fake)) sum over fakes f of #{r : |f - r| < radius_k(r)}

    (Naeem et al. 2020, arXiv 2002.09797.) Not bounded by 1; its expectation is 1 when both are drawn from the same law.
    With ``<`` the ball of a sample that has k duplicates or more is empty; with ``<=`` it holds what equals it. The
    interval is that of the fakes' chance.
    """
    real, fake = _checked(real, fake, k + 1, 1)
    return mean_of(hits(real, fake, k, comparison).fakes / k)


def coverage(real: Features, fake: Features, *, k: Neighbours = 5, comparison: Comparison = "<") -> Estimate:
    """The share of real samples with a fake in their ball.

    (1 / N_real) #{r : |f - r| < radius_k(r) for some fake f}

    (Naeem et al. 2020.) Drawn from the same law, its expectation is
    1 - prod_{i < k} (N_real - 1 - i) / (N_real + N_fake - 1 - i) in any number of dimensions. The interval is that of
    the real samples' chance.
    """
    real, fake = _checked(real, fake, k + 1, 1)
    return share_of(hits(real, fake, k, comparison).balls)


def realism(real: Features, fake: Features, *, k: Neighbours = 5) -> np.ndarray:
    """How far each fake lies inside the balls of the real samples: (n,) float64, 1 or more inside, inf for a copy.

    R(f) = max over real r of radius_k(r) / |f - r|

    of the balls whose radius does not exceed the median radius: around outliers balls are so large that anything would
    be realistic (Kynkäänniemi et al. 2019, eq. 3 and what follows; their k is 3).
    Raises Undefined for k or fewer real rows, no fakes, or features that are not finite.
    """
    return _scores(*_checked(real, fake, k + 1, 1), k).realism


def rarity(real: Features, fake: Features, *, k: Neighbours = 5) -> np.ndarray:
    """The radius of the smallest ball of a real sample that holds each fake: (n,) float64, nan where none does.

    min over real r with |f - r| <= radius_k(r) of radius_k(r)

    Large where real samples are sparse (Han et al. 2022, arXiv 2206.08549; their k is 3).
    Raises Undefined for k or fewer real rows, no fakes, or features that are not finite.
    """
    return _scores(*_checked(real, fake, k + 1, 1), k).rarity


def median_realism(real: Features, fake: Features, *, k: Neighbours = 5) -> float:
    """The median of the fakes' realism: at least half of them lie so deep in the manifold of the real samples.

    Not the mean, which one copy of a real sample makes infinite. Raises Undefined where half of the fakes are copies,
    and where realism does.
    """
    median = float(np.median(realism(real, fake, k=k)))
    if not np.isfinite(median):
        raise Undefined("fake: half of the rows or more equal a real one, and have no finite realism")
    return median


def mean_rarity(real: Features, fake: Features, *, k: Neighbours = 5) -> Estimate:
    """The mean rarity of the fakes that lie in any ball of the real samples, in units of the features.

    Raises Undefined where none does, and where rarity does.
    """
    found = rarity(real, fake, k=k)
    inside = found[~np.isnan(found)]
    if not len(inside):
        raise Undefined("fake: no row lies in a ball of the real samples, so that none has a rarity")
    return mean_of(inside)


class Hits(NamedTuple):
    """Who lies in whose balls.

    fakes: in how many balls of the real samples each fake lies, (n_fake,) int64. balls: whether the ball of each real
    sample holds a fake, (n_real,) bool. reals: whether each real sample lies in a ball of a fake, (n_real,) bool.
    """

    fakes: np.ndarray
    balls: np.ndarray
    reals: np.ndarray


def hits(real: Features, fake: Features, k: int, comparison: Comparison) -> Hits:
    """The hits of a pair, scanned once for both comparisons; balls of a side with k or fewer rows hold nothing."""
    if comparison not in COMPARISONS:
        raise ValueError(f"comparison: found {comparison!r}, allowed are {', '.join(map(repr, COMPARISONS))}")
    return real.once(("hits", k), lambda: _all_hits(real, fake, k), beside=fake)[comparison]


def _all_hits(real: Features, fake: Features, k: int) -> dict[str, Hits]:
    xp, where = array_namespace(real.values), device(real.values)
    reach_of_reals, reach_of_fakes = _reach(real, k), _reach(fake, k)
    found = {
        comparison: Hits(
            xp.zeros(len(fake), dtype=xp.int64, device=where),
            *(xp.zeros(len(real), dtype=xp.bool, device=where) for _ in range(2)),
        )
        for comparison in COMPARISONS
    }
    for rows, squared in squared_distances(fake.values, real.values):
        for comparison, factor in COMPARISONS.items():
            inside = xp.less if comparison == "<" else xp.less_equal
            in_reals = inside(squared, factor * reach_of_reals)
            in_fakes = inside(squared, factor * reach_of_fakes[rows][:, None])
            found[comparison].fakes[rows] = xp.count_nonzero(in_reals, axis=1)
            found[comparison].balls[:] |= xp.any(in_reals, axis=0)
            found[comparison].reals[:] |= xp.any(in_fakes, axis=0)
    return {comparison: Hits(*map(on_host, each)) for comparison, each in found.items()}


class _Scores(NamedTuple):
    realism: np.ndarray
    rarity: np.ndarray


def _scores(real: Features, fake: Features, k: int) -> _Scores:
    return real.once(("scores", k), lambda: _both_scores(real, fake, k), beside=fake)


def _both_scores(real: Features, fake: Features, k: int) -> _Scores:
    xp, where = array_namespace(real.values), device(real.values)
    reach = _reach(real, k)
    middle = xp.sort(reach)[(len(real) - 1) // 2]
    kept = xp.where(reach <= middle, reach, 0.0)
    depth = xp.empty(len(fake), dtype=xp.float64, device=where)
    smallest = xp.empty(len(fake), dtype=xp.float64, device=where)
    for rows, squared in squared_distances(fake.values, real.values):
        inside = squared <= COMPARISONS["<="] * reach
        smallest[rows] = xp.min(xp.where(inside, reach, xp.inf), axis=1)
        depth[rows] = xp.max(xp.where(squared > 0, kept / xp.where(squared > 0, squared, 1.0), xp.inf), axis=1)
    return _Scores(on_host(xp.sqrt(depth)), on_host(xp.sqrt(xp.where(xp.isinf(smallest), xp.nan, smallest))))


def _checked(real: Features, fake: Features, reals: int, fakes: int) -> tuple[Features, Features]:
    real, fake = Features.of(real), Features.of(fake)
    real.require(reals, "real")
    fake.require(fakes, "fake")
    return real, fake


def _reach(features: Features, k: int) -> Array:
    """The squared radii; of k or fewer rows, numbers that no squared distance is below."""
    xp = array_namespace(features.values)
    if len(features) <= k:
        return xp.full((len(features),), -1.0, dtype=xp.float64, device=device(features.values))
    return features.radii(k) ** 2
