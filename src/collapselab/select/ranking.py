"""How selectors keep by a score: the best ones, or the first that are good enough."""

import numpy as np

from .base import Selection


def best(scores: np.ndarray, wanted: int, reason: str, judge: str, among: np.ndarray | None = None) -> Selection:
    """The ``wanted`` samples of the highest scores; of equal ones those that stand first.

    scores: (n,), -inf and inf allowed. among: (n,) bool, those that may be kept at all, of which there may be fewer.
    Raises ValueError for scores that are no numbers of samples that may be kept.
    """
    found = np.arange(len(scores)) if among is None else np.flatnonzero(among)
    scores = checked(scores, found)
    rows = np.sort(found[np.argsort(-scores[found], kind="stable")[:wanted]])
    return Selection(rows, scores[rows], (reason,) * len(rows), judge)


def first(fine: np.ndarray, scores: np.ndarray, wanted: int, reason: str, judge: str) -> Selection:
    """The first ``wanted`` samples that are good enough, or all that are, where there are fewer.

    fine: (n,) bool. Raises ValueError for scores that are no numbers.
    """
    scores = checked(scores)
    rows = np.flatnonzero(fine)[:wanted]
    return Selection(rows, scores[rows], (reason,) * len(rows), judge)


def checked(scores: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """The scores as float64. Raises ValueError where some of the rows have none: they are in no order."""
    scores = np.asarray(scores, np.float64)
    if bad := np.isnan(scores[rows]).sum():
        raise ValueError(f"scores: found {bad} of {len(scores)} that are no numbers (nan), allowed are numbers")
    return scores


def nothing(judge: str) -> Selection:
    """Nobody, of an empty pool."""
    return Selection(np.arange(0), np.empty(0), (), judge)
