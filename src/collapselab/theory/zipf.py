"""Power laws of which the tail is cut: what temperature, top-p and a finite sample leave of them.

Dohmatob, Feng, Yang, Charton and Kempe 2024 ("A tale of tails: model collapse as a change of scaling laws", arXiv
2402.07043). The truth has shares p_i ~ i^-s; a model that has seen n rows errs on what it has never seen, a share of
n^-(1 - 1/s); who is trained on samples cut behind rank k errs at least on what lies behind it, a share of k^-(s - 1).
The sums are exact; what they tend to stands beside them.
"""

import math

import numpy as np
from scipy.special import gamma, zeta


def zipf(categories: int, exponent: float) -> np.ndarray:
    """Shares proportional to i^-s of ranks 1 .. K: (K,) float64."""
    found = np.arange(1.0, categories + 1) ** -exponent
    return found / found.sum()


def temperature_exponent(exponent: float, sampling_bias: float, generations: int) -> np.ndarray:
    """The exponent of an infinitely large loop that draws at a temperature T: s T^-t, (generations + 1,).

    Shares to the power 1 / T: the law of generation t + 1 is the t-th such power of the truth, and a power of a power
    law is one (Dohmatob et al. 2024, section 2, "narrowing").
    """
    return exponent * sampling_bias ** -np.arange(generations + 1.0)


def nucleus_rank(shares: np.ndarray, top_p: float) -> int:
    """The rank behind which top-p cuts: the least k whose k largest shares have at least top_p together."""
    falling = np.sort(np.asarray(shares, np.float64))[::-1]
    return int(np.searchsorted(np.cumsum(falling), top_p * falling.sum() * (1 - 1e-12))) + 1


def nucleus_rank_limit(exponent: float, top_p: float) -> float:
    """:func:`nucleus_rank` of endlessly many ranks, as top_p comes to 1: ((s - 1) zeta(s) (1 - top_p))^(-1 / (s - 1)).

    s > 1. Of the tail behind k, sum_{i > k} i^-s / zeta(s) tends to k^-(s - 1) / ((s - 1) zeta(s)).
    """
    return float(((exponent - 1) * zeta(exponent) * (1 - top_p)) ** (-1 / (exponent - 1)))


def tail_mass(shares: np.ndarray, rank: int) -> float:
    """The share of the truth that lies behind a rank: what nobody learns of samples that are cut there."""
    return float(np.sort(np.asarray(shares, np.float64))[::-1][rank:].sum())


def unseen_mass(rows: int, shares: np.ndarray, seen: np.ndarray | None = None) -> float:
    """The expected share of the truth of which n rows have nothing: sum_k p_k (1 - q_k)^n, exact.

    The test error of a model that knows what it has seen (Hutter 2021, arXiv 2102.04074; Dohmatob et al. 2024, eq. 4).
    seen: the law q of the rows; the truth itself where it is left out. Of a law cut at k it never falls below
    :func:`tail_mass`.
    """
    law = np.asarray(shares if seen is None else seen, np.float64)
    return float(np.asarray(shares) @ np.exp(rows * np.log1p(-np.minimum(law, 1 - 1e-16))))


def unseen_mass_limit(rows: int, exponent: float) -> float:
    """:func:`unseen_mass` of endlessly many ranks and many rows: Gamma(1 - 1/s) / s zeta(s)^(-1/s) n^-(1 - 1/s), s > 1.

    The sum as an integral over ranks x, with u = n x^-s / zeta(s): its exponent c = 1 - 1/s is that of Hutter's law.
    """
    slope = 1 - 1 / exponent
    return float(gamma(slope) / exponent * zeta(exponent) ** (-1 / exponent) * rows**-slope)


def rows_worth(exponent: float, rank: int) -> float:
    """How many real rows leave as much unseen as a cut at a rank does: behind so many, more samples help no more.

    Where :func:`unseen_mass_limit` is k^-(s - 1) / ((s - 1) zeta(s)): of the order of k^s (Dohmatob et al. 2024, the
    transition of theorem 2.1).
    """
    floor = rank ** -(exponent - 1) / ((exponent - 1) * zeta(exponent))
    return math.exp(math.log(unseen_mass_limit(1, exponent) / floor) / (1 - 1 / exponent))
