"""Precision, recall, density and coverage: who lies in whose neighbourhood.

A *manifold* is the union of balls, one around each of its rows, that reach to the k-th nearest other row.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ..distances import squared_distances
from ..features import Features

Neighbours = Annotated[int, Field(ge=1)]
Comparison = Literal["<", "<="]
TIE = 1e-9  # squared distances that differ relatively by less are equal to rounding, whatever the order of summation
COMPARISONS = {"<": 1 - TIE, "<=": 1 + TIE}


def precision(real: Features, fake: Features, *, k: Neighbours = 5, comparison: Comparison = "<=") -> float:
    """The share of fakes that lie inside the manifold of the real samples: are they realistic?

    (1 / N_fake) #{f : |f - r| <= radius_k(r) for some real r}

    (Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 2; their k is 3.) comparison: ``<=`` as there, or ``<``.
    Raises Undefined for k or fewer real rows, no fakes, or features that are not finite.
    """
    return _share_inside(fake, real, k, comparison, ("fake", "real"))


def recall(real: Features, fake: Features, *, k: Neighbours = 5, comparison: Comparison = "<=") -> float:
    """The share of real samples that lie inside the manifold of the fakes: is everything still there?

    Precision with the roles exchanged (Kynkäänniemi et al. 2019, eq. 2).
    """
    return _share_inside(real, fake, k, comparison, ("real", "fake"))


def density(real: Features, fake: Features, *, k: Neighbours = 5, comparison: Comparison = "<") -> float:
    """How many balls of the real samples hold a fake, over the number expected of a fake that is like the real ones.

    (1 / (k N_fake)) sum over fakes f of #{r : |f - r| < radius_k(r)}

    (Naeem et al. 2020, arXiv 2002.09797.) Not bounded by 1; its expectation is 1 when both are drawn from the same law.
    With ``<`` the ball of a sample that has k duplicates or more is empty; with ``<=`` it holds what equals it.
    """
    hits_of_fakes, _ = hits(fake, real, k, comparison, ("fake", "real"))
    return float(hits_of_fakes.mean() / k)


def coverage(real: Features, fake: Features, *, k: Neighbours = 5, comparison: Comparison = "<") -> float:
    """The share of real samples with a fake in their ball.

    (1 / N_real) #{r : |f - r| < radius_k(r) for some fake f}

    (Naeem et al. 2020.) Drawn from the same law, its expectation is
    1 - prod_{i < k} (N_real - 1 - i) / (N_real + N_fake - 1 - i) in any number of dimensions.
    """
    _, hits_of_balls = hits(fake, real, k, comparison, ("fake", "real"))
    return float(np.mean(hits_of_balls > 0))


def _share_inside(probes: Features, manifold: Features, k: int, comparison: str, roles: tuple[str, str]) -> float:
    hits_of_probes, _ = hits(probes, manifold, k, comparison, roles)
    return float(np.mean(hits_of_probes > 0))


def hits(
    probes: Features, manifold: Features, k: int, comparison: str, roles: tuple[str, str] = ("probes", "manifold")
) -> tuple[np.ndarray, np.ndarray]:
    """In how many balls of the manifold each probe lies, (n,) int64, and how many probes each ball holds, (m,) int64.

    roles: what probes and manifold are called in messages.
    """
    if comparison not in COMPARISONS:
        raise ValueError(f"comparison: found {comparison!r}, allowed are {', '.join(map(repr, COMPARISONS))}")
    probes.require(1, roles[0])
    manifold.require(k + 1, roles[1])
    reach = manifold.radii(k) ** 2 * COMPARISONS[comparison]
    inside = np.less if comparison == "<" else np.less_equal
    of_probes, of_balls = np.zeros(len(probes), np.int64), np.zeros(len(manifold), np.int64)
    for rows, squared in squared_distances(probes.values, manifold.values):
        block = inside(squared, reach)
        of_probes[rows] = block.sum(axis=1)
        of_balls += block.sum(axis=0)
    return of_probes, of_balls
