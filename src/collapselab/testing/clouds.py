"""Samples that metrics are tried on: clouds of numbers, and what an extractor would make of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import erfc

from ..core import hearing, sound
from ..features import FEATURES, Features
from ..features.mark import NAMES as MARK_COLUMNS
from ..populations.gaussians import Gaussians, GaussiansOptions

WIDTH = 16
CLASSES = (0.36, 0.33, 0.28, 0.03)  # shares of classes, of which the last is rare
FAR = 50  # of a number of a cloud
TRUTH = Gaussians(GaussiansOptions(modes=9, sd=0.12, weights="zipf"))  # discs that hold some four in ten of a cloud


def cloud(seed: int, rows: int, width: int = WIDTH, scale: float = 1.0, shift: float = 0.0) -> Features:
    """Normal rows with classes and probabilities of classes, the same for each seed."""
    source = np.random.default_rng(seed)
    values = shift + scale * source.normal(size=(rows, width))
    classes = source.choice(len(CLASSES), rows, p=CLASSES)
    return Features(values, classes, source.dirichlet(np.full(len(CLASSES), 0.3), rows))


def as_read(entry: Any, side: Features) -> Features:
    """A cloud as a metric or a score reads it: through the extractor that it names, where it names one.

    Raises ValueError for an extractor of which it cannot be told how it would see a cloud.
    """
    if entry.labelled:
        return labelled_of(side)
    found = [FEATURES[name] for name in entry.extractors if name in FEATURES]
    if len(found) < len(entry.extractors):
        missing = ", ".join(name for name in entry.extractors if name not in FEATURES)
        raise ValueError(f"features: found none, needed are some: nobody here knows what {missing} makes of samples")
    if not found or any(not extractor.statistic and extractor.needs.through != "law" for extractor in found):
        return side
    if found[0].takes == ("sequences",):
        return sequences_of(side, found[0].needs.through)
    if found[0].needs.through == "truth":
        return truth_of(side)
    if found[0].needs.through == "law":
        return law_of(side, "categories" in entry.takes and len(entry.takes) == 1)
    if found[0].needs.through == "mark":
        return marked_of(side)
    if found[0].needs.through == "model":
        return Features(side.values[:, :1])
    return statistics_of(entry.extractors[0], side)


def labelled_of(side: Features) -> Features:
    """A cloud whose rows are labelled by the quadrant of their first two numbers, so that labels can be learnt."""
    right, above = (side.values[:, column] > 0 for column in (0, 1))
    return replace(side, classes=2 * right.astype(np.int64) + above)


def sequences_of(side: Features, through: str) -> Features:
    """A cloud as sequences: its numbers rounded to a few tokens, or the size of one of them as nats a token, of which a
    truth holds those that are far away for impossible. What is not finite stays so.
    """
    if through != "nothing":
        nats = np.abs(side.values[:, :1])
        return Features(np.where((nats > FAR) & (through == "truth"), np.inf, nats), names=("nats",))
    return Features(np.clip(np.round(2 * side.values) + 6, 0, 12), names=tuple(map(str, range(side.values.shape[1]))))


def statistics_of(extractor: str, side: Features) -> Features:
    """A cloud as the extractor of a statistic sees it: each row drawn as a coloured image of 16 x 16 pixels, or sung.

    Rows that are not finite have no image; their statistics are not finite either.
    """
    values = np.nan_to_num(side.values)
    if FEATURES[extractor].takes == ("audio",):
        return _heard_of(extractor, side, values)
    down, across = 30 * values[:, :, None], 30 * values[:, None, :]
    planes = np.stack([128 + down + across, 128 + down - across, 128 - down + across / 2], axis=1)
    seen = FEATURES[extractor].extract(np.clip(planes, 0, 255).astype(np.uint8))
    finite = np.isfinite(side.values).all(axis=1, keepdims=True)
    return replace(seen, values=np.where(finite, seen.values, np.nan))


def _heard_of(extractor: str, side: Features, values: np.ndarray) -> Features:
    """A cloud as an extractor of sound hears it: each row a steady tone of its first number's pitch, as loud as its
    second says."""
    pitch, loud = 75 + 3 * values[:, 0].clip(-5, 5), -30 + 3 * values[:, 1].clip(-5, 5)
    at = np.arange(4 * sound.HOP) / sound.RATE
    clips = np.sqrt(2 * 10 ** (loud / 10))[:, None] * np.sin(2 * np.pi * hearing.to_hertz(pitch)[:, None] * at)
    seen = FEATURES[extractor].extract(sound.pictures_of(clips))
    finite = np.isfinite(side.values).all(axis=1, keepdims=True)
    return replace(seen, values=np.where(finite, seen.values, np.nan))


def law_of(side: Features, of_classes: bool = False) -> Features:
    """A cloud as the extractor of laws tells it: its own moments, or those of its classes one-hot, as exact ones."""
    if not len(side):
        return side
    values = np.eye(len(CLASSES))[side.classes] if of_classes and side.classes is not None else side.values
    mean = values.mean(axis=0)
    return Features(mean[None], moments=(mean, np.cov(values, rowvar=False)))


def truth_of(side: Features) -> Features:
    """A cloud as a known truth judges its first two columns; what is not finite stays so."""
    seen = FEATURES["truth"].extract(side.values[:, :2], TRUTH)
    return replace(seen, values=np.where(np.isfinite(side.values).all(axis=1, keepdims=True), seen.values, np.nan))


def marked_of(side: Features, marked: bool = True) -> Features:
    """A cloud as the detector of a mark sees it: a p-value of each row's first number, as if it were a normal one.

    What is not finite stays so; of marked rows half as much is left by each attack.
    """
    first = side.values[:, 0]
    p = np.where(np.isfinite(side.values).all(axis=1), erfc(first / np.sqrt(2)) / 2, np.nan)
    columns = {"statistic": first, "p": p, "level": np.full(len(p), 0.2), "marked": np.full(len(p), float(marked))}
    attacked = np.minimum(1.0, 2 * p)
    values = np.stack([columns.get(name, attacked) for name in MARK_COLUMNS], axis=1)
    return Features(values.astype(np.float64), names=MARK_COLUMNS)


def taken(side: Features, rows: np.ndarray | slice) -> Features:
    """Some rows of features, in an order; a law, which has no samples, stays as it is."""
    if side.moments is not None:
        return side
    classes, probabilities = (None if part is None else part[rows] for part in (side.classes, side.probabilities))
    return Features(side.values[rows], classes, probabilities, side.names)


def emptied(side: Features) -> Features:
    """The same without a row, and without a law."""
    return replace(taken(replace(side, moments=None), slice(0)), sample_moments=None)


def broken(side: Features) -> Features:
    """The same with a row, or a law, that is not finite, and of which nobody says the class."""
    values = side.values.copy()
    values[len(values) // 2] = np.nan
    moments = None if side.moments is None else tuple(np.full_like(part, np.nan) for part in side.moments)
    return Features(values, names=side.names, moments=moments)


def copied(side: Features) -> Features:
    """The same rows in arrays of their own, of which nothing has been computed yet."""
    parts = {name: None if part is None else part.copy() for name, part in arrays_of(side).items()}
    moments = None if side.moments is None else tuple(part.copy() for part in side.moments)
    return Features(**parts, names=side.names, moments=moments)


def arrays_of(side: Features) -> Mapping[str, np.ndarray | None]:
    """The arrays that features of samples consist of."""
    return {"values": side.values, "classes": side.classes, "probabilities": side.probabilities}
