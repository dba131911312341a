"""A model of words and one of pictures that learn from what they have made together (Gao and Li 2025, arXiv 2503.08117).

The words are the shares of K labels, the pictures a Gaussian for each label. In every generation the words give n
labels, of each of which the pictures draw a sample, and both are fitted to these n pairs: the shares to the counts N_k,
the Gaussian of label k to its N_k samples, by maximum likelihood. The paper says which of the two collapses, and that
each hastens the other's end; the laws here are exact, and follow from two facts. The count of a label is a Markov chain,
Binomial(n, N_k / n) from one generation to the next. And given the count, a fit to N samples has a mean of variance
v / N about the one before, and on average a variance of v f(N),

    f(N) = 1 - 1/N,   f(0) = 1,

since a label of which there are no samples keeps its Gaussian. Labels do not hang on each other but by their counts.
"""

from collections.abc import Callable

import numpy as np

from .multinomial import binomial


def kept(counts: np.ndarray) -> np.ndarray:
    """f(N) of each count: what a fit by maximum likelihood leaves of a variance, and all of it without any sample."""
    counts = np.asarray(counts, np.float64)
    return np.where(counts > 0, 1 - 1 / np.maximum(counts, 1), 1.0)


def variance_of_pictures(generations: int, n: int, truth: np.ndarray, least: int = 1) -> np.ndarray:
    """E [v_k,t 1(N_k,t >= least)] / v_k where words and pictures learn from each other: (generations + 1, K).

        E [ prod_{s <= t} f(N_s) 1(N_t >= least) ],   N_0 ~ Binomial(n, p_k),   N_s+1 ~ Binomial(n, N_s / n)

    The real rows of generation 0 are the first fit, and N_t are the samples that model t is fitted to. A label that has
    died out counts 0, since nothing shows its pictures any more. least: 2 for what a sample variance can be told of. It
    takes O(n^2) memory. truth: (K,) the shares of the labels.
    """
    return _chain(generations, n, truth, kept, least)


def variance_beside_frozen_words(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """E v_k,t / v_k where the words are always those of the n real rows: (generations + 1, K).

        E [ f(N_0) (E [f(N) | N_0])^t ],   N ~ Binomial(n, N_0 / n),   N_0 ~ Binomial(n, p_k)

    Given the words the counts of generations are independent, so that a variance shrinks exponentially. Labels that the
    n real rows have not are counted 0.
    """
    counts = np.arange(n + 1)
    steps = binomial(n, counts / n) @ kept(counts)
    first = binomial(n, np.asarray(truth, np.float64)) * (kept(counts) * (counts > 0))
    return np.array([first @ steps**t for t in range(generations + 1)])


def drift_beside_frozen_words(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """E |mean_k,t - mean_k|^2 / v_k a dimension where the words are frozen, over labels that the real rows have.

        E [ (1 - f(N_0) (E [f(N) | N_0])^t) 1(N_0 > 0) ]

    A fit moves the mean by what it takes of the variance, v / N, so that what is lost of the one is found in the other:
    the pictures become alike, and stay as near to the truth as real ones are. (generations + 1, K), below 1.
    """
    there = 1 - binomial(n, np.asarray(truth, np.float64))[:, 0]
    return there - variance_beside_frozen_words(generations, n, truth)


def chance_of_a_word(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """P (N_k,t >= 1) by each generation where the words learn, whatever becomes of the pictures: (generations + 1, K)."""
    return _chain(generations, n, truth, np.ones_like, 1)


def _chain(
    generations: int, n: int, truth: np.ndarray, weight: Callable[[np.ndarray], np.ndarray], least: int
) -> np.ndarray:
    """E [ prod_{s <= t} weight(N_s) 1(N_t >= least) ] of the chain of counts: (generations + 1, K)."""
    counts = np.arange(n + 1)
    steps, weights = binomial(n, counts / n), weight(np.asarray(counts, np.float64))
    mass, found = binomial(n, np.asarray(truth, np.float64)) * weights, []
    for _ in range(generations + 1):
        found.append(mass[:, least:].sum(axis=1))
        mass = (mass @ steps) * weights
    return np.array(found)
