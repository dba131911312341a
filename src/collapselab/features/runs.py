"""Which runs of tokens a sequence has: a space in which distances between texts mean something, without a network."""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.distances import row_blocks
from ..core.sequences import check_tokens, substrings
from .base import Features, Weights

# Odd constants of splitmix64 (Steele, Lea and Flood 2014), which mixes the bits of a number.
STEP, FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
FACTS = {"hash": "splitmix64"}


class RunsOptions(BaseModel):
    """Which runs count, and in how many columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int = Field(2, ge=1, le=16, description="runs of 1 to n tokens count")
    columns: int = Field(256, ge=2, le=2**16, description="numbers of a sequence; more: fewer runs share one")


def runs(
    data: np.ndarray,
    weights: Weights | None = None,
    *,
    n: Annotated[int, Field(ge=1)] = 2,
    columns: Annotated[int, Field(ge=2)] = 256,
) -> Features:
    """How often a sequence has each run of 1 to n tokens, as signed sums in columns by lot: (n, columns) float64.

    f_c(x) = sum_k 1/R_k sum over the R_k runs g of k tokens with h(g) = c of s(g),  s(g) = -1 or 1

    h and s are two parts of one hash of the run, the same everywhere and always. It is the bag of n-grams by feature
    hashing (Weinberger et al. 2009, arXiv 0902.2206): in the mean over hashes f(x).f(y) is
    sum_k sum_g p_k(g; x) p_k(g; y), of the shares p_k of runs in each sequence, with an error of sqrt(2 / columns)
    |p(x)| |p(y)| at most. Which token it is counts, and not its number.

    data: (n, length) int32; others raise ValueError. Of runs that are longer than a sequence there are none.
    """
    rows = np.asarray(data)
    check_tokens(rows, int(rows.max(initial=0)) + 1 if rows.dtype == np.int32 else 1)
    found = np.zeros((len(rows), columns))
    for some in row_blocks(rows, rows.shape[1] * n):
        block = found[some]
        for k in range(1, min(n, rows.shape[1]) + 1):
            hashed = _hashed(substrings(rows[some], k))
            signs = np.where(hashed >> np.uint64(63), 1.0, -1.0)
            places = (hashed % np.uint64(columns)).astype(np.int64) + columns * np.arange(len(block))[:, None]
            summed = np.bincount(places.ravel(), signs.ravel(), minlength=block.size)
            block += summed.reshape(block.shape) / hashed.shape[1]
    return Features(found)


def _hashed(grams: np.ndarray) -> np.ndarray:
    """A hash of each run (n, R, k) and of its length: (n, R) uint64. Sums and products are modulo 2^64."""
    state = np.full(grams.shape[:2], np.uint64(grams.shape[2]))
    for place in range(grams.shape[2]):
        state = _mixed(state * STEP + grams[:, :, place].astype(np.uint64) + np.uint64(1))
    return state


def _mixed(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * FIRST
    state = (state ^ (state >> np.uint64(27))) * SECOND
    return state ^ (state >> np.uint64(31))
