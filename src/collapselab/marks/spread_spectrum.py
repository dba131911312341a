"""A pattern of noise in the middle frequencies of 8 x 8 blocks, spread over so many that none of them shows it."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from pydantic import Field

from .base import Detection, MarkOptions, exactly, level_of_bits, of_bits, secret_normals

SIDE = 8  # of a block, JPEG's
CHUNK = 4096  # rows at once: a pattern of its own for each takes memory


class SpreadSpectrumOptions(MarkOptions):
    """How strong the pattern is, and where it lies."""

    strength: float = Field(
        8.0, gt=0, description="standard deviation of the pattern in a coefficient, in grey levels, or in vectors' unit"
    )
    frequencies: int = Field(
        6, ge=1, le=14, description="of a block the coefficients whose two frequencies add up to at most this, but 0"
    )
    limit: float | None = Field(
        2.0, gt=0, description="the detector cuts coefficients at so many strengths, as edges are large; null: nowhere"
    )
    bits: int = Field(
        0, ge=0, le=4096, description="0: the detector correlates; else it counts in how many of so many parts it does"
    )


def spread_spectrum(rows: np.ndarray, options: SpreadSpectrumOptions, key: bytes, start: int) -> np.ndarray:
    """Images with a pattern alpha g added to coefficients of their blocks' cosine transform, g normal by the key.

    All channels take the same addition; it is rounded to bytes and cut at black and white. Vectors take alpha g as it
    is. (Cox, Kilian, Leighton and Shamoon 1997, IEEE Transactions on Image Processing 6, 1673, in JPEG's blocks.) One
    key for all samples shifts their mean by alpha g, which a model that is trained on them learns; keys of their own
    average out.

    rows: (n, C, H, W) uint8 or (n, d) float; the result likewise.
    """
    width = _width(rows.shape[1:], options)
    marked = np.empty_like(rows)
    for at in range(0, len(rows), CHUNK):
        part = rows[at : at + CHUNK]
        pattern = options.strength * secret_normals(key, options, start + at, len(part), width)
        if part.ndim == 2:
            marked[at : at + CHUNK] = part + pattern
        else:
            added = _from_coefficients(pattern, part.shape[1:], options.frequencies)
            marked[at : at + CHUNK] = np.clip(np.rint(part + added[:, None]), 0, 255)
    return marked


def detect(rows: np.ndarray, options: SpreadSpectrumOptions, key: bytes, start: int) -> Detection:
    """How well the coefficients c of each sample, cut at a limit, correlate with the key's pattern g.

        r = <g, c> / (|g| |c|),    t = r sqrt((N - 1) / (1 - r^2))

    The direction of g is uniform on the sphere, whatever the sample is, so that t has Student's law with N - 1 degrees
    of freedom over the keys, exactly; N is the number of coefficients. Of one key and many samples it has that law
    where these have no direction that they prefer: of pictures, which have some, thresholds are to be calibrated on
    pictures without the mark. With ``bits`` the coefficients are dealt out to so many parts; each has the sign of its
    own <g, c>, a fair coin over the keys, and their right ones are counted.
    """
    width = _width(rows.shape[1:], options)
    found = []
    for at in range(0, len(rows), CHUNK):
        part = rows[at : at + CHUNK]
        values = part.astype(np.float64) if part.ndim == 2 else _coefficients(part, options.frequencies)
        if options.limit is not None:
            values = np.clip(values, -options.limit * options.strength, options.limit * options.strength)
        pattern = secret_normals(key, options, start + at, len(part), width)
        found.append(_right(values * pattern, options.bits) if options.bits else _correlation(values, pattern))
    statistic = np.concatenate(found) if found else np.empty(0)
    if options.bits:
        return of_bits(statistic, options.bits)
    from scipy.special import stdtr

    return Detection(statistic, stdtr(width - 1, -statistic))


def level(shape: Sequence[int], options: SpreadSpectrumOptions, rate: float) -> float:
    """The rate itself of the correlation; of counted bits the largest level that they attain."""
    return level_of_bits(options.bits, rate) if options.bits else exactly(shape, options, rate)


def fault(shape: Sequence[int], options: SpreadSpectrumOptions) -> str:
    """Pictures without a whole block, or with fewer coefficients than bits."""
    if len(shape) == 3 and min(shape[1:]) < SIDE:
        return f"marks blocks of {SIDE} x {SIDE} pixels; the images have {shape[1]} x {shape[2]}"
    width, least = _width(shape, options), max(2, options.bits)
    what = "coefficients" if len(shape) == 3 else "numbers"
    return f"needs {least} {what} or more; the samples have {width}" if width < least else ""


def _correlation(values: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(pattern, axis=1)
    products = (values * pattern).sum(axis=1)
    cosine = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)  # of an empty picture 0
    return cosine * np.sqrt((values.shape[1] - 1) / np.maximum(1 - cosine**2, np.finfo(np.float64).tiny))


def _right(products: np.ndarray, bits: int) -> np.ndarray:
    parts = np.stack([products[:, bit::bits].sum(axis=1) for bit in range(bits)], axis=1)
    return np.count_nonzero(parts > 0, axis=1).astype(np.float64)


# -- blocks ------------------------------------------------------------------------------------------------------------


def _width(shape: Sequence[int], options: SpreadSpectrumOptions) -> int:
    """How many numbers of a sample take part."""
    if len(shape) == 1:
        return shape[0]
    return (shape[1] // SIDE) * (shape[2] // SIDE) * int(_taken(options.frequencies).sum())


@cache
def _cosines() -> np.ndarray:
    """The orthonormal cosine transform of 8 numbers, frequency by place."""
    frequency, place = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    table = np.sqrt(2 / SIDE) * np.cos(math.pi * (2 * place + 1) * frequency / (2 * SIDE))
    table[0] /= math.sqrt(2)
    return table


@cache
def _taken(frequencies: int) -> np.ndarray:
    """Which coefficients of a block take part: (8, 8) bool."""
    total = np.add.outer(np.arange(SIDE), np.arange(SIDE))
    return (total >= 1) & (total <= frequencies)


def _corner(sides: Sequence[int]) -> list[slice]:
    """The whole blocks in the middle of a picture, along each side."""
    starts = [(side % SIDE) // 2 for side in sides]
    return [slice(start, start + side // SIDE * SIDE) for start, side in zip(starts, sides, strict=True)]


def _coefficients(images: np.ndarray, frequencies: int) -> np.ndarray:
    """The coefficients of the channels' mean that take part: (n, N) float64, block by block."""
    rows, columns = _corner(images.shape[2:])
    grey = images[:, :, rows, columns].mean(axis=1, dtype=np.float64)
    count, height, width = grey.shape
    blocks = grey.reshape(count, height // SIDE, SIDE, width // SIDE, SIDE)
    found = np.einsum("ki,nricj,lj->nrckl", _cosines(), blocks, _cosines(), optimize=True)
    return found[..., _taken(frequencies)].reshape(count, -1)


def _from_coefficients(values: np.ndarray, shape: Sequence[int], frequencies: int) -> np.ndarray:
    """What coefficients (n, N) add to the pixels of images of a shape: (n, H, W) float64, 0 outside of the blocks."""
    rows, columns = _corner(shape[1:])
    blocks = np.zeros((len(values), shape[1] // SIDE, shape[2] // SIDE, SIDE, SIDE))
    blocks[..., _taken(frequencies)] = values.reshape(*blocks.shape[:3], -1)
    pixels = np.einsum("ki,nrckl,lj->nricj", _cosines(), blocks, _cosines(), optimize=True)
    added = np.zeros((len(values), *shape[1:]))
    added[:, rows, columns] = pixels.reshape(len(values), *added[0, rows, columns].shape)
    return added
