"""How laws of a next token are sharpened and cut before a token is drawn of them: temperature, top-k and top-p."""

import numpy as np
from pydantic import Field

from .options import Options


class Sharpened(Options):
    """Options of whoever draws tokens one after the other; they change what is drawn and not what is trained."""

    temperature: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="of sampling: probabilities to the power 1 / temperature, normalised",
    )
    top_k: int | None = Field(None, ge=1, description="of sampling: only so many of the likeliest tokens; null: all")
    top_p: float = Field(
        1.0, gt=0, le=1, description="of sampling: only the likeliest tokens that have so much of the mass together"
    )

    def sharpened(self, laws: np.ndarray, bias: float) -> np.ndarray:
        """Laws of a next token as they are drawn of, with a sampling bias, a factor of the temperature."""
        return sharpened(laws, self.temperature * bias, self.top_k, self.top_p)


def sharpened(laws: np.ndarray, temperature: float, top_k: int | None = None, top_p: float = 1.0) -> np.ndarray:
    """Laws with a temperature, cut to their likeliest entries, and normalised: (n, K) float64.

        p -> p^(1 / temperature);  then the top_k largest;  then the fewest largest whose sum is at least top_p

    A token of equal probability comes first that has the smaller number. Top-k: Fan et al. 2018 (arXiv 1805.04833);
    top-p, or nucleus, sampling: Holtzman et al. 2020 (arXiv 1904.09751), section 3.1. In this order as in common use.

    laws: (n, K) float64 >= 0, each of a sum above 0.
    """
    found = np.asarray(laws, np.float64)
    if temperature != 1.0:
        found = (found / found.max(axis=1, keepdims=True)) ** (1.0 / temperature)
    found = found / found.sum(axis=1, keepdims=True)
    if (top_k is None or top_k >= found.shape[1]) and top_p >= 1.0:
        return found
    order = np.argsort(-found, axis=1, kind="stable")
    falling = np.take_along_axis(found, order, axis=1)
    stays = np.ones(falling.shape, bool)
    if top_k is not None:
        stays[:, top_k:] = False
    if top_p < 1.0:
        falling = np.where(stays, falling, 0.0)
        falling = falling / falling.sum(axis=1, keepdims=True)
        # An entry stays while those before it have less than top_p: a sum that reaches it but for rounding does.
        stays &= np.cumsum(falling, axis=1) - falling < top_p * (1 - 1e-12)
    kept = np.zeros(stays.shape, bool)
    np.put_along_axis(kept, order, stays, axis=1)
    found = np.where(kept, found, 0.0)
    return found / found.sum(axis=1, keepdims=True)


def drawn(laws: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """For each law, (n, K) of any sum, the token whose cumulative share its number in (0, 1) falls into: (n,) int32.

    The first whose cumulative share reaches the number: one without a share is never it.
    """
    cumulative = np.cumsum(laws, axis=1)
    reached = cumulative < uniform[:, None] * cumulative[:, -1:]
    return reached.sum(axis=1, dtype=np.int32)
