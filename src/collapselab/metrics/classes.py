"""Which classes the samples look like to the extractor's classifier."""

from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from .estimates import Estimate, from_error

ROUNDING = 0.02  # what probabilities in bfloat16 may miss of a sum of 1


def class_histogram(real: Features | Array, fake: Features | Array) -> dict[str, float]:
    """The share of the fakes in each class that occurs among the real samples or the fakes, by the class's number.

    A class that was lost is there, with 0. Raises Undefined without predicted classes or without rows.
    """
    names, _, shares = _shares(real, fake)
    return {str(name): float(share) for name, share in zip(names, shares, strict=True)}


def class_entropy(real: Features | Array, fake: Features | Array) -> float:
    """The entropy of the fakes' classes, - sum p ln p in nats: ln C for C equal classes, 0 when one is left."""
    _, _, shares = _shares(real, fake)
    present = shares[shares > 0]
    return float(-(present @ np.log(present))) + 0.0  # not -0.0


def class_total_variation(real: Features | Array, fake: Features | Array) -> float:
    """Half of sum |p - q| over the classes' shares p among the fakes and q among the real samples: 0 to 1."""
    _, real_shares, fake_shares = _shares(real, fake)
    return float(np.abs(fake_shares - real_shares).sum() / 2)


def inception_score(
    real: Features | Array, fake: Features, *, splits: Annotated[int, Field(ge=1)] = 10
) -> float | Estimate:
    """How sure the classifier is of each fake, and how many classes the fakes have together: from 1 to C of them.

    exp( mean over fakes x of KL( p(y|x) || p(y) ) ),  p(y) the mean of p(y|x)

    of each of ``splits`` parts of equal size, in the order of the rows; the value is their mean (Salimans et al. 2016,
    arXiv 1606.03498, section 4). Its interval is 1.96 s / sqrt(splits - 1) to either side with s the standard deviation
    over the parts, divided by their number: torch-fidelity and the original report s itself. One part has no interval.
    The score depends on the parts' size and on the classifier, and knows nothing of the real samples: only scores from
    the same extractor at the same n are comparable.

    fake.probabilities: (n, C). Raises Undefined without them, for fewer rows than parts, or for probabilities that are
    not finite; ValueError for numbers that are none, such as logits.
    """
    if splits < 1:
        raise ValueError(f"splits: found {splits!r}, allowed are whole numbers from 1")
    fake = Features.of(fake)
    if fake.probabilities is None:
        raise Undefined("fake: the extractor gives no probabilities of classes")
    Features(fake.probabilities).require(splits, "fake")
    probabilities = on_host(Features(fake.probabilities).values).astype(np.float64)
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > ROUNDING:
        raise ValueError("fake: found rows that are no probabilities, allowed are numbers from 0 that add up to 1")
    ends = np.arange(splits + 1) * len(probabilities) // splits
    scores = [_score(probabilities[start:end]) for start, end in pairwise(ends)]
    value = float(np.mean(scores))
    return value if splits == 1 else from_error(value, float(np.std(scores)) / (splits - 1) ** 0.5)


def _score(probabilities: np.ndarray) -> float:
    """exp of the mean divergence of the rows from their mean, where 0 ln 0 is 0."""
    ratio = np.divide(
        probabilities, probabilities.mean(axis=0), out=np.ones_like(probabilities), where=probabilities > 0
    )
    return float(np.exp(np.sum(probabilities * np.log(ratio)) / len(probabilities)))


def with_classes(real: Features | Array, fake: Features | Array) -> tuple[Features, Features]:
    """Both as features; raises Undefined unless each has rows, and a class for each of them."""
    real, fake = Features.of(real), Features.of(fake)
    for role, features in (("real", real), ("fake", fake)):
        if features.classes is None:
            raise Undefined(f"{role}: the extractor predicts no classes")
        if not len(features.classes):
            raise Undefined(f"{role}: found 0 rows, needed are at least 1")
    return real, fake


def _shares(real: Features | Array, fake: Features | Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The classes of either side, and their shares among the real samples and among the fakes."""
    real, fake = with_classes(real, fake)
    names, index = np.unique(np.concatenate([real.classes, fake.classes]), return_inverse=True)
    parts = np.split(index, [len(real.classes)])
    real_shares, fake_shares = (np.bincount(part, minlength=len(names)) / len(part) for part in parts)
    return names, real_shares, fake_shares
