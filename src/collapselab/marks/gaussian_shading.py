"""Signs of the initial noise that a cipher tells (Gaussian Shading: Yang et al. 2024,
https://arxiv.org/abs/2404.04956)."""

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from .base import Detection, MarkOptions, level_of_bits, of_bits, secret_signs


class GaussianShadingOptions(MarkOptions):
    """How much of the noise is told."""

    bits: int | None = Field(None, ge=1, description="numbers of the noise whose sign is told, the first; null: all")


def gaussian_shading(rows: np.ndarray, options: GaussianShadingOptions, key: bytes, start: int) -> np.ndarray:
    """Noise with the signs of the key's cipher in the place of its own: |x| s.

    Signs of a cipher are fair coins to who has not the key, so that each number is still standard normal, exactly. With
    a key for each image a loop sees no other law than without the mark; with one key all noise lies in one orthant.

    rows: (n, ...) float64; the result likewise.
    """
    flat = rows.reshape(len(rows), math.prod(rows.shape[1:])).copy()
    signs = _signs(rows, options, key, start)
    flat[:, : signs.shape[1]] = np.abs(flat[:, : signs.shape[1]]) * signs
    return flat.reshape(rows.shape)


def detect(rows: np.ndarray, options: GaussianShadingOptions, key: bytes, start: int) -> Detection:
    """How many signs are those of the cipher: of noise without the mark each is a fair coin.

    Of noise that an inversion tells with an error of standard deviation e, a share 1/2 + arctan(1/e)/pi of the signs
    is right where it is marked.
    """
    signs = _signs(rows, options, key, start)
    told = rows.reshape(len(rows), math.prod(rows.shape[1:]))[:, : signs.shape[1]]
    return of_bits(np.count_nonzero(told * signs > 0, axis=1).astype(np.float64), signs.shape[1])


def level(shape: Sequence[int], options: GaussianShadingOptions, rate: float) -> float:
    """The largest level that the count attains."""
    return level_of_bits(options.bits or math.prod(shape), rate)


def fault(shape: Sequence[int], options: GaussianShadingOptions) -> str:
    """More bits than the noise has numbers."""
    there = math.prod(shape)
    return f"tells {options.bits} signs; the noise of a sample has {there}" if (options.bits or 0) > there else ""


def _signs(rows: np.ndarray, options: GaussianShadingOptions, key: bytes, start: int) -> np.ndarray:
    return secret_signs(key, options, start, len(rows), options.bits or math.prod(rows.shape[1:]))
