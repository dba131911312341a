"""What a mark is: a secret in samples, by which its owner knows them again."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.choice import Options
from ..core.kinds import KindName

Acts = Literal["noise", "pixels"]


class Detection(NamedTuple):
    """What a detector says of n samples.

    statistic: (n,) float64, larger where the mark is likelier. p: (n,) float64, the chance that a sample without the
    mark has a statistic as large, over keys that nobody has seen.
    """

    statistic: np.ndarray
    p: np.ndarray


class MarkOptions(Options):
    """Whose secret it is."""

    keys: Literal["constant", "per_image"] = Field(
        "constant", description="one key for all images, which models can learn; or a key of its own for each"
    )


@dataclass(frozen=True)
class Mark:
    """A way to mark samples when they are made, and to find the mark again.

    acts: on the initial noise of a sampler, or on the pixels of what it made.
    mark: ``f(rows, options, key, start) -> rows``: rows (n, ...) of the initial noise in float64, or of samples, as
    they are with the mark. key: 32 secret bytes. start: the place of the first row, which names its own key.
    detect: ``f(rows, options, key, start) -> Detection``, of noise as a model's inversion tells it, or of samples.
    level: ``f(shape, options, rate) -> float``: the chance of a false alarm that "p at most rate" comes to, at most
    ``rate``; less for a detector that counts, whose statistic takes few values.
    fault: ``f(shape, options) -> str``: what keeps it from marking samples of a shape; empty if nothing does.
    takes: the kinds of data that it can mark.
    """

    Options: type[MarkOptions]
    acts: Acts
    mark: Callable[[np.ndarray, Any, bytes, int], np.ndarray]
    detect: Callable[[np.ndarray, Any, bytes, int], Detection]
    level: Callable[[Sequence[int], Any, float], float]
    fault: Callable[[Sequence[int], Any], str]
    takes: tuple[KindName, ...] = ("images",)


def exactly(shape: Sequence[int], options: MarkOptions, rate: float) -> float:
    """The level of a detector whose statistic is continuous: what was asked for."""
    return rate


def secret_normals(key: bytes, options: MarkOptions, start: int, count: int, width: int) -> np.ndarray:
    """Standard normal numbers that only the key tells: (count, width) of a key for each image, (1, width) of one."""
    own = options.keys == "per_image"
    return seeds.normals(_seed(key), start if own else 0, count if own else 1, width)


def secret_signs(key: bytes, options: MarkOptions, start: int, count: int, width: int) -> np.ndarray:
    """Fair signs -1 and 1 that only the key tells: float64, of the same shape as :func:`secret_normals`."""
    own = options.keys == "per_image"
    uniform = seeds.uniforms(_seed(key), start if own else 0, count if own else 1, width)
    return np.where(uniform < 0.5, -1.0, 1.0)


def _seed(key: bytes) -> int:
    """The seed of a key's numbers: the first 63 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(b"mark|" + key).digest()[:8], "big") >> 1


# -- counted bits ------------------------------------------------------------------------------------------------------


def of_bits(right: np.ndarray, bits: int) -> Detection:
    """The detection of n samples of whose ``bits`` so many are right: p = P(B >= right), B binomial of fair coins."""
    from scipy.stats import binom  # costs a second, which a plan does without

    return Detection(right / bits, binom.sf(right - 1, bits, 0.5))


def level_of_bits(bits: int, rate: float) -> float:
    """The largest level of a count of fair coins that is at most ``rate``: 0 where even all right are likelier."""
    most = int(Fraction(rate) * 2**bits)  # of 2^bits outcomes that are as likely as each other: whole numbers are exact
    ways, more, right = 0, 1, bits
    while right >= 0 and ways + more <= most:
        ways, more, right = ways + more, more * right // (bits - right + 1), right - 1
    return ways / 2**bits
