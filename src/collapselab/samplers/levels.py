"""The falling noise levels that a sampler visits."""

import math
from typing import NamedTuple

import numpy as np


class Noise(NamedTuple):
    """The noise that a model was trained with: sigma_min to sigma_max, in steps that gather at low noise by rho.

    steps: of a sampler that is told of none. sigmas: (T,) float64, rising, where the model knows these levels alone.
    """

    sigma_min: float
    sigma_max: float
    rho: float
    steps: int
    sigmas: np.ndarray | None = None


def power_levels(steps: int, lowest: float, highest: float, rho: float) -> np.ndarray:
    """Evenly spaced in sigma^(1/rho) (Karras et al. 2022, https://arxiv.org/abs/2206.00364, equation 5): (steps,)."""
    return np.linspace(highest ** (1 / rho), lowest ** (1 / rho), steps) ** rho


def time_levels(steps: int, lowest: float, highest: float) -> np.ndarray:
    """Evenly spaced in the time of DDPM's linear schedule, made continuous (Song et al. 2021,
    https://arxiv.org/abs/2011.13456, appendix C): (steps,) float64.

    sigma(t)^2 = exp(beta_d t^2 / 2 + beta_min t) - 1 with beta_d = 19.9 and beta_min = 0.1.
    """
    beta_d, beta_min = 19.9, 0.1
    ends = [(math.sqrt(beta_min**2 + 2 * beta_d * math.log1p(one**2)) - beta_min) / beta_d for one in (highest, lowest)]
    times = np.linspace(*ends, steps)
    return np.sqrt(np.expm1(beta_d * times**2 / 2 + beta_min * times))


def discrete_levels(steps: int, sigmas: np.ndarray, to_lowest: bool = False) -> np.ndarray:
    """Some of T rising levels, t = T (1 - i / steps) - 1 rounded, the highest first: all of them where steps is T.

    to_lowest: evenly from the highest to the lowest, t = (T - 1) (1 - i / (steps - 1)) rounded, for a sampling that is
    to stop there: the other way its last level is the T / steps-th lowest.

    Raises ValueError for more steps than levels.
    """
    count = len(sigmas)
    if steps > count:
        raise ValueError(f"steps: found {steps}, allowed are 2 to {count}, the noise levels of the model from there on")
    if to_lowest:
        return sigmas[[round((count - 1) * (1 - index / (steps - 1))) for index in range(steps)]]
    return sigmas[[round(count - index * count / steps) - 1 for index in range(steps)]]
