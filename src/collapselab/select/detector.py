"""A detector that learns to tell real samples from the model's own, and whom it lets pass, or how much each counts."""

from typing import Literal

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.distances import on_host
from ..features.base import ExtractorName
from .base import Pool, Seen, Selection, ShareOptions
from .ranking import best

STEPS = 100  # of Newton's method, which takes ten


class DetectorOptions(ShareOptions):
    """Through which features it looks, how it learns, and what its word is worth."""

    extractor: ExtractorName = Field(description="in whose features it tells real from own; not the primary metric's")
    share: float = Field(1.0, gt=0, le=1, description="share of the samples that is kept: those that look most real")
    by: Literal["odds", "probability"] = Field(
        "odds", description="what a kept sample counts: p / (1 - p), or p, where p is how surely it is held for real"
    )
    strength: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="the power of that; 0: all that are kept count alike"
    )
    folds: int = Field(5, ge=2, le=100, description="parts; each is judged by a detector that learns from the others")
    penalty: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="of the squared coefficients, in units of a row: more makes weights more alike",
    )
    squares: bool = Field(
        False,
        description="it sees the squares of the features, too, about their mean: spreads, and not the means alone",
    )


def detector(pool: Pool, options: DetectorOptions, seed: int) -> Selection:
    """The samples that look most real to a detector, each with a weight in training.

    The detector is a logistic regression of an extractor's features, standardised, on the training split (real) and the
    samples (own), where both sides weigh alike, with a ridge penalty. It is learnt anew in every generation, in folds,
    so that no sample is judged by a detector that has seen it. With p its probability of being real a sample counts
    (p / (1 - p))^strength or p^strength, over the mean of those that are kept.

    Its odds estimate the ratio of the real density to the samples' (Sugiyama, Suzuki and Kanamori 2012, section 4.1),
    of which a draw of the truth would need the exact one. They come near it where its logarithm is linear in the
    features, as for normal laws of one spread, or independent tokens through the shares of their runs. What has the
    same means of all features it cannot tell: N(0, 1/4) looks to it like N(0, 1), until it sees ``squares``. Of normal
    samples with less than half the real variance even exact odds have no variance that is finite, and of more samples
    an ever smaller share has most of the weight.

    So are samples taken again by a detector of machine-made text (Drayson et al. 2025, arXiv 2502.15654), there one
    that is trained once and with the noise of drawing; and what looks most human is learnt from (Zhang et al. 2024,
    arXiv 2407.12835). scores: p.

    Raises ValueError for features that are not finite, and where a weight is too small for a number.
    """
    if not len(pool):
        return Selection(np.arange(0), np.empty(0), (), "detector", np.empty(0))
    logits = _judged(pool.seen[options.extractor], options, seed)
    with np.errstate(over="ignore"):  # of what is surely the model's own: 1 / (1 + inf) is the 0 that it should be
        scores = 1 / (1 + np.exp(-logits))
    found = best(scores, options.keeps(len(pool)), "looks real", "detector")
    raw = logits if options.by == "odds" else np.minimum(logits, 0) - np.log1p(np.exp(-np.abs(logits)))
    logs = options.strength * raw[found.rows]
    if not len(logs):
        return Selection(found.rows, found.scores, found.reasons, found.judge, np.empty(0))
    weights = np.exp(logs - logs.max())
    weights /= weights.mean()
    if not weights.min() > 0:
        raise ValueError(
            f"strength: found {options.strength:g}, by which some of the odds from e^{logits.min():.4g} to "
            f"e^{logits.max():.4g} weigh nothing; less is allowed, or more penalty"
        )
    return Selection(found.rows, found.scores, found.reasons, found.judge, weights)


def _judged(seen: Seen, options: DetectorOptions, seed: int) -> np.ndarray:
    """The log-odds of each sample being real, (n,) float64; 0 where there are too few rows to learn from others."""
    seen.train.require(1, "training split")
    seen.samples.require(1, "samples")
    real, own = (on_host(side.values).astype(np.float64) for side in (seen.train, seen.samples))
    folds = min(options.folds, len(own), len(real))
    logits = np.zeros(len(own))
    if folds < 2:
        return logits
    parts = [_dealt(len(side), folds, seed, name) for side, name in ((real, "real"), (own, "own"))]
    for fold in range(folds):
        asked = parts[1] == fold
        logits[asked] = _logits(real[parts[0] != fold], own[~asked], own[asked], options)
    return logits


def _dealt(count: int, folds: int, seed: int, side: str) -> np.ndarray:
    """The fold of each row, by lot and as even as can be: (count,) int64."""
    found = np.empty(count, np.int64)
    found[seeds.generator(seeds.seed_of(seed, None, None, side)).permutation(count)] = np.arange(count) % folds
    return found


def _logits(real: np.ndarray, own: np.ndarray, asked: np.ndarray, options: DetectorOptions) -> np.ndarray:
    """What a detector that has learnt from some rows says of others: (n,) float64, above 0 for what looks real."""
    from sklearn.linear_model import LogisticRegression

    rows = np.concatenate([real, own])
    for squared in (False, True) if options.squares else (False,):
        if squared:
            rows, asked = (np.concatenate([side, side**2], axis=1) for side in (rows, asked))
        mean, scale = rows.mean(axis=0), rows.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        rows, asked = ((side - mean) / scale for side in (rows, asked))
    sides = np.repeat([1, 0], [len(real), len(own)])
    learnt = LogisticRegression(
        C=1 / options.penalty, class_weight="balanced", solver="newton-cholesky", max_iter=STEPS, tol=1e-8
    ).fit(rows, sides)
    return learnt.decision_function(asked)
