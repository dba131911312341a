"""What the closed forms predict for loops of the families whose fit is one.

Every curve has one number per generation, from generation 0 on: entry g belongs to the model of generation g, which is
the end of g + 1 fits that began at the known truth ("t = g + 1 fits" in the formulas). Real data is drawn anew from the
truth for every replicate, and never with a sampling bias; the expectations are over replicates.

Gaussian results are in units of the truth, N(0, 1) in every dimension. Two numbers describe a loop: the *drift*
D = E (mean of the model)^2 and the *variance* V = E variance of the model. By the law of total variance V + D = 1 in
every regime where the fit is by maximum likelihood and sampling is unbiased.

symbol  argument         meaning
t       generations      fits: generation g is t = g + 1, curves end at ``generations``
n       n                rows of a training set (of one generation, where they accumulate)
a, b    ddof             variance of a fit: a = 1 - 1/n with ddof 0, 1 with ddof 1; b = 1 or N / (N - 1)
lambda  sampling_bias    factor of the covariance of a Gaussian, temperature of a multinomial
p, q                     real and synthetic share of the N rows of a training set
alpha   alpha            rows that Laplace smoothing adds to each of the K categories; m = K alpha / (n + K alpha)

The formulas follow from the moments of normal and multinomial samples; where a paper states one, it is named.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, gammaln, ndtr, ndtri, polygamma, xlog1py, xlogy

from .regimes import Recipe, Regime, at, recipe


class Moments(NamedTuple):
    """Drift D and variance V of the Gaussian loop in one dimension: curves (generations + 1,), or their limits."""

    drift: np.ndarray | float
    variance: np.ndarray | float


def _fits(generations: int) -> np.ndarray:
    return np.arange(1, generations + 2)


# -- Gaussian, fully synthetic ("replace") ----------------------------------------------------------------------------


def replace_moments(generations: int, n: int, ddof: int, sampling_bias: float = 1.0) -> Moments:
    """Drift and variance when each model sees n samples of the last one (Alemohammad et al. 2023 for ddof 1).

    V_t = lambda^(t-1) a^t,  D_t = (V_0 + lambda V_1 + ... + lambda V_(t-1)) / n with V_0 = 1 for the real data.
    With ddof 1 and lambda 1: V = 1, D = t / n. With ddof 0 and lambda 1: V = (1 - 1/n)^t, D = 1 - V.
    """
    t = _fits(generations)
    variance = sampling_bias ** (t - 1.0) * _shrinkage(n, ddof) ** t
    sampled = np.concatenate([[1.0], sampling_bias * variance[:-1]])
    return Moments(np.cumsum(sampled) / n, variance)


def replace_sd(generations: int, n: int, ddof: int, sampling_bias: float = 1.0) -> np.ndarray:
    """Expected standard deviation: lambda^((t-1)/2) (c4 sqrt(a))^t.

    c4 = sqrt(2/(n-1)) Gamma(n/2) / Gamma((n-1)/2), about 1 - 1/(4n).
    """
    t = _fits(generations)
    c4 = math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
    return sampling_bias ** ((t - 1) / 2) * (c4 * math.sqrt(_shrinkage(n, ddof))) ** t


def replace_log_variance(
    generations: int, n: int, ddof: int, sampling_bias: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over replicates of log v_t, which is nearly normal while v_t itself has heavy tails.

    E log v_t = t (psi((n-1)/2) + log(2/(n - ddof))) + (t-1) log lambda,  Var log v_t = t psi_1((n-1)/2).
    So the typical variance falls at a rate of about 1/n even where its mean is constant.
    """
    t = _fits(generations)
    step = digamma((n - 1) / 2) + math.log(2 / (n - ddof))
    return t * step + (t - 1) * math.log(sampling_bias), t * polygamma(1, (n - 1) / 2)


def replace_second_moment(generations: int, n: int, ddof: int, sampling_bias: float = 1.0) -> np.ndarray:
    """E v_t^2 = lambda^(2(t-1)) r^t with r = 1 - 1/n^2 for ddof 0 and 1 + 2/(n-1) for ddof 1.

    It says how many replicates a test of V needs: (E v_t^2 / V_t^2 - 1) / e^2 for a relative standard error e.
    """
    t = _fits(generations)
    return sampling_bias ** (2.0 * (t - 1)) * ((1 + 2 / (n - 1)) * _shrinkage(n, ddof) ** 2) ** t


def replace_w2(generations: int, n: int, ddof: int, sampling_bias: float = 1.0) -> np.ndarray:
    """Expected squared Wasserstein distance to the truth, D + V - 2 E sd + 1: exact, one dimension.

    To first order in 1/n it is 3t/(2n) for lambda 1 (Shumailov et al. 2024).
    """
    drift, variance = replace_moments(generations, n, ddof, sampling_bias)
    return drift + variance - 2 * replace_sd(generations, n, ddof, sampling_bias) + 1


def replace_determinant(generations: int, n: int, ddof: int, dimension: int, sampling_bias: float = 1.0) -> np.ndarray:
    """Expected determinant of the covariance: lambda^(d(t-1)) (prod_{i<d} (n-1-i) / (n-ddof)^d)^t."""
    t, i = _fits(generations), np.arange(dimension)
    return sampling_bias ** (dimension * (t - 1.0)) * np.prod((n - 1 - i) / (n - ddof)) ** t


def replace_log_determinant(
    generations: int, n: int, ddof: int, dimension: int, sampling_bias: float = 1.0
) -> np.ndarray:
    """Expected log determinant: t (sum_{i<d} psi((n-1-i)/2) + d log(2/(n-ddof))) + d (t-1) log lambda, for n > d."""
    t, i = _fits(generations), np.arange(dimension)
    step = digamma((n - 1 - i) / 2).sum() + dimension * math.log(2 / (n - ddof))
    return t * step + dimension * (t - 1) * math.log(sampling_bias)


def replace_log_determinant_variance(generations: int, n: int, dimension: int) -> np.ndarray:
    """Var log det over replicates, t sum_{i<d} psi_1((n-1-i)/2), for n > d: log det of a Wishart matrix is a sum of
    independent log chi-squares (Bartlett 1933).
    """
    return _fits(generations) * polygamma(1, (n - 1 - np.arange(dimension)) / 2).sum()


def replace_deviations(
    generations: int, n: int, ddof: int, sampling_bias: float = 1.0, spectrum: Sequence[float] = (1.0,)
) -> Moments:
    """Standard deviations over replicates of the drift |m|^2 and of the total variance tr S, for a full covariance.

    In units of the truth's total variance; ``spectrum``: its eigenvalues. Given the covariances so far, m is normal
    with covariance C = (sum of the sampled covariances) / n, so Var |m|^2 = E (2 tr C^2 + (tr C)^2) - (E tr C)^2; S is
    lambda S / (n - ddof) times a Wishart matrix of v = n - 1 degrees of freedom, so

        E tr S'^2 = v ((v+1) E tr S^2 + E (tr S)^2) / (n - ddof)^2,  E (tr S')^2 = v (v E (tr S)^2 + 2 E tr S^2) / ...

    in which the second moments of C and of both together close to a linear recursion.
    """
    spectrum = np.asarray(spectrum, np.float64)
    spectrum = spectrum / spectrum.sum()
    mean, freedom = replace_moments(generations, n, ddof, sampling_bias), n - 1
    one, rows = freedom / (n - ddof), 1 / n
    # E of tr L^2, (tr L)^2, tr C L, tr C tr L, tr C^2, (tr C)^2, where L is the covariance that is sampled.
    squares, square, mixed, product, centre_squares, centre_square = np.sum(spectrum**2), 1.0, 0.0, 0.0, 0.0, 0.0
    drift, variance = [], []
    for t in range(generations + 1):
        centre_squares += 2 * rows * mixed + rows**2 * squares
        centre_square += 2 * rows * product + rows**2 * square
        mixed, product = one * (mixed + rows * squares), one * (product + rows * square)
        squares, square = (
            one**2 * ((freedom + 1) * squares + square) / freedom,
            one**2 * (freedom * square + 2 * squares) / freedom,
        )
        drift.append(2 * centre_squares + centre_square - mean.drift[t] ** 2)
        variance.append(square - mean.variance[t] ** 2)
        mixed, product = sampling_bias * mixed, sampling_bias * product
        squares, square = sampling_bias**2 * squares, sampling_bias**2 * square
    return Moments(np.sqrt(drift), np.sqrt(variance))


def replace_frechet(generations: int, n: int, dimension: int) -> np.ndarray:
    """Expected Fréchet distance to the truth to first order in t d / n, lambda 1: t (d/n + d(d+1)/(4n))."""
    return _fits(generations) * (dimension / n + dimension * (dimension + 1) / (4 * n))


def _shrinkage(n: int, ddof: int) -> float:
    return (n - 1) / (n - ddof)


# -- Gaussian, fresh real data ----------------------------------------------------------------------------------------


def fresh_moments(
    generations: int, initial: int, fresh: int, synthetic: int, ddof: int, sampling_bias: float = 1.0
) -> Moments:
    """Drift and variance when each model sees ``fresh`` new real rows and ``synthetic`` samples of the last model.

    D' = q^2 D + (p + q lambda V) / N,  V' = a (p + q lambda V) + b p q D, from D = 1/n, V = a of ``initial`` real rows.
    """
    matrix, constant = _fresh_step(fresh, synthetic, ddof, sampling_bias)
    state = np.array([1 / initial, _shrinkage(initial, ddof)])
    states = [state]
    for _ in range(generations):
        state = matrix @ state + constant
        states.append(state)
    return Moments(*np.array(states).T)


def fresh_limit(fresh: int, synthetic: int, ddof: int, sampling_bias: float = 1.0) -> Moments:
    """The limit of :func:`fresh_moments`, whatever the initial set was.

    With ddof 0 and lambda 1, D = 1 / (N(1-q^2) + q). With ddof 1 V exceeds 1: the pooled estimator takes the distance
    between the real and the synthetic mean for spread.
    """
    matrix, constant = _fresh_step(fresh, synthetic, ddof, sampling_bias)
    drift, variance = np.linalg.solve(np.eye(2) - matrix, constant)
    return Moments(float(drift), float(variance))


def _fresh_step(fresh: int, synthetic: int, ddof: int, sampling_bias: float) -> tuple[np.ndarray, np.ndarray]:
    total = fresh + synthetic
    p, q = fresh / total, synthetic / total
    a, b = _shrinkage(total, ddof), total / (total - ddof)
    matrix = np.array([[q**2, q * sampling_bias / total], [b * p * q, a * q * sampling_bias]])
    return matrix, np.array([p / total, a * p])


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


# -- Gaussian, synthetic augmentation ---------------------------------------------------------------------------------


def augmentation_moments(generations: int, fixed: int, synthetic: int) -> Moments:
    """Drift and variance with the same ``fixed`` real rows in every generation (generation 0 has them alone).

    ddof 0, lambda 1. About the mean of the real set, in units of its variance s^2, with E s^2 = 1 - 1/n_r:
    D' = q^2 D + q V / N and V + D = 1, from D = 0; the drift about the truth is 1/n_r + E s^2 D.
    """
    total = fixed + synthetic
    q, spread = synthetic / total, 1 - 1 / fixed
    about = [0.0]
    for _ in range(generations):
        about.append(q**2 * about[-1] + q * (1 - about[-1]) / total)
    about_real = np.array(about)
    return Moments(1 / fixed + spread * about_real, spread * (1 - about_real))


def augmentation_limit(fixed: int, synthetic: int) -> Moments:
    """The limit of :func:`augmentation_moments`: D = 1/n_r + E s^2 q / (N(1-q^2) + q).

    Its drift is at most about (1+2q)/(1+q) <= 1.5 times that of the real rows alone: bounded, and always worse.
    """
    total = fixed + synthetic
    q, spread = synthetic / total, 1 - 1 / fixed
    about_real = q / (total * (1 - q**2) + q)
    return Moments(1 / fixed + spread * about_real, spread * (1 - about_real))


# -- Gaussian, accumulating data --------------------------------------------------------------------------------------


def accumulate_moments(generations: int, n: int, ddof: int) -> Moments:
    """Drift and variance when the n real rows and the n samples of every model so far are kept, lambda 1.

    ddof 0: V_t = prod_{i<=t} (1 - 1/(n i^2)), D = 1 - V. ddof 1, with P the expected square of the pooled mean:
    P = ((t-1) P + V + D) / t;  D' = D + V / (n t^2);  V' = t n / (t n - 1) (P - D'), from P = 0, D = 0, V = 1.
    """
    t = _fits(generations)
    if ddof == 0:
        variance = np.cumprod(1 - 1 / (n * t**2.0))
        return Moments(1 - variance, variance)
    second, drift, variance, states = 0.0, 0.0, 1.0, []
    for fit in t:
        second = ((fit - 1) * second + variance + drift) / fit
        drift += variance / (n * fit**2)
        variance = fit * n / (fit * n - 1) * (second - drift)
        states.append((drift, variance))
    return Moments(*np.array(states).T)


def accumulate_limit(n: int) -> Moments:
    """The limit of :func:`accumulate_moments` for ddof 0: V = sin(pi/sqrt n) / (pi/sqrt n). Bounded, and never 1."""
    variance = float(np.sinc(1 / math.sqrt(n)))
    return Moments(1 - variance, variance)


def accumulate_subsample_moments(generations: int, n: int) -> Moments:
    """Drift and variance when each model sees n rows, drawn without replacement from all rows so far.

    The accumulate-subsample regime of Kazdan et al. (2024); ddof 0, lambda 1. With M rows in the pool and S the sum of
    the expected products of all pairs of rows, a row with itself counted (S = M = n at the start), two different rows
    have the mean product c = (S-M)/(M(M-1)), and D = 1/n + (1 - 1/n) c, V = 1 - D. Then n samples enter:
    S' = S + 2nS/M + n + n(n-1) D, M' = M + n.
    """
    pool, rows, drifts = float(n), float(n), []
    for _ in range(generations + 1):
        pairs = (pool - rows) / (rows * (rows - 1))
        drift = 1 / n + (1 - 1 / n) * pairs
        pool += 2 * n * pool / rows + n + n * (n - 1) * drift
        rows += n
        drifts.append(drift)
    return Moments(np.array(drifts), 1 - np.array(drifts))


# -- linear regression ------------------------------------------------------------------------------------------------


def regression_error_replace(
    generations: int, n: int, dimension: int, noise: float = 1.0, made_noise: float | None = None
) -> np.ndarray:
    """E |w_t - w|^2 when each regression sees the labels of the last one: c (s_0^2 + (t-1) s^2), c = d / (n - d - 1).

    Of x ~ N(0, I) in d dimensions without an intercept, the same inputs or new ones in every generation; it grows
    without bound (Gerstgrasser et al. 2024). noise: s_0^2, the variance of real labels about their mean.
    made_noise: s^2, that of made ones; the same by default. Raises ValueError unless n > d + 1.
    """
    made = noise if made_noise is None else made_noise
    return _regression_step(n, dimension) * (noise + made * (_fits(generations) - 1))


def regression_error_accumulate(
    generations: int, n: int, dimension: int, noise: float = 1.0, made_noise: float | None = None
) -> np.ndarray:
    """E |w_t - w|^2 when all labels are kept: c (s_0^2 + s^2 sum_{i=2..t} 1/i^2), at most pi^2/6 times that of one fit.

    Exact where every generation has the same inputs: the regression of all is the mean of those of each generation, so
    w_t = w_(t-1) + noise / t. With new inputs it is an upper bound (Gerstgrasser et al. 2024). The rest as
    in :func:`regression_error_replace`.
    """
    made = noise if made_noise is None else made_noise
    t = _fits(generations)
    return _regression_step(n, dimension) * (noise + made * (np.cumsum(1 / t**2.0) - 1))


def _regression_step(n: int, dimension: int) -> float:
    if n <= dimension + 1:
        raise ValueError(f"n: found {n} rows, allowed for dimension {dimension} are more than {dimension + 1}")
    return dimension / (n - dimension - 1)  # E tr (X'X)^-1 of an inverse Wishart matrix


# -- any regime -------------------------------------------------------------------------------------------------------


def regime_moments(
    regime: Regime,
    generations: int,
    ddof: int,
    samples: int,
    sampling_bias: float | dict[int, float] = 1.0,
    kernel: float | Callable[[float], float] = 0.0,
) -> Moments:
    """Drift and variance of an arm that eats no other arm's samples, whatever its regime: exact, by one recursion.

    The mean of a training set is a sum of uncorrelated terms, one for each block of rows that are always chosen
    together. A block of k samples of the model h has the mean of that model, itself such a sum, and noise of variance
    lambda V_h / k. Rows chosen anew in every generation from a stored set share the noise of the set, of variance
    lambda V_h / ``samples``, and have noise of their own. Those of a subsample of B rows from a pool of M have the mean
    of the pool and noise of (1/B - 1/M) times the variance in the pool. With the weights w of the rows, W = sum w, and
    E x^2 the weighted mean of D_h + lambda V_h (of 1 for real rows):

        D_t = sum of the terms' variances,  V_t = b_t (E x^2 - D_t) + k_t,  b_t = W / (W - ddof sum w^2 / W)

    By the law of total variance; :func:`replace_moments`, :func:`fresh_moments`, :func:`augmentation_moments`,
    :func:`accumulate_moments` and :func:`accumulate_subsample_moments` are special cases. Nothing in it is normal: it
    holds for any truth, and for every family that has the mean of its rows and their variance, or adds to it the
    variance of a ``kernel``: k_t is this number, or what a rule f^2 (:func:`kernel_rule`) makes of the rows' variance
    over n - 1, f^2(n) n / (n - 1) (E x^2 - D_t) with n = W^2 / sum w^2. In more than one dimension all this is true of
    the squared length of the mean and of the trace of the covariance, in units of the truth's.

    samples: rows of a stored set. Raises ValueError for a regime that eats the samples of another arm, and for one that
    subsamples rows of different weights.
    """
    if others := sorted({part.of for part in regime.synthetic} - {"self"}):
        raise ValueError(f"of: found {', '.join(others)}, allowed is self")
    recipes = [recipe(regime, "self", generation) for generation in range(generations + 1)]
    if regime.pool.budget is not None and any(len(set(one.weights.values())) > 1 for one in recipes):
        raise ValueError("weights: found different ones in a regime that subsamples, allowed are equal ones")
    blocks = _blocks(recipes)
    first_own = sum(len(ends) for ends in blocks.values())
    noise = np.zeros(first_own + generations + 1)  # variance of every term
    means = np.zeros((generations + 1, len(noise)))
    drifts, variances = np.zeros(generations + 1), np.zeros(generations + 1)
    for t, one in enumerate(recipes):
        counts = np.array([draw.count for draw in one.draws], np.float64)
        weights = np.array([one.weights["real" if draw.is_real else "synthetic"] for draw in one.draws])
        rows = float(counts @ weights)
        squares = float(counts @ weights**2) / rows
        mean, own, second = means[t], first_own + t, 0.0
        for draw, share in zip(one.draws, counts * weights / rows, strict=True):
            h, drift, spread = draw.generation, 0.0, 1.0
            if not draw.is_real:
                drift, spread = drifts[h], at(sampling_bias, h) * variances[h]
                mean += share * means[h]
            second += share * (drift + spread)
            before, chosen_anew = 0, not draw.is_real and not one.keeps_rows
            for end, term in blocks.get((draw.arm, h), {}).items():
                size = samples if chosen_anew else end - before
                if chosen_anew or end <= draw.count:
                    noise[term] = spread / size
                    mean[term] += share * (1.0 if chosen_anew else size / draw.count)
                before = end
            if chosen_anew:
                noise[own] += share**2 * spread * (1 / draw.count - (0.0 if one.resamples else 1 / samples))
        if one.budget is not None and one.budget < (pool := counts.sum()):
            rows, squares = float(one.budget), 1.0
            noise[own] = (second - mean**2 @ noise) * pool / (pool - 1) * (1 / rows - 1 / pool)
        mean[own] = 1.0
        drifts[t] = mean**2 @ noise
        factor, added, n = rows / (rows - ddof * squares), kernel, rows / squares
        if callable(kernel):
            factor, added = factor + kernel(n) * n / (n - 1), 0.0
        variances[t] = factor * (second - drifts[t]) + added
    return Moments(drifts, variances)


def _blocks(recipes: Sequence[Recipe]) -> dict[tuple[str, int], dict[int, int]]:
    """The blocks of every stored set, by (arm, generation): where each one ends -> the number of its term.

    Training sets that keep their rows take the first so many of an order that never changes: each number of rows that
    is taken ends a block. One that chooses anew shares the whole set alone; new samples are nobody else's.
    """
    ends: dict[tuple[str, int], set[int]] = {}
    for one in recipes:
        for draw in one.draws:
            if draw.is_real or one.keeps_rows:
                ends.setdefault((draw.arm, draw.generation), set()).add(draw.count)
            elif not one.resamples:
                ends[draw.arm, draw.generation] = {0}
    number = itertools.count()
    return {source: {end: next(number) for end in sorted(found)} for source, found in ends.items()}


# -- kernel density estimates and principal components ----------------------------------------------------------------


def kernel_rule(name: str, dimension: int) -> Callable[[float], float]:
    """The share f^2 of the rows' covariance that a rule gives to the kernel, as a function of the number of rows.

    scott: n^(-2/(d+4)) (Scott 1992). silverman: (n (d+2) / 4)^(-2/(d+4)) (Silverman 1986). Raises ValueError for
    another name.
    """
    scales = {"scott": 1.0, "silverman": (dimension + 2) / 4}
    if name not in scales:
        raise ValueError(f"bandwidth: found {name!r}, allowed are {', '.join(scales)}")
    return lambda n: (n * scales[name]) ** (-2 / (dimension + 4))


def kde_variance(generations: int, n: int, bandwidth: float) -> np.ndarray:
    """E variance of a kernel density estimate that sees its own samples: a^t + h^2 (1 - a^t) / (1 - a), a = 1 - 1/n.

    Every generation loses 1/n of the variance and adds h^2, up to n h^2: it inflates for h^2 > 1/n. In units of the
    truth's variance, one dimension. It is :func:`regime_moments` of replace with ``kernel`` h^2.
    """
    kept = (1 - 1 / n) ** _fits(generations)
    return kept + bandwidth**2 * n * (1 - kept)


def kde_rule_variance(generations: int, n: int, dimension: int, rule: str = "scott") -> np.ndarray:
    """E variance of a kernel density estimate whose kernel is a share of the rows' covariance: (1 - 1/n + f^2)^t.

    With f^2 = n^(-2/(d+4)) of Scott's rule it grows exponentially for every n > 1: over-smoothing without end.
    """
    return (1 - 1 / n + kernel_rule(rule, dimension)(n)) ** _fits(generations)


def ppca_trace(generations: int, spectrum: np.ndarray, components: int) -> np.ndarray:
    """Total variance of a loop of probabilistic principal components that samples without its noise, for n -> inf.

    sum_{i<=k} (l_i - s^2) with s^2 = sum_{i>k} l_i / (d - k) of the truth's spectrum, at once and for good: what is
    left has rank k, and no noise to take off any more. With its noise the loop keeps the trace.
    """
    spectrum = np.sort(np.asarray(spectrum, np.float64))[::-1]
    noise = spectrum[components:].mean() if components < len(spectrum) else 0.0
    return np.full(generations + 1, (spectrum[:components] - noise).sum())


# -- multinomial: the Wright-Fisher process ---------------------------------------------------------------------------


def heterozygosity(probabilities: np.ndarray) -> float:
    """H = 1 - sum p^2: the chance that two draws differ. Of the truth it is the H_0 of the laws below; (K,) float."""
    return float(1 - np.square(probabilities).sum())


def replace_heterozygosity(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """E H_t = H_0 (1 - 1/n)^t when each model sees n samples of the last one. E p_t stays at the truth."""
    return heterozygosity(truth) * replace_moments(generations, n, ddof=0).variance


def replace_share_variance(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """Var p_t = p (1-p) (1 - (1 - 1/n)^t) of every category: (generations + 1, K).

    In the end one category has everything, and it is category k with probability p_k. The weights of well-separated
    modes of a mixture follow the same law, and its modes die as categories do (:func:`survivors`).
    """
    truth = np.asarray(truth)
    return replace_moments(generations, n, ddof=0).drift[:, None] * truth * (1 - truth)


def fresh_share_error(generations: int, initial: int, fresh: int, synthetic: int, truth: np.ndarray) -> np.ndarray:
    """E sum (p_t - p)^2 with fresh real rows: H_0 D_t of :func:`fresh_moments` with ddof 0; its limit is H_0 / n_e.

    A share, like a mean, is a linear moment with a conserved total variance: H_0 is the variance of the truth.
    """
    return heterozygosity(truth) * fresh_moments(generations, initial, fresh, synthetic, ddof=0).drift


def accumulate_heterozygosity(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """E H_t = H_0 prod_{i<=t} (1 - 1/(n i^2)) when all rows are kept."""
    return heterozygosity(truth) * accumulate_moments(generations, n, ddof=0).variance


def extinction(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """The chance that each category has died out by each generation: (generations + 1, K), exact.

    The count of one category is a Markov chain with TM[a, b] = Binomial(b; n, a/n), from Binomial(n, p_k). It takes
    O(n^2) memory.
    """
    counts = np.arange(n + 1)
    steps, first = _binomial(n, counts / n), _binomial(n, np.asarray(truth, np.float64))
    gone, lost = (counts == 0).astype(np.float64), []  # the chance of being gone by now, by the count to begin with
    for _ in range(generations + 1):
        lost.append(first @ gone)
        gone = steps @ gone
    return np.array(lost)


def survivors(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """Expected number of categories that are left, exact by :func:`extinction`; after one fit sum_k 1 - (1-p_k)^n."""
    return (1 - extinction(generations, n, truth)).sum(axis=1)


def rare_extinction(generations: int, expected: float) -> np.ndarray:
    """The chance that a category of which ``expected`` = n p rows are expected has died out, for p << 1.

    exp(-n p (1 - f_(t-1))) with f_0 = 0, f_(s+1) = exp(-(1 - f_s)): a branching process of Poisson families.
    """
    family, lost = 0.0, []
    for _ in range(generations + 1):
        lost.append(math.exp(-expected * (1 - family)))
        family = math.exp(-(1 - family))
    return np.array(lost)


def absorption_time(n: int, share: float) -> float:
    """Expected number of generations until a category of this share is lost or has everything: exact, replace.

    T(a) = 1 + sum_b TM[a, b] T(b) with T(0) = T(n) = 0 over its counts a of n, from Binomial(n, p). O(n^2) memory.
    """
    counts = np.arange(n + 1)
    within = _binomial(n, counts[1:-1] / n)[:, 1:-1]
    times = np.linalg.solve(np.eye(n - 1) - within, np.ones(n - 1))
    return float(1 + _binomial(n, np.array([share]))[0, 1:-1] @ times)


def absorption_time_diffusion(n: int, share: float) -> float:
    """:func:`absorption_time` for large n: -2n (p ln p + (1-p) ln(1-p)) generations (Kimura and Ohta 1969)."""
    return float(-2 * n * (xlogy(share, share) + xlog1py(1 - share, -share)))


def distinct_items(generations: int, n: int) -> np.ndarray:
    """How many of n distinct rows are still among the training rows of a bootstrap, or of a kernel of width 0.

    The first model has n rows, all distinct; entry g is what g resamplings leave of them, E n (1 - extinction): n (1 -
    (1 - 1/n)^n), about .632 n, after one.
    """
    left = 1 - extinction(generations, n, np.array([1 / n]))[:generations, 0]
    return n * np.concatenate([[1.0], left])


def kingman_lineages(generations: int, n: int) -> np.ndarray:
    """:func:`distinct_items` for many generations: sum_k (2k-1) exp(-k (k-1) g / 2n), then about 2n/g.

    The number of lineages of Kingman's (1982) coalescent, in which two lineages meet at a time: before g = 20 too many
    meet at once. Entry 0 is n.
    """
    k = np.arange(1, n + 1)
    decay = np.exp(-np.outer(np.arange(1, generations + 1), k * (k - 1) / (2 * n)))
    return np.concatenate([[float(n)], decay @ (2.0 * k - 1)])


def temperature_shares(generations: int, truth: np.ndarray, sampling_bias: float) -> np.ndarray:
    """The shares of an infinitely large loop: p_t proportional to p^(lambda^-(t-1)), (generations + 1, K)."""
    powers = sampling_bias ** -(_fits(generations)[:, None] - 1.0)
    shares = (np.asarray(truth) / np.max(truth)) ** powers
    return shares / shares.sum(axis=1, keepdims=True)


def _binomial(n: int, p: np.ndarray) -> np.ndarray:
    counts = np.arange(n + 1)
    ways = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    return np.exp(ways + xlogy(counts, p[:, None]) + xlog1py(n - counts, -p[:, None]))


# -- multinomial with Laplace smoothing: mutation ---------------------------------------------------------------------


def laplace_shares(generations: int, n: int, alpha: float, truth: np.ndarray) -> np.ndarray:
    """E p_t = 1/K + (1-m)^t (p - 1/K): (generations + 1, K). The truth is forgotten in 1/m generations."""
    truth = np.asarray(truth)
    return 1 / len(truth) + (1 - _mutation(n, alpha, len(truth))) ** _fits(generations)[:, None] * (
        truth - 1 / len(truth)
    )


def laplace_homozygosity(
    generations: int, n: int, alpha: float, truth: np.ndarray, estimate: str = "mean"
) -> np.ndarray:
    """E J_t, J = sum p^2, under smoothing with pseudo-count alpha.

    mean: J' = (1-m)^2 ((1 - 1/n) J + 1/n) + (1 - (1-m)^2) / K. posterior_draw: then J'' = ((n + K alpha) J' + 1) /
    (n + K alpha + 1), the second moment of the Dirichlet law about its mean.
    """
    slope, constant = _homozygosity_step(n, alpha, len(truth), estimate)
    value, values = 1 - heterozygosity(truth), []
    for _ in range(generations + 1):
        value = slope * value + constant
        values.append(value)
    return np.array(values)


def laplace_homozygosity_limit(n: int, alpha: float, categories: int, estimate: str = "mean") -> float:
    """The limit of :func:`laplace_homozygosity`.

    With posterior_draw it is (1 + alpha) / (1 + K alpha) for every n: the loop is a Gibbs sampler, whose stationary law
    is the prior Dirichlet(alpha) (Griffiths and Kalish 2007). With mean it is near that of Dirichlet(2 alpha) for
    n >> K alpha.
    """
    slope, constant = _homozygosity_step(n, alpha, categories, estimate)
    return constant / (1 - slope)


def laplace_fresh_limit(fresh: int, synthetic: int, alpha: float, truth: np.ndarray) -> np.ndarray:
    """E p in the long run with fresh real rows: ((1-m) p_real p + m/K) / (1 - (1-m) q), (K,), p_real the real share.

    A category that is impossible in truth gets a share: smoothing hallucinates.
    """
    truth, total = np.asarray(truth), fresh + synthetic
    m = _mutation(total, alpha, len(truth))
    return ((1 - m) * fresh / total * truth + m / len(truth)) / (1 - (1 - m) * synthetic / total)


def _mutation(n: int, alpha: float, categories: int) -> float:
    return categories * alpha / (n + categories * alpha)


def _homozygosity_step(n: int, alpha: float, categories: int, estimate: str) -> tuple[float, float]:
    kept = (1 - _mutation(n, alpha, categories)) ** 2
    slope, constant = kept * (1 - 1 / n), kept / n + (1 - kept) / categories
    if estimate == "mean":
        return slope, constant
    rows = n + categories * alpha
    return slope * rows / (rows + 1), (constant * rows + 1) / (rows + 1)


# -- naive Bayes ------------------------------------------------------------------------------------------------------


def independent_homozygosity(generations: int, n: int, marginals: Sequence[np.ndarray]) -> np.ndarray:
    """E sum p^2 over all combinations of independent features, replace: prod_j (1 - H_j (1 - 1/n)^t).

    The features of a naive Bayes model without a class drift apart from one another, each as a multinomial of its own;
    exact where they are independent in truth. From then on all that a loop loses is in the marginals: dependence is
    gone with the first fit, and the Kullback-Leibler divergence of that loss is the total correlation.
    """
    kept = replace_moments(generations, n, ddof=0).variance
    return np.prod([1 - heterozygosity(shares) * kept for shares in marginals], axis=0)


def between_classes_covariance(generations: int, n: int, between: float) -> np.ndarray:
    """E covariance of two features between two classes, of naive Bayes with a class, replace: B (1 - 1/n)^t.

    B = pi (1 - pi) (difference of one feature's means) (that of the other) in truth, where features are independent
    within classes; the covariance within is lost at the first fit. While no class is empty.
    """
    return between * replace_moments(generations, n, ddof=0).variance


# -- retraining from the last model -----------------------------------------------------------------------------------


def contraction(synthetic_to_real: float, correction: float = 0.0) -> float:
    """By how much a generation of infinite data shrinks the distance to the truth: lambda / ((1+lambda)(1+gamma)).

    lambda: weight of the synthetic rows for a weight of 1 of the real ones; gamma: samples are drawn from (p + gamma
    truth) / (1 + gamma), the self-correction of Gillman et al. (2024). Of the mean parameters of an exponential family,
    for every lambda: so the bound of :func:`is_stable` is sufficient, and not necessary.
    """
    return synthetic_to_real / ((1 + synthetic_to_real) * (1 + correction))


def local_slopes(data_curvature: np.ndarray, information: np.ndarray, synthetic_to_real: float) -> np.ndarray:
    """Eigenvalues of the retraining map at its fixed point, (A + lambda B)^-1 lambda B, by size: (d,) complex or float.

    A: E_data [-Hessian log p] (d, d) at the fixed point; B: the Fisher information of the model there (d, d). The loop
    is locally stable if all are below 1 in absolute value; of a well-specified model, A = B, all are
    :func:`contraction`. By differentiating E_data[score] + lambda E_model[score] = 0 (Bertrand et al. 2024).
    """
    jacobian = np.linalg.solve(data_curvature + synthetic_to_real * information, synthetic_to_real * information)
    values = np.linalg.eigvals(jacobian)
    return values[np.argsort(-abs(values))]


def is_stable(
    synthetic_to_real: float, curvature: float, lipschitz: float, error: float, correction: float = 0
) -> bool:
    """Whether the sufficient condition lambda (1 + L e / alpha) < (1 + gamma) / (2 + gamma) holds.

    1/2 without correction (Bertrand et al. 2024), more with it (Gillman et al. 2024). alpha: curvature, the least
    eigenvalue of A; L: lipschitz, of the Hessian; e: the error of the first model in Wasserstein distance. A loop that
    fails it need not diverge.
    """
    limit = (1 + correction) / (2 + correction)
    return synthetic_to_real * (1 + lipschitz * error / curvature) < limit


# -- selection --------------------------------------------------------------------------------------------------------


def curated_shares(generations: int, truth: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """The shares of an infinite loop whose samples are chosen from ever more candidates: p_g prop. p e^(g r).

    (generations + 1, types); generation 0 is not chosen from. Ferbach et al. (2024), K -> inf. A Gaussian likewise
    moves by beta a generation and keeps its variance for r = beta x; its precision grows by beta for r = -beta x^2 / 2.
    """
    logs = np.log(np.asarray(truth, np.float64)) + np.outer(np.arange(generations + 1), rewards)
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def chosen_shares(shares: np.ndarray, rewards: np.ndarray, choices: int) -> np.ndarray:
    """The shares after one choice among K = ``choices`` samples by the softmax of their rewards: exact, (types,).

    p'_i = K p_i E[e^(r_i) / (e^(r_i) + sum of e^(r) of K - 1 others)] (Bradley-Terry for K = 2: with a gap of D between
    two types, p' = p^2 + 2 p (1-p) s, s = 1 / (1 + e^-D)). Over all sets of K - 1 others: for few types and choices.
    """
    shares, weights = np.asarray(shares, np.float64), np.exp(np.asarray(rewards, np.float64) - np.max(rewards))
    chosen = np.zeros(len(shares))
    for others in itertools.combinations_with_replacement(range(len(shares)), choices - 1):
        counts = np.bincount(others, minlength=len(shares)) if others else np.zeros(len(shares), int)
        ways = math.factorial(choices - 1) / math.prod(map(math.factorial, counts.tolist()))
        chosen += ways * np.prod(shares**counts) * choices * shares * weights / (weights + counts @ weights)
    return chosen


def choice_shares(
    generations: int,
    truth: np.ndarray,
    rewards: np.ndarray,
    choices: int,
    synthetic_to_real: float = math.inf,
) -> np.ndarray:
    """The shares of an infinite loop with a choice among K samples: (generations + 1, types), from the truth.

    p' = (p_0 + lambda chosen(p)) / (1 + lambda), lambda = ``synthetic_to_real``; without real rows chosen(p) (Ferbach
    et al. 2024). E e^r never falls, and rises by at least (K-1)/K Var(e^r) / max e^r in a step of choice alone.
    """
    truth = np.asarray(truth, np.float64)
    real = 1 / (1 + synthetic_to_real)
    shares = [truth]
    for _ in range(generations):
        shares.append(real * truth + (1 - real) * chosen_shares(shares[-1], rewards, choices))
    return np.array(shares)


def choice_divergence_bound(choices: int, synthetic_to_real: float) -> float:
    """The most that KL(p_t, p_0) can be beside real rows, in nats: -log(1 - lambda (K-1)).

    Ferbach et al. (2024), theorem 2.4. The ratio of densities is at most 1 / (1 - lambda (K-1)). Infinite unless
    lambda < 1 / (K-1).
    """
    left = 1 - synthetic_to_real * (choices - 1)
    return -math.log(left) if left > 0 else math.inf


def best_of_divergence(choices: int) -> float:
    """The most that KL(best of n samples, the model) can be, and its value for a continuous reward: log n - (n-1)/n."""
    return math.log(choices) - (choices - 1) / choices


def top_share_moments(share: float) -> Moments:
    """How far the best ``share`` of normal samples moves the mean, in sd, and the factor of its variance, once.

    i = phi(z) / a with 1 - Phi(z) = a: mean + i sd, variance times 1 - i (i - z). The breeder's truncation selection;
    here ``drift`` is the move i itself, and not its square.
    """
    z = float(ndtri(1 - share))
    intensity = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) / share
    return Moments(intensity, 1 - intensity * (intensity - z))


def cut_variance(cut: float) -> float:
    """The factor of the variance of normal samples within ``cut`` sd of their mean: 1 - 2 c phi(c) / (2 Phi(c) - 1).

    What a filter of realism does in every generation: the variance falls by the same factor each time it is fitted.
    """
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    return float(1 - 2 * cut * density / (2 * ndtr(cut) - 1))


def selected_fixation(n: int, share: float, gap: float) -> float:
    """The chance that a type of this share ends with everything, if pairs of samples are chosen from by reward, for n
    samples a generation: (1 - e^(-2 n s p)) / (1 - e^(-2 n s)), s = tanh(gap / 2) (Kimura 1962). p without a gap.
    """
    s = math.tanh(gap / 2)
    return float(np.expm1(-2 * n * s * share) / np.expm1(-2 * n * s)) if s else share


def verified_error(error: float, keeps_right: float, keeps_wrong: float) -> float:
    """The share of wrong labels after a verifier: p psi / (p psi + (1-p) phi) (Feng et al. 2024).

    error: p, before it. keeps_right: phi, keeps_wrong: psi, the chances that it keeps a right and a wrong label.
    """
    return error * keeps_wrong / (error * keeps_wrong + (1 - error) * keeps_right)


def verification_threshold(keeps_right: float, keeps_wrong: float) -> float:
    """The share of wrong labels below which learning from verified labels succeeds: p* = 1 / (1 + psi/phi).

    There :func:`verified_error` is 1/2; a sharp threshold for a linear classifier of many rows (Feng et al. 2024).
    """
    return 1 / (1 + keeps_wrong / keeps_right)


# -- detectors, marks and forgetting ----------------------------------------------------------------------------------


def purged_share(share: float, found: float, false_alarm: float) -> float:
    """The synthetic share that a detector leaves: q (1-b) / (q (1-b) + (1-q)(1-a)).

    found: b, the chance that it finds a synthetic row; false_alarm: a, that it takes a real one for synthetic.
    Put the result into :func:`fresh_limit` for what it does to a loop.
    """
    kept = share * (1 - found)
    return kept / (kept + (1 - share) * (1 - false_alarm))


def relearned_share(generations: int, share: float, synthetic: float) -> np.ndarray:
    """E share of a class that was deleted at generation 0, in a loop whose real rows still have it: pi (1 - q^g).

    share: pi, of the class in real data; synthetic: q, of the rows of a training set. Without real rows it stays 0.
    """
    return share * (1 - synthetic ** np.arange(generations + 1.0))


def constant_shift(generations: int, shift: float, synthetic: float) -> np.ndarray:
    """The mean of a model when every sample of its ancestors was shifted by a: d' = q (d + a), d = 0 at generation 0.

    It ends at a q / (1-q) = a n_s / n_r, and grows by a in every generation without real rows (q = 1): a watermark with
    one key is amplified.
    """
    shifts = [0.0]
    for _ in range(generations):
        shifts.append(synthetic * (shifts[-1] + shift))
    return np.array(shifts)


def artefact_power(generations: int, gain: float) -> np.ndarray:
    """The power of an artefact that every generator amplifies by 1 + ``gain`` at its frequency: (1 + e)^(2g)."""
    return (1 + gain) ** (2.0 * np.arange(generations + 1))
