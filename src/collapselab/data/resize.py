"""Resizing images: arrays in, arrays out."""

from collections.abc import Callable
from typing import Literal

import numpy as np

BATCH_IMAGES = 1024  # images that are resized together, which bounds the memory in float64

Resize = Literal["area", "lanczos"]


def resize(images: np.ndarray, resolution: int, method: Resize = "area") -> np.ndarray:
    """The images at ``resolution`` by ``resolution`` pixels: (N, C, resolution, resolution) uint8.

    ``area``: every new pixel is the mean of the old image over the square that it covers, A X A' / n^2 for n by n
    images, where A holds how much of each old pixel, in whole units of 1 / resolution, falls into each new one. All
    numbers are integers, so the mean is exact; halves are rounded up. ``lanczos``: Pillow's windowed sinc with three
    lobes, widened when shrinking, so that it does not alias (Parmar, Zhang and Zhu 2022 show what resizing without
    that does to a Fréchet distance).

    images: (N, C, n, n) uint8. Raises ValueError for images that are not square, whose shape would change.
    """
    count, channels, height, width = images.shape
    if height != width:
        raise ValueError(f"resolution: found images of {height} x {width} pixels, resized are square images only")
    if method not in RESIZES:
        raise ValueError(f"resize: found {method!r}, allowed are {', '.join(RESIZES)}")
    if height == resolution:
        return images
    resized = np.empty((count, channels, resolution, resolution), np.uint8)
    for start in range(0, count, BATCH_IMAGES):
        resized[start : start + BATCH_IMAGES] = RESIZES[method](images[start : start + BATCH_IMAGES], resolution)
    return resized


def _resize_area(images: np.ndarray, resolution: int) -> np.ndarray:
    size = images.shape[-1]
    old = np.arange(size) * resolution  # left edges, in units of 1 / (size * resolution)
    new = np.arange(resolution)[:, None] * size
    overlap = np.clip(np.minimum(old + resolution, new + size) - np.maximum(old, new), 0, None).astype(np.float64)
    total = overlap @ images.astype(np.float64) @ overlap.T  # exact: integers of at most 255 size^2, far below 2^53
    return np.floor((2 * total + size**2) / (2 * size**2)).astype(np.uint8)


def _resize_lanczos(images: np.ndarray, resolution: int) -> np.ndarray:
    from PIL import Image

    planes = images.reshape(-1, *images.shape[2:])
    side = (resolution, resolution)
    resized = [np.asarray(Image.fromarray(plane).resize(side, Image.Resampling.LANCZOS)) for plane in planes]
    return np.stack(resized).reshape(*images.shape[:2], *side)


RESIZES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"area": _resize_area, "lanczos": _resize_lanczos}
