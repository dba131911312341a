"""Spectra: how much each image varies at each frequency."""

import numpy as np

from .base import Features, Weights
from .colours import as_rgb, image_blocks

FACTS = {"luminance": "BT.601", "window": "none"}
ROUNDING = 1e-24  # of the whole power: what a transform in float64 may leave where there is nothing, 1e-12 in amplitude


def spectrum(data: np.ndarray, weights: Weights | None = None) -> Features:
    """The power of each image's luminance at every frequency of the half plane: (n, H (W // 2 + 1)) float32.

    Columns are named ``ky/H kx/W``: cycles a pixel, down and across, ky from -(H // 2) and kx from 0. See
    :func:`power_spectrum`; the luminance is that of ITU-R BT.601 in levels of 0..255.

    data: (n, 1 or 3, H, W) uint8. Raises ValueError for other data.
    """
    images = as_rgb(data)
    height, width = images.shape[2:]
    rows = np.empty((len(images), height * (width // 2 + 1)), np.float32)
    for some in image_blocks(images):
        rows[some] = power_spectrum(luminance(images[some]))
    return Features(rows, names=frequency_names(height, width))


def luminance(images: np.ndarray) -> np.ndarray:
    """0.299 R + 0.587 G + 0.114 B: (n, 3, H, W) -> (n, H, W) float64; of integers, so that grey stays what it is."""
    red, green, blue = np.moveaxis(images.astype(np.int64), 1, 0)
    return (299 * red + 587 * green + 114 * blue) / 1000


def power_spectrum(luminance: np.ndarray) -> np.ndarray:
    """|sum (x - mean) exp(-2 pi i (ky r / H + kx c / W))|^2 / (H W): (n, H, W) -> (n, H (W // 2 + 1)) float64.

    In squared levels: the mean over the whole plane of frequencies is the image's variance (Parseval), so that the
    density of a texture does not depend on how large a piece of it the image shows. A cosine of amplitude a adds
    a^2 H W / 4 at its frequency and at the opposite one, since a line grows with the piece.

    No window: a pattern whose period divides the sides then lies in one column and in no other, and a filter with
    response h multiplies each column by exactly |h|^2 where it goes round the borders. The price is that the jump
    between opposite borders raises the columns on the two axes, in real and fake images alike.
    """
    count, height, width = luminance.shape
    centred = luminance - luminance[:, :1, :1]  # exactly 0 for a constant image, which no mean in float64 ensures
    power = np.square(np.abs(np.fft.rfft2(centred))) / (height * width)
    power[:, 0, 0] = 0  # the mean
    power = np.roll(power, height // 2, axis=1).reshape(count, height * (width // 2 + 1))
    return np.where(power > ROUNDING * power.sum(axis=1, keepdims=True), power, 0.0)


def frequency_names(height: int, width: int) -> tuple[str, ...]:
    """What the columns of :func:`power_spectrum` are called."""
    down = range(-(height // 2), height - height // 2)
    return tuple(f"{ky}/{height} {kx}/{width}" for ky in down for kx in range(width // 2 + 1))
