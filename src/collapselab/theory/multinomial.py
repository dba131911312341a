"""The multinomial loop: the Wright-Fisher process of population genetics; with Laplace smoothing, one with mutation."""

import math

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from .gaussian import accumulate_moments, fresh_moments, replace_moments
from .moments import fits


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
    steps, first = binomial(n, counts / n), binomial(n, np.asarray(truth, np.float64))
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
    within = binomial(n, counts[1:-1] / n)[:, 1:-1]
    times = np.linalg.solve(np.eye(n - 1) - within, np.ones(n - 1))
    return float(1 + binomial(n, np.array([share]))[0, 1:-1] @ times)


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
    powers = sampling_bias ** -(fits(generations)[:, None] - 1.0)
    shares = (np.asarray(truth) / np.max(truth)) ** powers
    return shares / shares.sum(axis=1, keepdims=True)


def binomial(n: int, p: np.ndarray) -> np.ndarray:
    """The chance of each count 0 .. n, for each p: (len(p), n + 1)."""
    counts = np.arange(n + 1)
    ways = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    return np.exp(ways + xlogy(counts, p[:, None]) + xlog1py(n - counts, -p[:, None]))


# -- with Laplace smoothing: mutation ---------------------------------------------------------------------------------


def laplace_shares(generations: int, n: int, alpha: float, truth: np.ndarray) -> np.ndarray:
    """E p_t = 1/K + (1-m)^t (p - 1/K): (generations + 1, K). The truth is forgotten in 1/m generations."""
    truth = np.asarray(truth)
    return 1 / len(truth) + (1 - _mutation(n, alpha, len(truth))) ** fits(generations)[:, None] * (
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
