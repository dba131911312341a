"""Detectors that take synthetic rows out, deletions that a loop undoes, and marks that it amplifies."""

import numpy as np


def purged_share(share: float, found: float, false_alarm: float) -> float:
    """The synthetic share that a detector leaves: q (1-b) / (q (1-b) + (1-q)(1-a)).

    found: b, the chance that it finds a synthetic row; false_alarm: a, that it takes a real one for synthetic.
    Put the result into :func:`fresh_limit` for what it does to a loop.
    """
    kept = share * (1 - found)
    return kept / (kept + (1 - share) * (1 - false_alarm))


def relearned_share(generations: int, share: float, synthetic: float) -> np.ndarray:
    """E share of a class that was deleted at generation 0, in a loop whose real rows still have it: pi (1 - q^g).

    share: pi, of the class in real data; synthetic: q, of the rows of a training set. Without real rows it stays 0.
    """
    return share * (1 - synthetic ** np.arange(generations + 1.0))


def constant_shift(generations: int, shift: float, synthetic: float) -> np.ndarray:
    """The mean of a model when every sample of its ancestors was shifted by a: d' = q (d + a), d = 0 at generation 0.

    It ends at a q / (1-q) = a n_s / n_r, and grows by a in every generation without real rows (q = 1): a watermark with
    one key is amplified.
    """
    shifts = [0.0]
    for _ in range(generations):
        shifts.append(synthetic * (shifts[-1] + shift))
    return np.array(shifts)


def artefact_power(generations: int, gain: float) -> np.ndarray:
    """The power of an artefact that every generator amplifies by 1 + ``gain`` at its frequency: (1 + e)^(2g)."""
    return (1 + gain) ** (2.0 * np.arange(generations + 1))
