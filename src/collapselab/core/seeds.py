"""Randomness as an argument: every random number of a study is a function of names and counters.

A seed is a hash of (study seed, replicate, generation, stage, index). The arm is not in it: arms of one study share
their random numbers, so that generation 0 can be shared and arms are compared in pairs (common random numbers).
Sample ``i`` of a set reads its own words of a counter-based generator, so that its noise depends neither on the batch
size nor on how many samples are drawn beside it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Levels(NamedTuple):
    """Which random numbers a lineage takes: the split and what is learnt of it, of training, and of sampling.

    training: the replicate whose numbers choose the rows of training sets, train and adapt; sampling: that whose
    numbers draw samples, release and select them. Two lineages with one level differ by the others alone.
    """

    split: int
    training: int
    sampling: int


SEED_BITS = 63  # fits a signed 64-bit integer, which torch and numpy both take


def seed_of(study_seed: int, replicate: int | None, generation: int | None, stage: str, index: int = 0) -> int:
    """The seed of a stage: the first 63 bits of SHA-256 of ``collapselab|study seed|replicate|generation|stage|index``.

    ``replicate`` is None for what all replicates share (splits, extractors), ``generation`` is None for what all
    generations share (the latents of the sample grid, the order of the real rows). None is written ``-``.
    """
    words = ("collapselab", study_seed, replicate, generation, stage, index)
    text = "|".join("-" if word is None else str(word) for word in words)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - SEED_BITS)


def generator(seed: int) -> np.random.Generator:
    """A generator for draws that belong to a whole set rather than to one sample (permutations, subsamples)."""
    return np.random.Generator(np.random.Philox(key=seed))


def uniforms(seed: int, start: int, count: int, width: int) -> np.ndarray:
    """Uniform numbers in (0, 1) of samples ``start .. start + count``: (count, width) float64.

    Row ``i`` depends on ``seed``, ``width`` and ``i`` alone (Philox 4x64, Salmon et al. 2011: word ``j`` of sample
    ``i`` has counter ``1 + i * ceil(width / 4) + j // 4``). A number is (w + 1/2) / 2^52 of the word's upper 52 bits w:
    with 53 of them the last one would round to 1.
    """
    blocks = -(-width // 4)
    source = np.random.Philox(key=seed, counter=start * blocks)
    words = source.random_raw(count * blocks * 4).reshape(count, blocks * 4)[:, :width]
    return _fractions(words)


def normals(seed: int, start: int, count: int, width: int) -> np.ndarray:
    """Standard normal numbers of samples ``start .. start + count``: (count, width) float64 (Box and Muller 1958)."""
    return _box_muller(uniforms(seed, start, count, 2 * -(-width // 2)), width)


def _fractions(words: np.ndarray) -> np.ndarray:
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def _box_muller(uniform: np.ndarray, width: int) -> np.ndarray:
    """Normal numbers (count, width) of twice as many pairs of uniform ones: (count, 2 ceil(width / 2))."""
    pairs = uniform.shape[1] // 2
    radius = np.sqrt(-2.0 * np.log(uniform[:, :pairs]))
    angle = 2.0 * np.pi * uniform[:, pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :width]


# -- the same of many seeds at once ------------------------------------------------------------------------------------


def generators(seeds: Sequence[int]) -> Iterator[np.random.Generator]:
    """What :func:`generator` gives for each seed, one after the other; a generator is good until the next is asked for.

    It is one generator that is set to each seed in turn, since making one costs as much as some hundred numbers.
    """
    source = np.random.Philox(key=0)
    state, shared = source.state, np.random.Generator(source)
    for seed in seeds:
        state["state"]["key"][0] = seed
        source.state = state
        yield shared


def stacked_uniforms(seeds: Sequence[int], count: int, width: int) -> np.ndarray:
    """The uniform numbers of samples ``0 .. count`` of R seeds: (R, count, width) float64, bit for bit ``uniforms``."""
    blocks = -(-width // 4)
    words = np.empty((len(seeds), count * blocks * 4), np.uint64)
    for row, source in zip(words, generators(seeds), strict=True):
        row[:] = source.bit_generator.random_raw(row.size)
    return _fractions(words.reshape(len(seeds), count, blocks * 4)[:, :, :width])


def stacked_normals(seeds: Sequence[int], count: int, width: int) -> np.ndarray:
    """The normal numbers of samples ``0 .. count`` of R seeds: (R, count, width) float64, bit for bit ``normals``."""
    pairs = -(-width // 2)
    uniform = stacked_uniforms(seeds, count, 2 * pairs).reshape(len(seeds) * count, 2 * pairs)
    return _box_muller(uniform, width).reshape(len(seeds), count, width)


def stacked_permutations(seeds: Sequence[int], count: int) -> np.ndarray:
    """A permutation of ``0 .. count`` for each of R seeds, that of its :func:`generator`: (R, count) int64."""
    orders = np.empty((len(seeds), count), np.int64)
    for order, source in zip(orders, generators(seeds), strict=True):
        order[:] = source.permutation(count)
    return orders
