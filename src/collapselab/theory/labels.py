"""A model of words and one of pictures that learn from what they have made together.

The words are the shares of K labels, the pictures a Gaussian for each label, as in Gao and Li (2025, arXiv 2503.08117),
who say which of the two collapses when, and that each hastens the other's end. In every generation the words give n
labels, of each of which the pictures draw a sample, and both are fitted to these n pairs: the shares to the counts N_k,
the Gaussian of label k to its N_k samples, by maximum likelihood. The laws here are exact, and follow from two facts:
the count of a label is a Markov chain, Binomial(n, N_k / n) from one generation to the next; and given the count, the
fit to N samples of a normal law of variance v has a mean of variance v / N about its own, and a variance of v f(N) on
average,

    f(N) = 1 - 1/N,   f(0) = 1,

since a label of which there are no samples keeps its Gaussian. What becomes of the words alone is the Wright-Fisher
process (``theory.multinomial``).
"""

import numpy as np

from .multinomial import binomial


def kept(counts: np.ndarray) -> np.ndarray:
    """f(N) of each count: what a fit by maximum likelihood leaves of a variance, and all of it without any sample."""
    counts = np.asarray(counts, np.float64)
    return np.where(counts > 0, 1 - 1 / np.maximum(counts, 1), 1.0)


def variance_of_pictures(generations: int, n: int, truth: np.ndarray) -> np.ndarray:
    """E [v_k,t 1(N_k,t >= 1)] / v_k where words and pictures learn from each other: (generations + 1, K).

        E [ prod_{s <= t} f(N_s) 1(N_t >= 1) ],   N_0 ~ Binomial(n, p_k),   N_s+1 ~ Binomial(n, N_s / n)

    N_t are the rows that model t is fitted to, N_0 real ones. A label that has died out counts 0, since nothing shows
    its pictures any more. Those of a rare label are alike sooner than those of a common one; the more unequal the words
    become, the sooner the pictures of most, until few labels are left, of which each has many samples. It takes O(n^2)
    memory. truth: (K,) the shares of the labels.
    """
    counts = np.arange(n + 1)
    steps, left = binomial(n, counts / n), kept(counts)
    mass, found = binomial(n, np.asarray(truth, np.float64)) * left, []
    for _ in range(generations + 1):
        found.append(mass[:, 1:].sum(axis=1))
        mass = (mass @ steps) * left
    return np.array(found)


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

    A fit takes of the variance what it moves the mean by, v / N on average, so that what one loses the other has: the
    pictures of a label become alike, and on average no further from its mean than real ones. (generations + 1, K).
    """
    there = 1 - binomial(n, np.asarray(truth, np.float64))[:, 0]
    return there - variance_beside_frozen_words(generations, n, truth)
