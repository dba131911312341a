"""Resizing on the device, by the definition of clean-fid: Pillow's bicubic filter on float32 channels."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

BAND = 50  # new pixels that a processor makes at once from the old ones under them: of some sizes the fastest


class _Band(NamedTuple):
    """Some new pixels of an axis as sums of old ones: weights (new, old)."""

    new: slice
    old: slice
    weights: "torch.Tensor"


def resize(images: "torch.Tensor", side: int) -> "torch.Tensor":
    """The images at ``side`` by ``side`` pixels in three channels: (n, 3, side, side) float32 in 0..255.

    Y = clip(R X C', 0, 255) for each channel X, with the rows of :func:`bicubic` in R and C. Pillow sums in the same
    order, first along a row, then along a column, with float32 in between, but sums in float64; the results differ by
    float32 rounding of sums of some ten terms. Parmar, Zhang and Zhu (2022) resize like this, and clip before the
    network. Grey becomes colour by repetition. Each image is resized by itself: its bits do not depend on the others.

    images: (n, 1 or 3, H, W) of uint8 values or of floats in 0..255, on any device.
    """
    import torch

    resized = torch.empty(len(images), 3, side, side, device=images.device)
    resize_into(images, resized)
    return resized


def resize_into(images: "Sequence[torch.Tensor]", target: "torch.Tensor") -> None:
    """Put images (1 or 3, H, W), each of its own size, into the first rows of ``target`` as :func:`resize` does."""
    import torch

    threads = torch.get_num_threads()
    if target.device.type != "cpu" or threads == 1 or len(images) < 2:
        for image, row in zip(images, target, strict=False):
            _resize_one(image, row)
        return
    # An image is too little work for several threads, which would mostly wait for each other: each has its own.
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(_resize_one, images, target))
    finally:
        torch.set_num_threads(threads)  # what a thread sets for itself is also the default of threads that come later


def _resize_one(image: "torch.Tensor", target: "torch.Tensor") -> None:
    import torch

    side, (channels, height, width) = target.shape[-1], image.shape
    with torch.inference_mode():  # which each thread enters for itself
        image = image.float()
        wide = image.new_empty(channels, height, side)
        for band in _bands(width, side, image.device):
            wide[:, :, band.new] = image[:, :, band.old] @ band.weights.T
        for band in _bands(height, side, image.device):
            target[:, band.new] = (band.weights @ wide[:, band.old]).clamp_(0, 255)


def bicubic(old: int, new: int) -> np.ndarray:
    """How much of each of ``old`` pixels is in each of ``new`` ones along an axis: (new, old) float64, rows sum to 1.

    w_ij = k((j + 1/2 - (i + 1/2) s) / max(s, 1)) with s = old / new, divided by its sum over the pixels that there are:
    the filter widens when shrinking, so that it does not alias. k is the cubic convolution kernel with a = -1/2 (Keys
    1981, eq. 15).
    """
    step = old / new
    centres = (np.arange(new) + 0.5) * step
    x = np.abs(np.arange(old) + 0.5 - centres[:, None]) / max(step, 1)
    near, far = ((1.5 * x - 2.5) * x) * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=16)
def _bands(old: int, new: int, device: "torch.device") -> tuple[_Band, ...]:
    """The matrix in pieces without most of its zeros; a GPU multiplies by them faster than it starts more products."""
    import torch

    matrix = bicubic(old, new)
    bands = []
    for start in range(0, new, new if device.type == "cuda" else BAND):
        part = matrix[start : start + (new if device.type == "cuda" else BAND)]
        used = np.flatnonzero(part.any(axis=0))
        under = slice(int(used[0]), int(used[-1]) + 1)
        weights = torch.from_numpy(np.ascontiguousarray(part[:, under], np.float32)).to(device)
        bands.append(_Band(slice(start, start + len(part)), under, weights))
    return tuple(bands)
