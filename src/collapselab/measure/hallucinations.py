"""How well hallucinations are told by the paths of samples, where the known truth says which they are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..core.ask import Ask
from ..core.errors import Undefined
from ..core.sets import SampleSet
from ..engine.watching import Path, Watching
from ..metrics.estimates import Estimate, share_of
from ..models.capabilities import Judges
from ..select.hallucination import DETECTORS

Window = tuple[float, float]


class Row(NamedTuple):
    """One detector on one part of the path. auc: :func:`roc_auc`. removed: :func:`removed`, at a share that is kept."""

    detector: str
    window: Window
    auc: float
    removed: float


class Told(NamedTuple):
    """What detectors tell of the samples of a model.

    samples: these. possible: (n,) bool, what the truth says. share: of the impossible, with its interval. scores: by
    detector and window, (n,) float64. rows: none where all are possible, or none is.
    """

    samples: SampleSet
    possible: np.ndarray
    share: Estimate
    scores: Mapping[tuple[str, Window], np.ndarray]
    rows: Sequence[Row]


def told(model: Any, ask: Ask, truth: Judges, windows: Sequence[Window], kept: float = 0.96, probes: int = 1) -> Told:
    """Samples of a model, once for each window, in which their paths are watched by all detectors at once.

    kept: share of the possible samples that a threshold lets pass (96 %, as Aithal et al. 2024, arXiv 2406.09358, say
    of theirs). Raises ValueError for a window in which fewer than two steps begin.
    """
    paths: dict[Window, Path] = {}
    for window in windows:
        watch = Watching(*window, probes, probes)
        samples = model.sample(replace(ask, guide=watch))
        paths[window] = watch.path(ask.count)
    possible = np.asarray(truth.judge(samples.data).possible, bool)
    scores = {(name, window): one.seen(path) for window, path in paths.items() for name, one in DETECTORS.items()}
    rows = [
        Row(name, window, roc_auc(seen, ~possible), removed(seen, ~possible, kept))
        for (name, window), seen in scores.items()
        if possible.any() and not possible.all()
    ]
    return Told(samples, possible, share_of(~possible), scores, rows)


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The area under the ROC curve: P(a positive scores higher than a negative), ties counted half.

    U / (n_+ n_-), of Mann and Whitney's U (Hanley and McNeil 1982). scores: (n,); positive: (n,) bool. Raises Undefined
    without a positive, or without a negative.
    """
    from scipy.stats import rankdata

    many, few = int(positive.sum()), int((~positive).sum())
    if not many or not few:
        raise Undefined(f"found {many} positive and {few} negative samples, needed is at least one of each")
    return float((rankdata(scores)[positive].sum() - many * (many + 1) / 2) / (many * few))


def removed(scores: np.ndarray, positive: np.ndarray, kept: float) -> float:
    """The share of the positives above the ``kept`` quantile of the negatives: TPR at FPR 1 - kept.

    scores: (n,); positive: (n,) bool, with at least one of either kind. 0 < kept < 1.
    """
    return float((scores[positive] > np.quantile(scores[~positive], kept)).mean())
