"""Tokens drawn from logits: temperature, and laws that are cut to their likeliest tokens."""

import numpy as np


def law(logits: np.ndarray, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0) -> np.ndarray:
    """The probabilities with which the next token is drawn: (B, V) float64, rows that sum to 1.

    p = softmax(logits / temperature), then of each row only the ``top_k`` likeliest tokens (Fan, Lewis and Dauphin
    2018, https://arxiv.org/abs/1805.04833, section 5.1), and of these only the fewest whose share of what is left is
    at least ``top_p`` (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751, equation 2). Of tokens that are equally
    likely those of the smaller number stay.

    logits: (B, V). None and 1 leave the law as it is.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    if top_k is None and top_p >= 1:
        return shares
    order = np.argsort(-shares, axis=1, kind="stable")
    falling = np.take_along_axis(shares, order, axis=1)
    if top_k is not None:
        falling[:, top_k:] = 0
        falling /= falling.sum(axis=1, keepdims=True)
    if top_p < 1:
        before = np.cumsum(falling, axis=1) - falling  # the share of the likelier ones; of the first it is 0
        falling[before >= top_p] = 0
        falling /= falling.sum(axis=1, keepdims=True)
    kept = np.zeros_like(shares)
    np.put_along_axis(kept, order, falling, axis=1)
    return kept


def drawn(shares: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """The first token of each row whose cumulative share reaches the row's number in (0, 1): (B,) int64.

    shares: (B, V). uniform: (B,). A token without a share is never it.
    """
    cumulative = np.cumsum(shares, axis=1)
    return (cumulative < uniform[:, None] * cumulative[:, -1:]).sum(axis=1)
