"""What becomes of the labels that samples carry, and of the samples within a label: words, and pictures of each."""

import numpy as np

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from .downstream import CURE


def label_entropy(real: Features | Array, fake: Features | Array) -> float:
    """The entropy of the labels that the fakes carry, - sum p ln p in nats: ln K for K equal ones, 0 for one alone.

    ``class_entropy`` is of what a classifier sees in samples; this is of what their model meant them to be, or of what
    a transform has called them.

    fake: (m, d), with the labels of its rows as ``classes``. Raises Undefined without rows or labels.
    """
    labels = _labels(Features.of(fake), "fake")
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares @ np.log(shares))) + 0.0  # not -0.0


def within_class_variance(real: Features | Array, fake: Features | Array) -> float:
    """The variance of the fakes of one label over that of the real samples of it, on average over the real labels.

        mean over c of tr S_f(c) / tr S_r(c)

    with the sample covariances over n - 1. 1 where samples of a label vary as real ones, towards 0 as they become
    alike. A label of which there are fewer than two fakes has nothing that varies: it counts 0, so that the value also
    falls as labels are lost. One of fewer than two real samples, or of equal ones, is left out.

    real, fake: (n, d) and (m, d), each with the labels of its rows as ``classes``. Raises Undefined without rows or
    labels, for features that are not finite, or where no real label is left to compare with.
    """
    sides = {}
    for role, side in (("real", Features.of(real)), ("fake", Features.of(fake))):
        side.require(1, role)
        labels, values = _labels(side, role), on_host(side.values).astype(np.float64)
        sides[role] = {label: _variance(values[labels == label]) for label in np.unique(labels)}
    known = {label: variance for label, variance in sides["real"].items() if variance > 0}
    if not known:
        raise Undefined("real: no label has two different rows, and no variance can be compared with theirs")
    return float(np.mean([sides["fake"].get(label, 0.0) / variance for label, variance in known.items()]))


def _labels(side: Features, role: str) -> np.ndarray:
    """The labels of a side's rows, (n,); raises Undefined where it has none."""
    if side.classes is None or not len(side.classes):
        raise Undefined(f"{role}: the rows have no labels; {CURE}")
    return on_host(side.classes)


def _variance(rows: np.ndarray) -> float:
    """The trace of the sample covariance of rows (n, d); 0 for fewer than two."""
    return float(rows.var(axis=0, ddof=1).sum()) if len(rows) > 1 else 0.0
