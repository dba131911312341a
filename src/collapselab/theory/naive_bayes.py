"""The loop of naive Bayes models, whose independent features drift each as a multinomial of its own."""

from collections.abc import Sequence

import numpy as np

from .gaussian import replace_moments
from .multinomial import heterozygosity


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
