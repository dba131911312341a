"""Distances between rows of numbers, exact where collapse makes them vanish, in bounded memory.

Arrays are numpy arrays or torch tensors; what is computed stays on their device, in float64.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array, to_device

from .progress import counted
from .seeds import generator

Array = Any  # a numpy array, or a torch tensor on any device

BLOCK_ENTRIES = 2**21  # numbers held at once on a processor, 16 MiB, which its caches can keep
ACCELERATOR_ENTRIES = 2**24  # and elsewhere, 128 MiB
TIE = 1e-9  # distances that differ relatively by less are equal to rounding, whatever the order of summation
CANCELLED = 1e-6  # a squared distance this small against the squared norms has lost six of its sixteen digits


def row_blocks(array: Array, width: int) -> Iterator[slice]:
    """The rows of an array (n, ...) in blocks that hold BLOCK_ENTRIES numbers when each row gives ``width``."""
    entries = BLOCK_ENTRIES if str(device(array)).startswith("cpu") else ACCELERATOR_ENTRIES
    step = max(1, entries // max(1, width))
    return counted(
        (slice(start, min(start + step, len(array))) for start in range(0, len(array), step)), "rows", len(array)
    )


def on_host(array: Array) -> np.ndarray:
    """The same numbers as a numpy array: for results, which are small."""
    return np.asarray(to_device(array, "cpu"))


def check_alike(one: Array, other: Array) -> None:
    """Return if rows of the two can be set against each other; raises ValueError that says what keeps them apart."""
    if one.shape[1] != other.shape[1]:
        raise ValueError(
            f"features: found rows of {one.shape[1]} and of {other.shape[1]} numbers, allowed are equal lengths"
        )
    if array_namespace(one) is not array_namespace(other) or device(one) != device(other):
        found = " and ".join(f"{type(side).__name__} on {device(side)}" for side in (one, other))
        raise ValueError(f"features: found {found}, allowed is one kind of array on one device")


def centre(values: Array) -> Array:
    """The mean row of ``values`` (n, d): (1, d) float64, and of equal rows exactly that row."""
    xp = array_namespace(values)
    first = xp.astype(values[:1, :], xp.float64)  # the mean of equal numbers may differ from them by a rounding
    return first + sum(xp.sum(values[rows, :] - first, axis=0) for rows in row_blocks(values, values.shape[1])) / len(
        values
    )


def row_words(values: Array) -> Array:
    """A word of 64 bits for each row of ``values`` (n, d): (n,) int64, by which rows can be told apart or put in order.

    Rows of the same bits have equal words, and others unlike ones but for a chance of about 2^-60: a word is the sum of
    the numbers' bits in float64, each times a random odd number, modulo 2^64.
    """
    xp = array_namespace(values)
    words = xp.empty((len(values),), dtype=xp.int64, device=device(values))
    odd = xp.asarray(generator(0).integers(-(2**62), 2**62, values.shape[1]) * 2 + 1, device=device(values))
    for rows in row_blocks(values, values.shape[1]):
        bits = xp.astype(values[rows, :], xp.float64).view(xp.int64)
        words[rows] = xp.sum((bits ^ (bits >> 32)) * odd, axis=1)  # the low bits of a float32 are all 0
    return words


def squared_distances(probes: Array, manifold: Array) -> Iterator[tuple[slice, Array]]:
    """Blocks of rows of |p - m|^2 between all probes (n, d) and the whole manifold (m, d): (rows, (rows, m) float64).

    The sum |p|^2 + |m|^2 - 2 p.m is formed around the manifold's mean and in float64; where it cancels all the same,
    the distance is measured again by differences. So equal rows are exactly 0 apart, a tight cluster far from the
    origin keeps its radii, and every distance has a relative error below 1e-9. Memory is bounded by the block and the
    manifold in float64.
    """
    check_alike(probes, manifold)
    origin = centre(manifold)
    points = _Points(manifold, origin)
    for rows in row_blocks(probes, len(manifold)):
        yield rows, _Points(probes[rows, :], origin).squared_distances(points)


def nearest_distances(values: Array, k: int) -> Array:
    """The distances of each row of ``values`` (n, d) to its k nearest other rows, ascending: (n, k) float64, 0 < k < n.

    As exact as :func:`squared_distances`, and each distance is computed once for the two rows that it belongs to.
    """
    xp = array_namespace(values)
    points = _Points(values, centre(values))
    nearest = xp.full((len(values), k), xp.inf, dtype=xp.float64, device=device(values))
    for rows in row_blocks(values, len(values)):
        squared = points[rows].squared_distances(points[rows.start :])
        count = rows.stop - rows.start
        own = xp.arange(count, device=device(values))
        squared[own, own] = xp.inf
        nearest[rows, :] = _smallest(nearest[rows, :], squared, axis=1)
        if rows.stop < len(values):
            nearest[rows.stop :, :] = _smallest(nearest[rows.stop :, :], squared[:, count:], axis=0)
    return xp.sqrt(nearest)


class _Points:
    """Rows as they were given, around an origin in float64, their squared norms and their words."""

    def __init__(self, values: Array, origin: Array | None, parts: tuple[Array, Array, Array] | None = None):
        self.values = values
        self.centred, self.norms, self.words = parts or (*_around(values, origin), row_words(values))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> "_Points":
        return _Points(self.values[rows, :], None, (self.centred[rows, :], self.norms[rows], self.words[rows]))

    def squared_distances(self, others: "_Points") -> Array:
        """|p - q|^2 for all rows p of these and q of the others: (n, m) float64."""
        xp = array_namespace(self.values)
        squared = (-2 * self.centred) @ others.centred.T
        squared += self.norms[:, None]
        squared += others.norms
        flat = xp.reshape(squared, (-1,))
        # Rows that cancel have nearly equal norms, so that three times that of one is more than the sum.
        cancelled = xp.nonzero(xp.reshape(squared <= (3 * CANCELLED * self.norms)[:, None], (-1,)))[0]
        for some in row_blocks(cancelled, self.values.shape[1]):
            entries = cancelled[some]
            row, column = entries // len(others), entries % len(others)
            flat[entries] = 0.0
            unlike = self.words[row] != others.words[column]  # of equal rows collapse makes many
            row, column, entries = row[unlike], column[unlike], entries[unlike]
            difference = xp.astype(self.values[row, :], xp.float64) - others.values[column, :]
            flat[entries] = xp.vecdot(difference, difference)
        return squared


def _around(values: Array, origin: Array) -> tuple[Array, Array]:
    """The rows around the origin (n, d), and their squared norms (n,), in float64."""
    xp, where = array_namespace(values), device(values)
    centred = xp.empty(tuple(values.shape), dtype=xp.float64, device=where)
    norms = xp.empty((len(values),), dtype=xp.float64, device=where)
    for rows in row_blocks(values, values.shape[1]):
        block = values[rows, :] - origin
        centred[rows, :] = block
        norms[rows] = xp.vecdot(block, block)
    return centred, norms


def _smallest(known: Array, more: Array, axis: int) -> Array:
    """The k smallest of ``known`` (n, k) and of the numbers along an axis of ``more``, ascending: (n, k)."""
    xp, (count, k), where = array_namespace(known), known.shape, device(known)
    nearer = xp.reshape(more < (known[:, -1:] if axis else known[:, -1]), (-1,))
    entries = xp.nonzero(nearer)[0]
    row = entries // more.shape[1] if axis else entries % more.shape[1]
    counts = xp.bincount(row, minlength=count)
    width = int(xp.max(counts))
    if 4 * width < more.shape[axis]:  # few are worth sorting: they move to the front of a narrow array
        if not axis:
            order = xp.argsort(row, stable=True)
            row, entries = row[order], entries[order]
        place = xp.arange(len(row), device=where) - (xp.cumulative_sum(counts) - counts)[row]
        few = xp.full((count, width), xp.inf, dtype=xp.float64, device=where)
        few[row, place] = more[entries // more.shape[1], entries % more.shape[1]]
        more = few
    elif not axis:
        more = more.T
    both = xp.concat([known, more], axis=1)
    if is_torch_array(both):
        return both.topk(k, dim=1, largest=False).values
    return np.sort(np.partition(both, k - 1, axis=1)[:, :k], axis=1)
