"""What tuning by a reward settles at: the law that is liked best beside what leaving the model costs."""

import numpy as np


def regularised_shares(shares: np.ndarray, rewards: np.ndarray, beta: float) -> np.ndarray:
    """The shares p that make E r - beta KL(p, p_0) largest: p_0 e^(r / beta) / Z, (types,).

    The optimum of policy gradients with that penalty, and of DPO with preferences by Bradley and Terry's law of r
    (Rafailov et al. 2023, arXiv 2305.18290, equation 4). k rounds of reward-weighted regression with exact fits at the
    temperature T are the same at beta = T / k: it has no penalty, and ends on what is liked best alone.
    """
    logs = np.log(np.asarray(shares, np.float64)) + np.asarray(rewards, np.float64) / beta
    found = np.exp(logs - logs.max())
    return found / found.sum()


def regularised_moments(
    mean: float, variance: float, slope: float, curvature: float, beta: float
) -> tuple[float, float]:
    """Mean and variance of that optimum of N(m, v) under r = b x - c x^2 / 2, whose law is normal, too.

        1 / v' = 1 / v + c / beta,      m' = v' (m / v + b / beta)

    Raises ValueError where the reward grows faster than the law falls: there is no optimum.
    """
    precision = 1 / variance + curvature / beta
    if precision <= 0:
        raise ValueError(f"curvature: found {curvature:g}, allowed are numbers above {-beta / variance:g}")
    return (mean / variance + slope / beta) / precision, 1 / precision
