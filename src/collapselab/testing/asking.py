"""Laws of whoever is sampled, a model or a known truth: which rows are drawn, and what cannot be asked for."""

from typing import Any

import numpy as np

from ..core.ask import Ask
from ..core.kinds import KINDS
from ..core.sets import SampleSet
from ..models.asking import WIDENING
from ..models.capabilities import Denoises, Knows
from .said import law, refused, same

SEED, ROWS = 11, 20
CUTS = ((0, 3), (3, 9), (12, 8))  # (start, count) of the same rows
DRAWS = 4000
ERRORS = 6.0  # standard errors: of a million comparisons with a right law about none is so far off


def check_samples(name: str, sampled: Any, kind: str) -> SampleSet:
    """Hold that what is drawn is right, and that row ``start + i`` of a seed is the same however rows are asked for.

    kind: that of its data. Returns rows 0 .. 19.
    """
    whole = sampled.sample(Ask(ROWS, SEED))
    _check_form(name, sampled, whole, kind)
    law(
        same(sampled.sample(Ask(ROWS, SEED)).data, whole.data),
        f"{name}: asked for the same samples twice it gave others; all chance comes from Ask.seed",
    )
    parts = [sampled.sample(Ask(count, SEED, start)) for start, count in CUTS]
    for (start, count), part in zip(CUTS, parts, strict=True):
        rows = slice(start, start + count)
        labels = whole.labels if whole.labels is None else whole.labels[rows]
        law(
            same(part.data, whole.data[rows]) and same(part.labels, labels),
            f"{name}: samples {start} .. {start + count - 1} of seed {SEED}, asked for alone, are others than among "
            f"{ROWS}; sample i hangs from the seed and from i alone, to the last bit",
        )
    law(
        not same(sampled.sample(Ask(ROWS, SEED + 1)).data, whole.data),
        f"{name}: seeds {SEED} and {SEED + 1} gave the same samples; another seed names another sequence",
    )
    return whole


def _check_form(name: str, sampled: Any, found: SampleSet, kind: str) -> None:
    law(isinstance(found, SampleSet), f"{name}: sample gave a {type(found).__name__}, asked is a SampleSet")
    law(
        KINDS[kind].holds(found.data),
        f"{name}: samples are {found.data.dtype} of shape {found.data.shape}, which are no {kind}",
    )
    law(
        found.data.shape == (ROWS, *sampled.shape),
        f"{name}: asked for {ROWS} samples of shape {tuple(sampled.shape)}, it gave data of shape {found.data.shape}",
    )
    law(np.isfinite(found.data).all(), f"{name}: samples have numbers that are not finite")
    law(
        found.labels is None or (found.labels.dtype == np.int64 and found.labels.shape == (ROWS,)),
        f"{name}: labels of samples have to be int64 of shape ({ROWS},), or None",
    )


def check_refusals(name: str, sampled: Any) -> None:
    """Hold that what cannot be asked for is refused in words, as ``models.asking.check_ask`` does."""

    def refuses(what: str, words: str, **asked: Any) -> None:
        refused(lambda: sampled.sample(Ask(3, 0, **asked)), words, f"{name}: {what}")

    for bias in (0.0, -0.5, float("nan"), float("inf"), *(() if sampled.bias in WIDENING else (1.5,))):
        refuses(f"a sampling bias of {bias}", "sampling_bias", bias=bias)
    if sampled.bias:
        _check_bias(name, sampled)
    else:
        refuses("a sampling bias of 0.5, where it says no word of one", "sampling_bias", bias=0.5)
    if not isinstance(sampled, Denoises):
        refuses("a guide, without being one that Denoises", "guide", guide="cads")
    if "prompts" not in sampled.conditions:
        refuses("prompts, which are not among its conditions", "condition", condition=["a cat", "a dog", "a cat"])
    if "labels" not in sampled.conditions:
        refuses("labels, which are not among its conditions", "condition", condition=np.zeros(3, np.int64))


def _check_bias(name: str, sampled: Any) -> None:
    """Hold that a bias of which there is a word is taken, below 1 and, of one that widens, above; a model that was not
    fitted for it may say so."""
    for bias in (0.5, *((2.0,) if sampled.bias in WIDENING else ())):
        try:
            found = sampled.sample(Ask(3, 0, bias=bias)).data
        except ValueError as error:
            law("sampling_bias" in str(error), f"{name}: asked for a sampling bias of {bias} it says {error}")
            return
        plain = sampled.sample(Ask(3, 0)).data
        law(
            found.shape == plain.shape and found.dtype == plain.dtype and np.isfinite(found).all(),
            f"{name}: with a sampling bias of {bias} its samples are no more {plain.dtype} of shape {plain.shape}, all "
            "finite",
        )


def check_moments(name: str, sampled: Knows, draws: int = DRAWS, errors: float = ERRORS) -> None:
    """Hold that the exact moments have the form of some, and are those of draws within so many standard errors."""
    mean, covariance = sampled.moments()
    width = len(mean)
    formed = mean.shape == (width,) and covariance.shape == (width, width)
    law(
        formed and mean.dtype == covariance.dtype == np.float64,
        f"{name}: moments are {mean.dtype} of shape {mean.shape} and {covariance.dtype} of shape {covariance.shape}, "
        "asked are float64 of shape (d,) and (d, d)",
    )
    law(np.isfinite(mean).all() and np.isfinite(covariance).all(), f"{name}: moments are not finite")
    size = np.abs(covariance).max()
    law(np.abs(covariance - covariance.T).max() <= 1e-12 * size, f"{name}: the covariance is not symmetric")
    law(
        np.linalg.eigvalsh(covariance).min() >= -1e-9 * size,
        f"{name}: the covariance has a negative eigenvalue, which no law has",
    )
    data = sampled.sample(Ask(draws, SEED)).data
    if data.ndim > 2:  # pixels are rounded and clipped, and their moments with them
        return
    data = np.eye(width)[data] if data.ndim == 1 else data
    law(data.shape[1] == width, f"{name}: moments of {width} numbers, samples of {data.shape[1]}")
    centred = data - mean
    for what, rows, expected in (
        ("mean", centred, 0.0),
        ("covariance", centred[:, :, None] * centred[:, None, :], covariance),
    ):
        error = rows.std(axis=0) / np.sqrt(draws)
        law(
            (np.abs(rows.mean(axis=0) - expected) <= errors * error + 1e-9 * (1 + size)).all(),
            f"{name}: the {what} of {draws} samples is over {errors:g} standard errors away from what moments() says",
        )
