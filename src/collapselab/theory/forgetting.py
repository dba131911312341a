"""Forgetting: what an attack finds at least, and how fast a loop learns again what was deleted."""

import math

import numpy as np


def membership_area(rows: int, dimension: int) -> float:
    """The area under the curve of the attack <x, mean> on the mean of ``rows`` standard normal rows: Phi(sqrt(d / 2n)).

    The score of a row that the mean is of has the mean d / n and about the variance d / n, that of another row the mean
    0 and the same variance; the true mean is 0. A model that was trained without a row gives 1/2.
    """
    return 0.5 * math.erfc(-math.sqrt(dimension / (2 * rows)) / math.sqrt(2))


def relearned(share: float, kept: float, generations: int) -> np.ndarray:
    """The expected share of a deleted class at generations 0 .. T of a loop with fresh real rows: (T + 1,) float64.

        E p(t) = pi (1 - q^t)

    pi: its share among the real rows, a share 1 - q of the training set; q = ``kept``: the share of samples. It is
    deleted at generation 0. It comes back without an attack: only with q = 1 it stays away.
    """
    return share * (1 - kept ** np.arange(generations + 1.0))
