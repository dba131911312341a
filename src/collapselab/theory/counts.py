"""The Poisson loop: n times a rate is the size of a population in a critical branching process.

The rate of the next fit is the mean of n counts of rate r, so that n r' is a Poisson number of mean n r: each of n r
individuals has a Poisson number of children, one on average (Suresh et al. 2024, arXiv 2412.17646).
"""

import math

import numpy as np

from .moments import fits
from .multinomial import rare_extinction

STEP, REACH = 0.05, 72.0  # of an integral over log s whose ends fall as exp(-reach / 2), below float64's resolution


def rate_extinction(generations: int, n: int, rates: np.ndarray) -> np.ndarray:
    """The chance that each rate has fallen to 0 by each generation: (generations + 1, d), exact for replace.

    exp(-n r (1 - f_(t-1))) with f_0 = 0, f_(s+1) = exp(-(1 - f_s)), as :func:`rare_extinction` is the limit of rare
    categories.
    """
    return np.stack([rare_extinction(generations, n * rate) for rate in np.asarray(rates, np.float64)], axis=1)


def forgetting_time(expected: float) -> int:
    """The fit after which a rate of which ``expected`` = n r counts are seen is 0 as likely as not: exact for replace.

    It is linear in what is expected, about 2 n r / log 2; the mean of that time is infinite.
    """
    alive, fit = 1.0, 1
    while expected * alive > math.log(2):
        alive, fit = -math.expm1(-alive), fit + 1
    return fit


def rate_roots(generations: int, n: int, rates: np.ndarray) -> np.ndarray:
    """E sqrt of each rate, the expected standard deviation of the counts: (generations + 1, d), exact for replace.

    E sqrt X = int_0^inf (1 - E e^(-s X)) s^(-3/2) ds / (2 sqrt pi), X = n r_t, with the generating function of the
    branching process 1 - E e^(-s X_t) = 1 - exp(-n r h_t), h_1 = 1 - e^(-s), h_(t+1) = 1 - e^(-h_t). While the mean of
    the rate stays, that of its root falls, to first order by 1/(8 n r) of itself in each fit.
    """
    rates = np.asarray(rates, np.float64)
    logs = np.arange(-REACH - math.log(max(n * rates.max(), 1.0)), REACH, STEP)
    children, found = -np.expm1(-np.exp(logs)), []
    for _ in range(generations + 1):
        lost = -np.expm1(-n * rates[:, None] * children)
        found.append(lost @ np.exp(-logs / 2) * STEP / (2 * math.sqrt(math.pi * n)))
        children = -np.expm1(-children)
    return np.array(found)


def rate_w2(generations: int, n: int, rates: np.ndarray) -> np.ndarray:
    """E of the squared Fréchet distance of moments, sum_i t r / n + 2 r - 2 sqrt(r) E sqrt(r_t): exact for replace."""
    rates = np.asarray(rates, np.float64)
    t = fits(generations)[:, None]
    apart = t * rates / n + 2 * (rates - np.sqrt(rates) * rate_roots(generations, n, rates))
    return apart.sum(axis=1)
