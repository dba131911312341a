"""The loop of linear regressions, each of which sees the labels that earlier ones gave."""

import numpy as np

from .moments import fits


def regression_error_replace(
    generations: int, n: int, dimension: int, noise: float = 1.0, made_noise: float | None = None
) -> np.ndarray:
    """E |w_t - w|^2 when each regression sees the labels of the last one: c (s_0^2 + (t-1) s^2), c = d / (n - d - 1).

    Of x ~ N(0, I) in d dimensions without an intercept, the same inputs or new ones in every generation; it grows
    without bound (Gerstgrasser et al. 2024). Of inputs of any covariance S it is E |S^(1/2) (w_t - w)|^2. noise: s_0^2,
    the variance of real labels about their mean. made_noise: s^2, that of made ones; the same by default. Raises
    ValueError unless n > d + 1.
    """
    made = noise if made_noise is None else made_noise
    return _regression_step(n, dimension) * (noise + made * (fits(generations) - 1))


def regression_error_accumulate(
    generations: int, n: int, dimension: int, noise: float = 1.0, made_noise: float | None = None
) -> np.ndarray:
    """E |w_t - w|^2 when all labels are kept: c (s_0^2 + s^2 sum_{i=2..t} 1/i^2), at most pi^2/6 times that of one fit.

    Exact where every generation has the same inputs: the regression of all is the mean of those of each generation, so
    w_t = w_(t-1) + noise / t. With new inputs it is an upper bound (Gerstgrasser et al. 2024). The rest as
    in :func:`regression_error_replace`.
    """
    made = noise if made_noise is None else made_noise
    t = fits(generations)
    return _regression_step(n, dimension) * (noise + made * (np.cumsum(1 / t**2.0) - 1))


def _regression_step(n: int, dimension: int) -> float:
    if n <= dimension + 1:
        raise ValueError(f"n: found {n} rows, allowed for dimension {dimension} are more than {dimension + 1}")
    return dimension / (n - dimension - 1)  # E tr (X'X)^-1 of an inverse Wishart matrix
