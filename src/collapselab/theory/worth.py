"""What a loop with fresh real data is worth in real rows alone, and how many synthetic rows beside them do no harm."""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln

from .gaussian import fresh_limit


def effective_size(fresh: int, synthetic: int, memory: int = 1) -> float:
    """How many real rows alone would give the drift of a fresh-data loop in the long run: n_e = N / g + q.

    The mean of the model follows theta' = (q/K) (sum of the last K) + noise, K = ``memory``, and g is its stationary
    variance under unit noise: 1 / (1 - q^2) for K = 1, so that n_e = N(1-q^2) + q, about n_r (1 + q); and n_e / n_r
    tends to 1/p as K grows. For lambda 1, ddof 0, and samples drawn anew, in equal shares, from each of the K models
    (the n_e of Alemohammad et al. 2023, there found by simulation).
    """
    total = fresh + synthetic
    q = synthetic / total
    # Yule and Walker: c_0 = (q/K) sum_k c_k + 1, c_j = (q/K) sum_k c_|j-k| for the autocovariances c_0 .. c_K.
    lags = np.arange(memory + 1)
    matrix = np.eye(memory + 1)
    for k in range(1, memory + 1):
        np.subtract.at(matrix, (lags, abs(lags - k)), q / memory)
    unit = np.linalg.solve(matrix, (lags == 0).astype(float))[0]
    return float(total / unit + q)


def fresh_limit_w2(fresh: int, synthetic: int, ddof: int, sampling_bias: float = 1.0) -> float:
    """The limit of the expected squared Wasserstein distance to the truth with fresh real rows, in one dimension.

    D + V - 2 E sd + 1 with D, V of :func:`fresh_limit` and, by the delta method, E sd = sqrt V (1 - U / (8 V^2)), where

        U = Var v = (2/N) (p + q lambda^2 V^2) / (1 - q^2 lambda^2)

    to first order in 1/N: the real rows' share of the variance is a chi-square, the synthetic rows' one times v.
    """
    total = fresh + synthetic
    p, q = fresh / total, synthetic / total
    drift, variance = fresh_limit(fresh, synthetic, ddof, sampling_bias)
    spread = 2 / total * (p + q * (sampling_bias * variance) ** 2) / (1 - (q * sampling_bias) ** 2)
    return float(drift + variance + 1 - 2 * math.sqrt(variance) * (1 - spread / (8 * variance**2)))


def rows_of_distance(distance: float, ddof: int) -> float:
    """How many real rows alone have an expected squared Wasserstein distance to the truth: the n_e of MAD, any real.

    The inverse of one fit, 1/n + V + 1 - 2 E sd with E sd = c4(n) sqrt V (:func:`replace_w2` at generation 0), in one
    dimension; distances of d independent dimensions are d times as large. Raises ValueError for a distance that is
    not above 0, or above that of 2 rows.
    """

    def excess(n: float) -> float:
        variance = (n - 1) / (n - ddof)
        log_c4 = 0.5 * math.log(2 / (n - 1)) + gammaln(n / 2) - gammaln((n - 1) / 2)
        return 1 / n + variance + 1 - 2 * math.sqrt(variance) * math.exp(log_c4) - distance

    # 2 rows are found again from their own distance, whichever way it was rounded.
    if not 0 < distance <= (excess(2.0) + distance) * (1 + 1e-9):
        raise ValueError(f"distance: found {distance}, allowed are numbers above 0 up to that of 2 rows")
    most = 4.0
    while excess(most) > 0:
        most *= 2
    return float(brentq(excess, 1.99, most, rtol=1e-12))


def effective_size_w2(fresh: int, synthetic: int, ddof: int, sampling_bias: float = 1.0) -> float:
    """How many real rows alone would be as far from the truth as the limit of a fresh-data loop: MAD's n_e.

    :func:`rows_of_distance` of :func:`fresh_limit_w2`: with a sampling bias, where the drift alone tells only half of
    it; for lambda 1 about :func:`effective_size`. To first order in 1/n.
    """
    return rows_of_distance(fresh_limit_w2(fresh, synthetic, ddof, sampling_bias), ddof)


def admissible_rows(fresh: int, ddof: int, sampling_bias: float = 1.0, most: int = 10**9) -> int:
    """The most synthetic rows beside ``fresh`` real ones that do no harm: the largest n_s with n_e >= n_r, 0 for none.

    The finite-n_r :func:`admissible_synthetic`, from :func:`effective_size_w2`, in one dimension; ``most`` where no
    number up to it does harm, as for lambda 1 and ddof 0.
    """

    def good(synthetic: int) -> bool:
        return fresh_limit_w2(fresh, synthetic, ddof, sampling_bias) <= fresh_limit_w2(fresh, 0, ddof)

    # A few synthetic rows help or nothing does; then there is one place at which help ends.
    low = 1
    if not good(low):
        return 0
    while low < most and good(min(2 * low, most)):
        low = min(2 * low, most)
    high = min(2 * low, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if good(middle) else (low, middle)
    return low


def admissible_synthetic(sampling_bias: float, dimension: int = 1) -> float:
    """The most synthetic rows that do not make a fresh-data loop worse than its real rows alone (n_e >= n_r).

    n_s = (4(2-lambda) + (d+1)(2-lambda^2) - 1.5(d+1)(1-lambda)) / (1-lambda)^2, in squared Wasserstein distance, as n_r
    grows: constant in n_r for lambda < 1, as in MAD's figure 11. At finite n_r a law of a few percent.
    """
    bias, d = sampling_bias, dimension + 1
    return (4 * (2 - bias) + d * (2 - bias**2) - 1.5 * d * (1 - bias)) / (1 - bias) ** 2
