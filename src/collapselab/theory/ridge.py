"""The loop of ridge regressions on new inputs x ~ N(0, S), each of which sees the labels that the last one gave.

In the eigenvectors of S, of variances s_i, a fit to n rows is w' = M w + noise, M = (X'X / n + lambda)^-1 X'X / n. By
the symmetry of each input the error E sum_i s_i (w_t,i - w_i)^2 closes in the means and the second moments of each
coefficient, in which it is linear. Without a penalty M = 1, and the law is exact and that of any spectrum
(``regression_error_replace``); with one, E M and E M_ki^2 are their deterministic equivalents, whose error falls as 1/n
for a given d/n.
"""

from typing import NamedTuple

import numpy as np


class RidgeRisk(NamedTuple):
    """What the test error of a loop is made of, each (generations + 1,).

    bias: what labels without noise would leave. variance: of the noise of the last labels. inherited: of the noise of
    all labels before them.
    """

    bias: np.ndarray
    variance: np.ndarray
    inherited: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """All of it."""
        return self.bias + self.variance + self.inherited


def effective_penalty(penalty: float, n: int, variances: np.ndarray) -> float:
    """kappa >= lambda with lambda = kappa (1 - df_1 / n), df_1 = sum s_i / (s_i + kappa): unique.

    What a penalty comes to among n rows: E M = S (S + kappa)^-1. Found by bisection on its logarithm.
    """
    variances = np.asarray(variances, np.float64)
    low, high = np.log(penalty), np.log(penalty + variances.sum() / n)  # df_1 <= sum s / kappa
    for _ in range(200):
        middle = (low + high) / 2
        kappa = np.exp(middle)
        over = kappa * (1 - (variances / (variances + kappa)).sum() / n) > penalty
        low, high = (low, middle) if over else (middle, high)
    return float(np.exp((low + high) / 2))


class _Step(NamedTuple):
    """One fit of a penalty: E M_ii (d,), E M_ki^2 (d, d), and the variance of each coefficient for labels' noise 1."""

    kept: np.ndarray
    squares: np.ndarray
    own: np.ndarray


def _step(n: int, penalty: float, s: np.ndarray) -> _Step:
    kappa = effective_penalty(penalty, n, s)
    kept, u = s / (s + kappa), s / (s + kappa) ** 2
    left = n - (kept**2).sum()
    return _Step(kept, np.diag(kept**2) + kappa**2 * np.outer(u, u) / left, u / left)


def ridge_risk(
    generations: int,
    n: int,
    penalty: float,
    variances: np.ndarray,
    w: np.ndarray,
    noise: float = 1.0,
    made_noise: float | None = None,
) -> RidgeRisk:
    """The test error of each regression in a loop of replace that all have the penalty, for many rows n.

    With kappa of :func:`effective_penalty`, m_i = s_i / (s_i + kappa), u_i = s_i / (s_i + kappa)^2, df_2 = sum m_i^2:

        E M_ii = m_i,  E M_ki^2 = [k = i] m_i^2 + kappa^2 u_i u_k / (n - df_2)

    and labels of noise 1 give coefficient k the variance u_k / (n - df_2): the deterministic equivalents of one and of
    two resolvents of a Wishart matrix (Bach 2024, arXiv 2303.01372). The bias grows, since each regression shrinks what
    the last one left.

    variances, w: (d,). noise: s_0^2, the variance of real labels about their mean. made_noise: that of made ones, the
    same by default.
    """
    s, w = np.asarray(variances, np.float64), np.asarray(w, np.float64)
    made, step = noise if made_noise is None else made_noise, _step(n, penalty, s)
    mean, second, inherited = w, w**2, np.zeros_like(w)
    rows = []
    for generation in range(generations + 1):
        own = (made if generation else noise) * step.own
        mean, second, inherited = step.kept * mean, step.squares @ second, step.squares @ inherited
        rows.append((s @ (second - 2 * mean * w + w**2), s @ own, s @ inherited))
        inherited = inherited + own
    return RidgeRisk(*np.array(rows).T)


def ridge_on_made_labels(
    generations: int, made_of: int, n: int, penalty: float, variances: np.ndarray, w: np.ndarray, noise: float = 1.0
) -> RidgeRisk:
    """The test error of one regression with a penalty on n labels of the t-th least squares of a loop, t = 0 ... .

    E = bias + variance + t s^2 rho, rho = sum_ki s_k E M_ki^2 / s_i / (n_0 - d - 1): what Dohmatob, Feng and Kempe
    (2024) call fully synthetic data. Bias and variance are those of real labels, t = 0; the noise of each of the
    generations between adds as much as that of the next. (generations + 1,) each; n_0 = ``made_of`` are the rows of
    each least squares, whose coefficients have the variance s^2 / (s_i (n_0 - d - 1)) exactly. For many rows n.
    Raises ValueError unless n_0 > d + 1.
    """
    s, w = np.asarray(variances, np.float64), np.asarray(w, np.float64)
    if made_of <= len(s) + 1:
        raise ValueError(f"made_of: found {made_of} rows, allowed for dimension {len(s)} are more than {len(s) + 1}")
    step, everywhere = _step(n, penalty, s), np.ones(generations + 1)
    bias = s @ (step.squares @ w**2 - 2 * step.kept * w**2 + w**2)
    each = s @ step.squares @ (noise / s / (made_of - len(s) - 1))
    return RidgeRisk(bias * everywhere, noise * (s @ step.own) * everywhere, each * np.arange(generations + 1))
