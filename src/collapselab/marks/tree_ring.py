"""Rings in the Fourier transform of the initial noise (Tree-Ring: Wen, Kirchenbauer, Geiping and Goldstein 2023,
https://arxiv.org/abs/2305.20030), with a statistic whose law is known."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from .base import Detection, MarkOptions, secret_normals


class TreeRingOptions(MarkOptions):
    """Where the rings lie."""

    radius: int = Field(5, ge=1, description="largest frequency of the rings, less than half of a side")
    channel: int = Field(0, ge=0, description="channel of the noise that they are drawn in")


def tree_ring(rows: np.ndarray, options: TreeRingOptions, key: bytes, start: int) -> np.ndarray:
    """Noise with the key's number at every frequency of each ring: real numbers that hang on the radius alone.

    They are those of a real image, so that nothing of them is lost; a complex key without that symmetry loses about
    half when the imaginary part of the image is left away. Their mean square is what noise has, so that the mark leaves
    its variance at 1; the numbers of noise proper would lower it.

    rows: (n, C, H, W) float64; the result likewise.
    """
    _, height, width = rows.shape[1:]
    rings, ring = _rings(height, width, options.radius)
    numbers = _numbers(key, options, start, len(rows), height, width)
    spectrum = np.fft.fft2(rows[:, options.channel])
    spectrum[:, rings] = numbers[:, ring[rings]]
    marked = rows.copy()
    marked[:, options.channel] = np.fft.ifft2(spectrum).real
    return marked


def detect(rows: np.ndarray, options: TreeRingOptions, key: bytes, start: int) -> Detection:
    """How far the frequencies F of each row lie from the key's numbers k, in units of what noise has there.

        eta = sum over half of the rings of |F - k|^2 / (H W / 2), and (F - k)^2 / (H W) at frequency 0

    Of white noise it has the non-central chi-square law with two degrees of freedom a frequency and one at 0, and the
    non-centrality that eta has at F = 0; p is its chance of being as near. A real image tells each frequency twice:
    the published statistic counts both, as if they were independent, and takes the variance from the row itself, by
    which about 2.7 % of unmarked noise passes for marked at a nominal 1 %. statistic: - eta.
    """
    _, height, width = rows.shape[1:]
    rings, ring = _rings(height, width, options.radius)
    down, across = (np.rint(np.fft.fftfreq(side) * side) for side in (height, width))
    half = rings & ((down[:, None] > 0) | ((down[:, None] == 0) & (across[None, :] > 0)))
    numbers = _numbers(key, options, start, len(rows), height, width)
    spectrum = np.fft.fft2(rows[:, options.channel])
    size, own = height * width, numbers[:, ring[half]]
    distance = (np.abs(spectrum[:, half] - own) ** 2).sum(axis=1) / (size / 2)
    distance += (spectrum[:, 0, 0].real - numbers[:, 0]) ** 2 / size
    away = (own**2).sum(axis=1) / (size / 2) + numbers[:, 0] ** 2 / size
    from scipy.special import chndtr

    return Detection(-distance, chndtr(distance, 2.0 * np.count_nonzero(half) + 1, np.broadcast_to(away, len(rows))))


def fault(shape: Sequence[int], options: TreeRingOptions) -> str:
    """Rings that do not fit, or a channel that is not there."""
    if options.channel >= shape[0]:
        return f"marks channel {options.channel}; the images have {shape[0]}, counted from 0"
    most = (min(shape[1:]) - 1) // 2
    return f"has rings up to radius {options.radius}; images of {shape[1]} x {shape[2]} allow up to {most}" * (
        options.radius > most
    )


def _rings(height: int, width: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Which frequencies are in the rings, and in which: (H, W) bool and int, in the order of ``fft2``."""
    down, across = (np.rint(np.fft.fftfreq(side) * side) for side in (height, width))
    distance = np.hypot(down[:, None], across[None, :])
    return distance <= radius, np.floor(distance).astype(np.int64)


def _numbers(key: bytes, options: TreeRingOptions, start: int, count: int, height: int, width: int) -> np.ndarray:
    """The key's number for each ring, whose mean square over the frequencies is H W: (count or 1, radius + 1)."""
    rings, ring = _rings(height, width, options.radius)
    many = np.bincount(ring[rings], minlength=options.radius + 1)
    numbers = secret_normals(key, options, start, count, options.radius + 1)
    mean_square = (many * numbers**2).sum(axis=1, keepdims=True) / many.sum()
    return numbers * np.sqrt(height * width / mean_square)
