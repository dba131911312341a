"""Resizing one large picture in little memory, to the same bits as :mod:`resize`."""

import numpy as np

from .resize import Resize, resize

LARGE_PIXELS = 2**22  # of smaller pictures the numbers in float64 need not be counted
BAND_PIXELS = 2**22


def resize_one(image: np.ndarray, resolution: int, method: Resize) -> np.ndarray:
    """One picture at ``resolution`` by ``resolution`` pixels: (C, resolution, resolution) uint8, as :func:`resize`.

    A large one comes to the mean of its pixels band by band: of A X A' the sum over the rows of X is taken in parts.
    All numbers are integers below 2^53, so that the sum is exact in any order.

    image: (C, n, n) uint8. Raises ValueError for a picture that is not square.
    """
    _, height, width = image.shape
    if method != "area" or height != width or height * width <= LARGE_PIXELS:
        return np.concatenate([resize(plane[None, None], resolution, method)[0] for plane in image])
    rows, size = max(1, BAND_PIXELS // width), height
    old, new = np.arange(size) * resolution, np.arange(resolution)[:, None] * size
    overlap = np.clip(np.minimum(old + resolution, new + size) - np.maximum(old, new), 0, None).astype(np.float64)
    total = np.zeros((len(image), resolution, resolution))
    for top in range(0, size, rows):
        band = slice(top, top + rows)
        total += overlap[:, band] @ (image[:, band].astype(np.float64) @ overlap.T)
    return np.floor((2 * total + size**2) / (2 * size**2)).astype(np.uint8)
