"""What becomes of the labels that samples carry, and of the samples within a label: words, and pictures of each."""

import numpy as np

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from .downstream import CURE


def label_entropy(real: Features | Array, fake: Features | Array) -> float:
    """The entropy of the labels of the fakes, - sum p ln p in nats: ln K for K equal ones, 0 for one.

    ``class_entropy`` is of what a classifier sees in samples; this is of what their model meant them to be, or of what
    a transform has called them.

    fake: (m, d), with the labels of its rows as ``classes``. Raises Undefined without rows or labels.
    """
    Features.of(real), (fake := Features.of(fake)).require(1, "fake")
    labels = _labels(fake, "fake")
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares @ np.log(shares))) + 0.0  # not -0.0


def within_class_variance(real: Features | Array, fake: Features | Array) -> float:
    """The variance of fakes of one label over that of real samples of one label, on average over labels.

        mean over c of tr S_f(c) / mean over c of tr S_r(c)

    with the sample covariances over n - 1, and every label as heavy, be it ever so rare. 1 where samples of a label
    vary as real ones, towards 0 as they become alike. A label of which there are fewer than two fakes has nothing that
    varies: it counts 0, so that the value also falls as labels are lost. One of fewer than two real samples is left
    out.

    real, fake: (n, d) and (m, d), each with the labels of its rows as ``classes``. Raises Undefined without rows or
    labels, for features that are not finite, or where no real label is left to compare with.
    """
    sides = {}
    for role, side in (("real", Features.of(real)), ("fake", Features.of(fake))):
        side.require(1, role)
        labels, which = np.unique(_labels(side, role), return_inverse=True)
        variances, counts = _variances(on_host(side.values), which)
        sides[role] = dict(zip(labels.tolist(), zip(variances.tolist(), counts.tolist(), strict=True), strict=True))
    known = {label: variance for label, (variance, count) in sides["real"].items() if count > 1}
    if not sum(known.values()):
        raise Undefined("real: no label has two different rows, and no variance can be compared with theirs")
    return sum(sides["fake"].get(label, (0.0, 0))[0] for label in known) / sum(known.values())


def _labels(side: Features, role: str) -> np.ndarray:
    """The labels of a side's rows, (n,); raises Undefined where it has none."""
    if side.classes is None or not len(side.classes):
        raise Undefined(f"{role}: the rows have no labels; {CURE}")
    return on_host(side.classes)


def _variances(values: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The trace of the sample covariance of the rows of each label, 0 for one row, and how many these are: (K,) each.

    values: (n, d). which: (n,), the label of each row.
    """
    values, counts = np.asarray(values, np.float64), np.bincount(which)
    means = np.stack([np.bincount(which, column) for column in values.T], axis=1) / counts[:, None]
    squares = np.bincount(which, ((values - means[which]) ** 2).sum(axis=1))
    return np.where(counts > 1, squares / np.maximum(counts - 1, 1), 0.0), counts
