"""How much room the samples take, by the distances between them."""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Features

Neighbours = Annotated[int, Field(ge=1)]


def neighbour_entropy(real: Features, fake: Features, *, k: Neighbours = 1) -> float:
    """The differential entropy of the fakes in nats, estimated from the distances to their k-th neighbours.

    H = psi(n) - psi(k) + ln V_d + (d / n) sum over fakes f of ln radius_k(f)

    with V_d = pi^(d/2) / Gamma(d/2 + 1), the volume of the unit ball, and the digamma function psi (Kozachenko and
    Leonenko 1987; for k > 1 Kraskov, Stögbauer and Grassberger 2004, arXiv cond-mat/0305641, eq. 20). That of a
    generation's training set falls before its model begins to copy it (Shi et al. 2025, arXiv 2509.16499, with k = 1).
    Scaled by a, samples gain d ln a; so it is compared within one feature space only, and at equal n. Where the law
    lies in a surface of fewer dimensions it falls without bound as n grows. The real samples have no part in it.

    fake: (n, d). Raises Undefined for k or fewer fakes, for a fake that equals k others, where the estimate is minus
    infinity, and for features that are not finite.
    """
    fake = Features.of(fake)
    fake.require(k + 1, "fake")
    radii, (n, d) = on_host(fake.radii(k)), fake.values.shape
    if equal := np.count_nonzero(radii == 0):
        raise Undefined(f"fake: {equal} of {n} rows equal {k} other{'s' * (k > 1)}; their entropy is minus infinity")
    from scipy.special import digamma

    ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
    return float(digamma(n) - digamma(k) + ball + d * math.fsum(np.log(radii)) / n)
