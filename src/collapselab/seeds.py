"""Randomness as an argument: every random number of a study is a function of names and counters.

A seed is a hash of (study seed, replicate, generation, stage, index). The arm is not in it: arms of one study share
their random numbers, so that generation 0 can be shared and arms are compared in pairs (common random numbers).
Sample ``i`` of a set reads its own words of a counter-based generator, so that its noise depends neither on the batch
size nor on how many samples are drawn beside it.
"""

import hashlib

import numpy as np

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
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normals(seed: int, start: int, count: int, width: int) -> np.ndarray:
    """Standard normal numbers of samples ``start .. start + count``: (count, width) float64 (Box and Muller 1958)."""
    pairs = -(-width // 2)
    uniform = uniforms(seed, start, count, 2 * pairs)
    radius = np.sqrt(-2.0 * np.log(uniform[:, :pairs]))
    angle = 2.0 * np.pi * uniform[:, pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :width]
