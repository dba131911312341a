"""Guidance: what it makes of a variance and of the odds of an attribute, and what a loop makes of that.

Guidance of weight w follows D_c + w (D_c - D_u), of what a model sees with a condition and without. A sampling bias
lambda of a diffusion model is w = 1 / lambda - 1 (MAD: Alemohammad et al. 2023, arXiv 2307.01850).
"""

import numpy as np


def guided_variance(conditional: float, unconditional: float, w: float) -> float:
    """The variance of a guided Gaussian of the same mean: s_c (s_c / s_u)^w.

    Of the probability-flow ODE from endless noise, with variances s_c and s_u, not of the product of the densities to
    these powers, whose variance is 1 / ((1 + w) / s_c - w / s_u) (Bradley and Nakkiran 2024, arXiv 2408.09000, why the
    two differ). Away from another model of variance s_u > s_c it narrows; from one that is narrower it widens.
    """
    return conditional * (conditional / unconditional) ** w


def guided_variances(generations: int, variance: float, between: float, w: float) -> np.ndarray:
    """The variance within a class in a loop of constant guidance: s' = s (s / (s + b))^w, (generations + 1,).

    variance: s of the truth, which generation 0 is fitted to: entry g is that of the samples of generation g, g + 1
    guided samplings later, with endless rows. between: the variance b of the classes' means, which stays as it is:
    without a condition the model sees s + b.
    """
    found, now = [], variance
    for _ in range(generations + 1):
        now = guided_variance(now, now + between, w)
        found.append(now)
    return np.array(found)


def reinflation(factor: float, w: float) -> float:
    """By how much SIMS changes the variance of a model whose training on own samples multiplies it by ``factor``.

    v (v / (factor v))^w = v factor^-w: a base of factor v comes back to v at w = 1, for every factor (Alemohammad et
    al. 2024, arXiv 2408.16333, whose rule this is the Gaussian case of).
    """
    return factor**-w


def guided_shares(shares: np.ndarray, w: float, unconditional: np.ndarray | None = None) -> np.ndarray:
    """The shares of well separated attributes under guidance: prop. p^(1 + w) u^-w, (K,).

    p: the attributes' shares with the condition; u: without, even if None. About so for the probability-flow ODE: 80/20
    becomes 94.1/5.9 at w = 1 where modes two standard deviations to either side of 0 give 94.3/5.7.
    """
    p = np.asarray(shares, np.float64)
    u = np.ones_like(p) if unconditional is None else np.asarray(unconditional, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        tilted = np.where(p > 0, p ** (1 + w) * u**-w, 0.0)
    return tilted / tilted.sum()


def guided_odds(odds: float, w: float) -> float:
    """The odds of one of two attributes under guidance, where they are even without a condition: odds^(1 + w)."""
    return odds ** (1 + w)
