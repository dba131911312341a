"""What a model or a known truth may be asked for: the one place where a bias, a condition or a guide is refused."""

import math
import re
from typing import Any

import numpy as np

from ..core.ask import Ask
from ..samplers.base import TOLD
from .capabilities import Denoises, Inverts

WIDENING = frozenset(
    {
        "covariance factor",
        "covariance factor in each component",
        "kernel covariance factor",
        "temperature",
        "base variance",
        "latent variance",
    }
)
"""Biases (``Model.bias``) that may be above 1, where they widen what is sampled: temperatures. No guidance weight below
0, and no truncation that leads away from the mean."""


def in_steps(options: type) -> bool:
    """Whether a family's options say that it is sampled in steps, and so by any of SAMPLERS."""
    return set(TOLD) <= set(options.model_fields)


def called(asked: Any) -> str:
    """The name by which a registry knows the class of a model or of a known truth: ``naive-bayes`` of NaiveBayes."""
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "-", type(asked).__name__).lower()


def check_ask(ask: Ask, asked: Any) -> None:
    """Raise ValueError where a model or a known truth cannot be sampled as asked.

    It says itself what it can: ``bias`` is what one below 1 does, empty where there is no other, ``conditions`` what a
    sample can be told, who :class:`Denoises` can be guided, who is sampled :func:`in_steps` can be sampled by another
    sampler, and who :class:`Inverts` can begin with marked noise.
    """
    if not 0 < ask.bias < math.inf or (ask.bias > 1 and asked.bias not in WIDENING):
        allowed = "above 0" if asked.bias in WIDENING else "above 0 and up to 1"
        raise ValueError(f"sampling_bias: found {ask.bias!r}, allowed are numbers {allowed}")
    if ask.bias != 1 and not asked.bias:
        raise ValueError(f"sampling_bias: found {ask.bias!r}, allowed with {called(asked)} is 1")
    if ask.guide is not None and not isinstance(asked, Denoises):
        found = repr(ask.guide)[:80]  # it may hold the weights of models
        raise ValueError(f"guide: found {found}, allowed is none: samples of {called(asked)} cannot be guided")
    if ask.sampler is not None and not in_steps(type(asked.options)):
        raise ValueError(
            f"sampler: found {ask.sampler.name!r}, allowed is none: {called(asked)} is not sampled step by step"
        )
    if ask.mark is not None and not isinstance(asked, Inverts):
        raise ValueError(
            f"mark: found one of the noise, allowed is none: {called(asked)} does not tell it from samples"
        )
    if ask.condition is not None:
        _check_condition(ask, asked)


def _check_condition(ask: Ask, asked: Any) -> None:
    labels = isinstance(ask.condition, np.ndarray)
    found = "labels" if labels else "prompts"
    if found not in asked.conditions:
        allowed = " or ".join(asked.conditions) or "none"
        raise ValueError(f"condition: found {found}, allowed with {called(asked)}: {allowed}")
    if labels and (ask.condition.shape != (ask.count,) or ask.condition.dtype != np.int64):
        raise ValueError(
            f"condition: found {ask.condition.dtype} labels of shape {ask.condition.shape}, allowed are int64 of shape "
            f"({ask.count},), one a sample"
        )
    if not labels and (isinstance(ask.condition, str) or len(ask.condition) != ask.count):
        raise ValueError(f"condition: found {len(ask.condition)} prompts, allowed are {ask.count}, one a sample")


def asked_labels(ask: Ask, classes: int) -> np.ndarray | None:
    """The class of each sample, (count,) int64: as asked, else sample i is of class i mod classes; None without any.

    Raises ValueError for labels outside 0 .. classes - 1.
    """
    if ask.condition is None:
        rows = np.arange(ask.start, ask.start + ask.count, dtype=np.int64)
        return rows % classes if classes else None
    labels = np.asarray(ask.condition)
    if not classes:
        raise ValueError("condition: found labels, allowed are none: the model knows no classes")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"condition: found labels {labels.min()} to {labels.max()}, allowed are 0 to {classes - 1}, the model's"
        )
    return labels


def labels_of_batch(labels: np.ndarray, start: int, batch: int, size: int, classes: int) -> np.ndarray:
    """The class of each row of a batch at a fixed place, (size,) int64, as :func:`models.arrays.in_batches` cuts them.

    labels: of the rows ``start .. start + len(labels)``; the rows beside them are of class i mod classes, which changes
    no other row.
    """
    rows = np.arange(batch * size, (batch + 1) * size, dtype=np.int64)
    inside = (rows >= start) & (rows < start + len(labels))
    found = rows % classes
    found[inside] = labels[rows[inside] - start]
    return found
