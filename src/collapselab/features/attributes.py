"""Attributes: single numbers that say what an image looks like."""

import numpy as np

from .base import Features, Weights
from .colours import as_rgb, image_blocks
from .spectrum import luminance

NAMES = ("brightness", "contrast", "colourfulness", "sharpness")


def attributes(data: np.ndarray, weights: Weights | None = None) -> Features:
    """Brightness, contrast, colourfulness and sharpness of each image: (n, 4) float64.

    brightness: the mean of the luminance L (ITU-R BT.601), 0 to 255 levels.
    contrast: the standard deviation of L over the pixels, in levels (Peli 1990: the root-mean-square contrast).
    colourfulness: sqrt(s_rg^2 + s_yb^2) + 0.3 sqrt(m_rg^2 + m_yb^2) with the standard deviations s and means m of
    R - G and (R + G) / 2 - B (Hasler and Süsstrunk 2003), in levels; exactly 0 for grey images.
    sharpness: the variance of the Laplacian, the sum of the four neighbours minus 4 L (Pech-Pacheco et al. 2000), in
    squared levels; beyond the border an image goes on as it ends, so that one of a single pixel has one too: 0.

    data: (n, 1 or 3, H, W) uint8. Raises ValueError for other data.
    """
    images = as_rgb(data)
    rows = np.empty((len(images), len(NAMES)))
    for some in image_blocks(images):
        block = images[some]
        light = luminance(block)
        red, green, blue = np.moveaxis(block.astype(np.int64), 1, 0)
        opponents = np.stack([2 * (red - green), red + green - 2 * blue]) / 2
        spread, shift = _variance(opponents).sum(axis=0), np.square(opponents.mean(axis=(2, 3))).sum(axis=0)
        wide = np.pad(light, ((0, 0), (1, 1), (1, 1)), mode="edge")
        around = wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
        rows[some] = np.stack(
            [
                light.mean(axis=(1, 2)),
                np.sqrt(_variance(light)),
                np.sqrt(spread) + 0.3 * np.sqrt(shift),
                _variance(around - 4 * light),
            ],
            axis=1,
        )
    return Features(rows, names=NAMES)


def _variance(planes: np.ndarray) -> np.ndarray:
    """The variance over the last two axes, exactly 0 for constant planes."""
    return (planes - planes[..., :1, :1]).var(axis=(-2, -1))
