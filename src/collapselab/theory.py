"""What the closed forms predict for the Gaussian and the multinomial family.

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
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, gammaln, polygamma, xlog1py, xlogy

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


# -- any regime -------------------------------------------------------------------------------------------------------


def regime_moments(
    regime: Regime,
    generations: int,
    ddof: int,
    samples: int,
    sampling_bias: float | dict[int, float] = 1.0,
    kernel: float = 0.0,
) -> Moments:
    """Drift and variance of an arm that eats no other arm's samples, whatever its regime: exact, by one recursion.

    The mean of a training set is a sum of uncorrelated terms, one for each block of rows that are always chosen
    together. A block of k samples of the model h has the mean of that model, itself such a sum, and noise of variance
    lambda V_h / k. Rows chosen anew in every generation from a stored set share the noise of the set, of variance
    lambda V_h / ``samples``, and have noise of their own. Those of a subsample of B rows from a pool of M have the mean
    of the pool and noise of (1/B - 1/M) times the variance in the pool. With the weights w of the rows, W = sum w, and
    E x^2 the weighted mean of D_h + lambda V_h (of 1 for real rows):

        D_t = sum of the terms' variances,  V_t = W / (W - ddof sum w^2 / W) (E x^2 - D_t) + h^2

    By the law of total variance; :func:`replace_moments`, :func:`fresh_moments`, :func:`augmentation_moments`,
    :func:`accumulate_moments` and :func:`accumulate_subsample_moments` are special cases. Nothing in it is normal: it
    holds for any truth, and for every family that has the mean of its rows and their variance, or, as kernel density
    estimates have, ``kernel`` = h^2 more.

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
        variances[t] = rows / (rows - ddof * squares) * (second - drifts[t]) + kernel
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


# -- multinomial: the Wright-Fisher process ---------------------------------------------------------------------------


def heterozygosity(probabilities: np.ndarray) -> float:
    """H = 1 - sum p^2: the chance that two draws differ. Of the truth it is the H_0 of the laws below; (K,) float."""
    return float(1 - np.square(probabilities).sum())


def replace_heterozygosity(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """E H_t = H_0 (1 - 1/n)^t when each model sees n samples of the last one. E p_t stays at the truth."""
    return heterozygosity(truth) * replace_moments(generations, n, ddof=0).variance


def replace_share_variance(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """Var p_t = p (1-p) (1 - (1 - 1/n)^t) of every category: (generations + 1, K).

    In the end one category has everything, and it is category k with probability p_k.
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
    truth = np.asarray(truth, np.float64)
    counts = np.arange(n + 1)
    steps = _binomial(n, counts / n)
    chances, lost = _binomial(n, truth), []
    for _ in range(generations + 1):
        lost.append(chances[:, 0])
        chances = chances @ steps
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
