"""Distances between rows of numbers, exact where collapse makes them vanish, in bounded memory."""

from collections.abc import Iterator

import numpy as np

BLOCK_ENTRIES = 2**22  # distances held at once, 32 MiB
CANCELLED = 1e-6  # a squared distance this small against the squared norms has lost six of its sixteen digits


def squared_distances(probes: np.ndarray, manifold: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of |p - m|^2 between all probes (n, d) and the whole manifold (m, d): (rows, (rows, m) float64).

    The sum |p|^2 + |m|^2 - 2 p.m is formed around the manifold's mean and in float64; where it cancels all the same,
    the distance is measured again by differences. So equal rows are exactly 0 apart, a tight cluster far from the
    origin keeps its radii, and every distance has a relative error below 1e-9. Memory is bounded by the block.
    """
    if probes.shape[1] != manifold.shape[1]:
        raise ValueError(
            f"features: found rows of {probes.shape[1]} and of {manifold.shape[1]} numbers, allowed are equal lengths"
        )
    distinct, place = _distinct_rows(manifold)
    centre = distinct.mean(axis=0, dtype=np.float64)
    centred = distinct - centre
    norms = np.einsum("ij,ij->i", centred, centred)
    step = max(1, BLOCK_ENTRIES // max(1, len(manifold)))
    for start in range(0, len(probes), step):
        rows = slice(start, min(start + step, len(probes)))
        block = probes[rows] - centre
        scale = np.einsum("ij,ij->i", block, block)[:, None] + norms
        squared = scale - 2 * (block @ centred.T)
        _measure_again(squared, np.flatnonzero(squared <= CANCELLED * scale), probes[rows], distinct)
        yield rows, squared if len(distinct) == len(manifold) else squared[:, place]


def _distinct_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows without repetitions, of which collapse makes many, and where each row is found among them."""
    rows = np.ascontiguousarray(values)
    _, first, place = np.unique(rows.view(f"V{rows[:1].nbytes}").ravel(), return_index=True, return_inverse=True)
    return (values, place) if len(first) == len(values) else (values[first], place)


def _measure_again(squared: np.ndarray, entries: np.ndarray, probes: np.ndarray, manifold: np.ndarray) -> None:
    """Put |p - m|^2 by differences into the entries of ``squared`` that flat indices name."""
    step = max(1, BLOCK_ENTRIES // manifold.shape[1])
    for start in range(0, len(entries), step):
        row, column = np.divmod(entries[start : start + step], len(manifold))
        difference = np.subtract(probes[row], manifold[column], dtype=np.float64)
        squared[row, column] = np.einsum("ij,ij->i", difference, difference)
