"""What a sequence looks like: its tokens, and how surprising a model, the truth, or a count of real text finds it."""

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.run import Run
from ..core.sequences import check_tokens
from ..core.sets import TrainingSet
from ..models.capabilities import Scores
from ..models.ngram import NGram, NGramOptions
from .base import Features, Weights

NATS = ("nats",)
SEED = 0


def tokens(data: np.ndarray, weights: Weights | None = None) -> Features:
    """The tokens themselves as columns of numbers, (n, length) float64; distances between them mean nothing.

    data: (n, length) int32; others raise ValueError.
    """
    return Features(_checked(data).astype(np.float64), names=tuple(map(str, range(data.shape[1]))))


def surprisal(data: np.ndarray, weights: Any = None) -> Features:
    """How surprising a model finds each sequence: - ln p(x) / length, nats a token, (n, 1) float64; inf of what it
    holds for impossible.

    data: (n, length) int32; others raise ValueError. weights: the model, or a known truth. Raises ValueError for one
    that has no likelihood.
    """
    if not isinstance(weights, Scores):
        found = "None" if weights is None else type(weights).__name__.lower()
        raise ValueError(f"weights: found {found}, surprisal needs a model of sequences that has log_likelihood")
    rows = _checked(data)
    return Features((-weights.log_likelihood(rows, SEED) / rows.shape[1])[:, None], names=NATS)


class ReferenceOptions(BaseModel):
    """The n-gram model that stands for the truth where nobody knows it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: int = Field(4, ge=1, le=8, description="tokens that it looks at together")
    alpha: float = Field(0.1, gt=0, allow_inf_nan=False, description="rows added to every token after every context")


def train_reference(
    data: np.ndarray, labels: np.ndarray | None, seed: int, options: ReferenceOptions, *, held_out: tuple[Any, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """An n-gram model of real sequences (:class:`models.ngram.NGram`, hierarchical), and how often the token that it
    holds for the likeliest is the next one in real sequences that were held out: held_out_accuracy.

    One token more than there are stands for all that the real ones have not. data: (n, length) int32; others raise
    ValueError. Labels and seed have no part in it.
    """
    real, new = _checked(data), _checked(held_out[0])
    size = int(real.max(initial=0)) + 2
    said = NGramOptions(vocabulary=size, order=options.order, alpha=options.alpha, smoothing="hierarchical")
    model = NGram.fit(TrainingSet(real, None, np.ones(len(real))), said, Run(seed))
    parts = {"grams": model.grams, "counts": model.counts}
    numbers = {"vocabulary": np.array([size]), "alpha": np.array([options.alpha])}
    info = {"held_out_accuracy": _right(model, np.minimum(new, np.int32(size - 1))), "options": options.model_dump()}
    return parts | numbers, info


def reference(data: np.ndarray, weights: Weights | None = None) -> Features:
    """How surprising an n-gram model of the real training split finds each sequence: nats a token, (n, 1) float64.

    data: (n, length) int32; others raise ValueError. weights: as :func:`train_reference` gives them.
    """
    rows = _checked(data)
    if weights is None or "grams" not in weights:
        raise ValueError("weights: found none, reference needs what train_reference gives")
    grams, size = np.asarray(weights["grams"]), int(weights["vocabulary"][0])
    said = NGramOptions(
        vocabulary=size, order=grams.shape[1], alpha=float(weights["alpha"][0]), smoothing="hierarchical"
    )
    return surprisal(np.minimum(rows, np.int32(size - 1)), NGram(said, grams, np.asarray(weights["counts"]), 1))


def _right(model: NGram, rows: np.ndarray) -> float:
    """The share of tokens that are those which a model holds for the likeliest after the ones before."""
    back = model.options.order - 1
    padded = np.concatenate([np.full((len(rows), back), model.options.vocabulary, np.int32), rows], axis=1)
    hits = 0
    for at in range(rows.shape[1]):
        asked, place = (
            np.unique(padded[:, at : at + back], axis=0, return_inverse=True)
            if back
            else (
                padded[:1, :0],
                np.zeros(len(rows), np.int64),
            )
        )
        hits += int((model.laws(asked).argmax(axis=1)[place.ravel()] == rows[:, at]).sum())
    return hits / max(1, rows.size)


def _checked(data: np.ndarray) -> np.ndarray:
    rows = np.asarray(data)
    check_tokens(rows, int(rows.max(initial=0)) + 1 if rows.dtype == np.int32 else 1)
    return rows
