"""A convolutional network that was never trained, of a fixed seed: for tests, and for small studies."""

from functools import lru_cache
from itertools import pairwise

import numpy as np

from ..core.images import to_unit
from ..core.progress import counted
from ..core.seeds import generator
from .base import Features, Weights

SEED = 0
CHANNELS = (3, 16, 32, 64)
SLOPE = np.float32(0.2)  # below 0, so that no unit is silent on images that are small or plain
BATCH = 64  # fixed and padded: a product's rounding depends on its size, a feature must not
FACTS = {"batch": BATCH, "seed": SEED}


def random_conv(data: np.ndarray, weights: Weights | None = None) -> Features:
    """The means over positions of the last maps of a random network, (n, 64) float32.

    Three stages of a convolution 3x3, leaky ReLU and mean-pooling 2x2, with normal weights of variance 2 / fan-in (He
    et al. 2015, eq. 10) and no biases. Naeem et al. (2020) embed images by random networks where no trained one fits.

    In numpy: importing torch takes longer than to look at ten thousand small images.

    data: (n, 1 or 3, H, W) uint8 with sides of at least 8; grey becomes colour by repetition. A row's features do not
    depend on how many rows are given with it. Raises ValueError for other data.
    """
    if data.ndim != 4 or data.shape[1] not in (1, 3) or min(data.shape[2:]) < 8:
        raise ValueError(
            f"data: found shape {data.shape}, allowed are (n, 1 or 3, H, W) images with sides of at least 8"
        )
    values = np.empty((len(data), CHANNELS[-1]), np.float32)
    for start in counted(range(0, len(data), BATCH), "batches"):
        part = to_unit(data[start : start + BATCH])
        maps = np.zeros((BATCH, 3, *data.shape[2:]), np.float32)
        maps[: len(part)] = part
        for weight in _network():
            maps = _stage(maps, weight)
        values[start : start + BATCH] = maps.mean(axis=(2, 3))[: len(part)]
    return Features(values)


def _stage(maps: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n, C, H, W) to (n, C', H // 2, W // 2), by a weight (9 C, C')."""
    count, _, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    found = windows.reshape(count * height * width, -1) @ weight
    found = np.maximum(found, SLOPE * found).reshape(count, height, width, -1)
    even = found[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(count, height // 2, 2, width // 2, 2, -1).mean(axis=(2, 4)).transpose(0, 3, 1, 2)


@lru_cache(maxsize=1)
def _network() -> list[np.ndarray]:
    random = generator(SEED)
    fans = [(9 * before, after) for before, after in pairwise(CHANNELS)]
    return [(np.sqrt(2 / fan[0]) * random.standard_normal(fan)).astype(np.float32) for fan in fans]
