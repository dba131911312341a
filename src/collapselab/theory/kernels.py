"""The loop of kernel density estimates, in which every fit adds the variance of its kernel."""

from collections.abc import Callable

import numpy as np

from .moments import fits


def kernel_rule(name: str, dimension: int) -> Callable[[float], float]:
    """The share f^2 of the rows' covariance that a rule gives to the kernel, as a function of the number of rows.

    scott: n^(-2/(d+4)) (Scott 1992). silverman: (n (d+2) / 4)^(-2/(d+4)) (Silverman 1986). Raises ValueError for
    another name.
    """
    scales = {"scott": 1.0, "silverman": (dimension + 2) / 4}
    if name not in scales:
        raise ValueError(f"bandwidth: found {name!r}, allowed are {', '.join(scales)}")
    return lambda n: (n * scales[name]) ** (-2 / (dimension + 4))


def kde_variance(generations: int, n: int, bandwidth: float) -> np.ndarray:
    """E variance of a kernel density estimate that sees its own samples: a^t + h^2 (1 - a^t) / (1 - a), a = 1 - 1/n.

    Every generation loses 1/n of the variance and adds h^2, up to n h^2: it inflates for h^2 > 1/n. In units of the
    truth's variance, one dimension. It is :func:`regime_moments` of replace with ``kernel`` h^2.
    """
    kept = (1 - 1 / n) ** fits(generations)
    return kept + bandwidth**2 * n * (1 - kept)


def kde_rule_variance(generations: int, n: int, dimension: int, rule: str = "scott") -> np.ndarray:
    """E variance of a kernel density estimate whose kernel is a share of the rows' covariance: (1 - 1/n + f^2)^t.

    With f^2 = n^(-2/(d+4)) of Scott's rule it grows exponentially for every n > 1: over-smoothing without end.
    """
    return (1 - 1 / n + kernel_rule(rule, dimension)(n)) ** fits(generations)
