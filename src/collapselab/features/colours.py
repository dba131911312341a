"""Colours: how much of each image has which level of red, green and blue, which hue, and which named colour."""

import functools
from collections.abc import Iterator

import numpy as np

from ..core.kinds import KINDS
from ..core.progress import counted
from .base import Features, Weights

CHANNELS = ("red", "green", "blue")
LEVELS = 256
HUE_DEGREES = 5  # width of a bin; the pure hues lie in the middle of theirs, since they are multiples of it
# The eleven basic colour terms (Berlin and Kay 1969), each with what people who were shown sRGB colours call so: the
# centres of the xkcd colour survey (Munroe 2010, 222,500 sessions, CC0). CSS keywords of the same names would make
# pink what is nearly white, and brown what is nearly red.
PROTOTYPES = {
    "black": 0x000000,
    "white": 0xFFFFFF,
    "grey": 0x929591,
    "red": 0xE50000,
    "green": 0x15B01A,
    "yellow": 0xFFFF14,
    "blue": 0x0343DF,
    "brown": 0x653700,
    "purple": 0x7E1E9C,
    "pink": 0xFF81C0,
    "orange": 0xF97306,
}
HUES = 360 // HUE_DEGREES
NAMES = (
    *(f"{channel} {level}" for channel in CHANNELS for level in range(LEVELS)),
    *(f"hue {degrees}" for degrees in range(0, 360, HUE_DEGREES)),
    *(f"share {name}" for name in PROTOTYPES),
)
FACTS = {"levels": LEVELS, "hue_degrees": HUE_DEGREES, "colour_names": "xkcd 2010, nearest in CIELAB"}
CUBE = 4  # the name is that of the middle of the cube of 4 by 4 by 4 levels that a colour lies in
BLOCK_PIXELS = 2**20


def colours(data: np.ndarray, weights: Weights | None = None) -> Features:
    """Shares of the pixels: 256 levels of each channel, 72 bins of hue, 11 named colours: (n, 851) float32.

    ``red 0`` .. ``blue 255``: the share of the pixels with this level; all levels, so that distances between
    distributions are exact. ``hue 0``, ``hue 5``, ..: the hue of the hexagon (Smith 1978: red 0, green 120, blue 240
    degrees) in bins around these degrees, where a pixel counts with its chroma (max - min) / 255. So they add up to the
    mean chroma, and grey pixels, which have no hue, are nowhere. ``share black``, ..: the share of the pixels whose
    nearest prototype in CIELAB (D65, CIE 1976) has this name.

    data: (n, C, H, W) uint8; a single channel stands for all three.
    Raises ValueError for other data.
    """
    images = as_rgb(data)
    area = images.shape[2] * images.shape[3]
    names = _named_cubes()
    rows = np.empty((len(images), len(NAMES)), np.float32)
    for some in image_blocks(images):
        block = images[some].reshape(-1, 3, area).astype(np.int64)
        found = rows[some]
        for channel in range(3):
            found[:, channel * LEVELS : (channel + 1) * LEVELS] = _histogram(block[:, channel], LEVELS)
        bins, chroma = _hue(block)
        found[:, 3 * LEVELS : 3 * LEVELS + HUES] = _histogram(bins, HUES, chroma) / 255
        red, green, blue = np.moveaxis(block, 1, 0) // CUBE
        found[:, 3 * LEVELS + HUES :] = _histogram(names[red, green, blue], len(PROTOTYPES))
        found /= area
    return Features(rows, names=NAMES)


def as_rgb(data: np.ndarray) -> np.ndarray:
    """The images with three channels: (n, 3, H, W) uint8. Raises ValueError for what is neither grey nor RGB."""
    data = np.asarray(data)
    if not KINDS["images"].holds(data) or data.shape[1] not in (1, 3) or 0 in data.shape[2:]:
        raise ValueError(f"images: found {data.dtype} of shape {data.shape}, allowed are uint8 of (n, 1 or 3, H, W)")
    return np.broadcast_to(data, (len(data), 3, *data.shape[2:]))


def image_blocks(images: np.ndarray) -> Iterator[slice]:
    """The rows of (n, C, H, W) images in blocks of a million pixels."""
    step = max(1, BLOCK_PIXELS // (images.shape[2] * images.shape[3]))
    return counted((slice(start, start + step) for start in range(0, len(images), step)), "images", len(images))


def _histogram(bins: np.ndarray, size: int, weights: np.ndarray | None = None) -> np.ndarray:
    """How many pixels of each row lie in each bin, or their summed weights: bins (n, pixels) -> (n, size)."""
    flat = (bins + size * np.arange(len(bins))[:, None]).ravel()
    counts = np.bincount(flat, None if weights is None else weights.ravel(), minlength=size * len(bins))
    return counts.reshape(len(bins), size)


def _hue(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bin of the hue and the chroma max - min of (n, 3, pixels) integers: two (n, pixels) int64.

    A sixth of the circle begins at each pure hue; within it the hue moves with the difference of the other two channels
    over the chroma. All is integer: the bin is floor((hue + half a bin) / bin) with nothing rounded before.
    """
    red, green, blue = np.moveaxis(pixels, 1, 0)
    most = pixels.max(axis=1)
    chroma = most - pixels.min(axis=1)
    sixty = np.where(most == red, green - blue, np.where(most == green, blue - red, red - green))  # over the chroma
    sixths = np.where(most == red, 0, np.where(most == green, 2, 4))
    whole = np.maximum(chroma, 1)
    half_degrees = 120 * (sixths * whole + sixty) + HUE_DEGREES * whole  # over the chroma, and from half a bin before 0
    return half_degrees // (2 * HUE_DEGREES * whole) % HUES, chroma


@functools.cache
def _named_cubes() -> np.ndarray:
    """Which named colour the middle of each cube of levels is nearest to: (64, 64, 64) int64."""
    middles = np.arange(0, LEVELS, CUBE) + (CUBE - 1) / 2
    cubes = np.stack(np.meshgrid(middles, middles, middles, indexing="ij"), axis=-1).reshape(-1, 3)
    prototypes = np.array([[code >> 16, code >> 8 & 255, code & 255] for code in PROTOTYPES.values()])
    one, other = cielab(cubes), cielab(prototypes)
    nearest = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1) - 2 * one @ other.T
    return nearest.argmin(axis=1).reshape((len(middles),) * 3)


def cielab(colours: np.ndarray) -> np.ndarray:
    """L*, a*, b* of sRGB levels 0..255 under D65: (n, 3) -> (n, 3) float64 (IEC 61966-2-1; CIE 15)."""
    levels = np.asarray(colours, np.float64) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / to_xyz.sum(axis=1)  # over white, so that greys have a* = b* = 0
    bent = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = bent.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
