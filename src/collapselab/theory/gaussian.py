"""The Gaussian loop: fully synthetic, with fresh real data, with the same real data, with all data kept, and of rank k.

In units of the truth, N(0, 1) in every dimension.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import digamma, polygamma

from .moments import Moments, fits, shrinkage

# -- fully synthetic ("replace") --------------------------------------------------------------------------------------


def replace_moments(generations: int, n: int, ddof: int, sampling_bias: float = 1.0) -> Moments:
    """Drift and variance when each model sees n samples of the last one (Alemohammad et al. 2023 for ddof 1).

    V_t = lambda^(t-1) a^t,  D_t = (V_0 + lambda V_1 + ... + lambda V_(t-1)) / n with V_0 = 1 for the real data.
    With ddof 1 and lambda 1: V = 1, D = t / n. With ddof 0 and lambda 1: V = (1 - 1/n)^t, D = 1 - V.
    """
    t = fits(generations)
    variance = sampling_bias ** (t - 1.0) * shrinkage(n, ddof) ** t
    sampled = np.concatenate([[1.0], sampling_bias * variance[:-1]])
    return Moments(np.cumsum(sampled) / n, variance)


def replace_sd(generations: int, n: int, ddof: int, sampling_bias: float = 1.0) -> np.ndarray:
    """Expected standard deviation: lambda^((t-1)/2) (c4 sqrt(a))^t.

    c4 = sqrt(2/(n-1)) Gamma(n/2) / Gamma((n-1)/2), about 1 - 1/(4n).
    """
    t = fits(generations)
    c4 = math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
    return sampling_bias ** ((t - 1) / 2) * (c4 * math.sqrt(shrinkage(n, ddof))) ** t


def replace_log_variance(
    generations: int, n: int, ddof: int, sampling_bias: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over replicates of log v_t, which is nearly normal while v_t itself has heavy tails.

    E log v_t = t (psi((n-1)/2) + log(2/(n - ddof))) + (t-1) log lambda,  Var log v_t = t psi_1((n-1)/2).
    So the typical variance falls at a rate of about 1/n even where its mean is constant.
    """
    t = fits(generations)
    step = digamma((n - 1) / 2) + math.log(2 / (n - ddof))
    return t * step + (t - 1) * math.log(sampling_bias), t * polygamma(1, (n - 1) / 2)


def replace_second_moment(generations: int, n: int, ddof: int, sampling_bias: float = 1.0) -> np.ndarray:
    """E v_t^2 = lambda^(2(t-1)) r^t with r = 1 - 1/n^2 for ddof 0 and 1 + 2/(n-1) for ddof 1.

    It says how many replicates a test of V needs: (E v_t^2 / V_t^2 - 1) / e^2 for a relative standard error e.
    """
    t = fits(generations)
    return sampling_bias ** (2.0 * (t - 1)) * ((1 + 2 / (n - 1)) * shrinkage(n, ddof) ** 2) ** t


def replace_w2(generations: int, n: int, ddof: int, sampling_bias: float = 1.0) -> np.ndarray:
    """Expected squared Wasserstein distance to the truth, D + V - 2 E sd + 1: exact, one dimension.

    To first order in 1/n it is 3t/(2n) for lambda 1 (Shumailov et al. 2024).
    """
    drift, variance = replace_moments(generations, n, ddof, sampling_bias)
    return drift + variance - 2 * replace_sd(generations, n, ddof, sampling_bias) + 1


def replace_determinant(generations: int, n: int, ddof: int, dimension: int, sampling_bias: float = 1.0) -> np.ndarray:
    """Expected determinant of the covariance: lambda^(d(t-1)) (prod_{i<d} (n-1-i) / (n-ddof)^d)^t."""
    t, i = fits(generations), np.arange(dimension)
    return sampling_bias ** (dimension * (t - 1.0)) * np.prod((n - 1 - i) / (n - ddof)) ** t


def replace_log_determinant(
    generations: int, n: int, ddof: int, dimension: int, sampling_bias: float = 1.0
) -> np.ndarray:
    """Expected log determinant: t (sum_{i<d} psi((n-1-i)/2) + d log(2/(n-ddof))) + d (t-1) log lambda, for n > d."""
    t, i = fits(generations), np.arange(dimension)
    step = digamma((n - 1 - i) / 2).sum() + dimension * math.log(2 / (n - ddof))
    return t * step + dimension * (t - 1) * math.log(sampling_bias)


def replace_log_determinant_variance(generations: int, n: int, dimension: int) -> np.ndarray:
    """Var log det over replicates, t sum_{i<d} psi_1((n-1-i)/2), for n > d: log det of a Wishart matrix is a sum of
    independent log chi-squares (Bartlett 1933).
    """
    return fits(generations) * polygamma(1, (n - 1 - np.arange(dimension)) / 2).sum()


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
    return fits(generations) * (dimension / n + dimension * (dimension + 1) / (4 * n))


# -- fresh real data --------------------------------------------------------------------------------------------------


def fresh_moments(
    generations: int, initial: int, fresh: int, synthetic: int, ddof: int, sampling_bias: float = 1.0
) -> Moments:
    """Drift and variance when each model sees ``fresh`` new real rows and ``synthetic`` samples of the last model.

    D' = q^2 D + (p + q lambda V) / N,  V' = a (p + q lambda V) + b p q D, from D = 1/n, V = a of ``initial`` real rows.
    """
    matrix, constant = _fresh_step(fresh, synthetic, ddof, sampling_bias)
    state = np.array([1 / initial, shrinkage(initial, ddof)])
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
    a, b = shrinkage(total, ddof), total / (total - ddof)
    matrix = np.array([[q**2, q * sampling_bias / total], [b * p * q, a * q * sampling_bias]])
    return matrix, np.array([p / total, a * p])


# -- synthetic augmentation -------------------------------------------------------------------------------------------


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


# -- accumulating data ------------------------------------------------------------------------------------------------


def accumulate_moments(generations: int, n: int, ddof: int) -> Moments:
    """Drift and variance when the n real rows and the n samples of every model so far are kept, lambda 1.

    ddof 0: V_t = prod_{i<=t} (1 - 1/(n i^2)), D = 1 - V. ddof 1, with P the expected square of the pooled mean:
    P = ((t-1) P + V + D) / t;  D' = D + V / (n t^2);  V' = t n / (t n - 1) (P - D'), from P = 0, D = 0, V = 1.
    """
    t = fits(generations)
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


# -- principal components ---------------------------------------------------------------------------------------------


def ppca_trace(generations: int, spectrum: np.ndarray, components: int) -> np.ndarray:
    """Total variance of a loop of probabilistic principal components that samples without its noise, for n -> inf.

    sum_{i<=k} (l_i - s^2) with s^2 = sum_{i>k} l_i / (d - k) of the truth's spectrum, at once and for good: what is
    left has rank k, and no noise to take off any more. With its noise the loop keeps the trace.
    """
    spectrum = np.sort(np.asarray(spectrum, np.float64))[::-1]
    noise = spectrum[components:].mean() if components < len(spectrum) else 0.0
    return np.full(generations + 1, (spectrum[:components] - noise).sum())
