"""The loop of logistic regressions, each of which sees the labels that earlier ones gave, to first order in 1/n.

Of a fit to n rows the error is I^-1 times the mean score, I(w) the Fisher information of a row, so that errors of
generations add up as those of a linear regression do: nothing else of the family plays a part (Dey and Donoho 2024,
arXiv 2410.22812, for generalised linear models).
"""

import math

import numpy as np

from ..models.logistic_regression import information
from .moments import fits

ENDLESS = math.pi**2 / 6  # sum of 1 / i^2: the variance of accumulated labels over that of one fit, in the end


def pathway(generations: int, accumulates: bool) -> np.ndarray:
    """The variance of the t-th fit over that of the first, of any regular family: (generations + 1,).

    t where labels are replaced; where all are kept w_t = w_(t-1) + noise / t, so that it is sum_{i<=t} 1/i^2, which
    ends at pi^2/6 (Dey and Donoho 2024).
    """
    t = fits(generations).astype(np.float64)
    return np.cumsum(1 / t**2) if accumulates else t


def logistic_variance(generations: int, n: int, w: np.ndarray, accumulates: bool = False) -> np.ndarray:
    """E |w_t - w|^2 = tr I(w)^-1 / n times :func:`pathway`: (generations + 1,), for many rows n.

    Of inputs N(0, I): I(w) has the eigenvalue E sigma'(|w| Z) Z^2 along w, and E sigma'(|w| Z) across it.
    """
    along, across = information(float(np.linalg.norm(w)))
    return (1 / along + (len(w) - 1) / across) / n * pathway(generations, accumulates)


def logistic_error(generations: int, n: int, w: np.ndarray, accumulates: bool = False) -> np.ndarray:
    """E |c_t - c|^2 = 4 tr I(w) / n times :func:`pathway`, c = Cov(x, y): (generations + 1,), for many rows n.

    c is twice the mean parameter E[x (y + 1) / 2], whose slope in w is the information: dc = 2 I dw, and so Cov(c_t) =
    4 I I^-1 I / n. It is the metric ``regression_error``: c is the best linear prediction of a label.
    """
    along, across = information(float(np.linalg.norm(w)))
    return 4 * (along + (len(w) - 1) * across) / n * pathway(generations, accumulates)
