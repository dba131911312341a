"""Images as bytes and as numbers: uint8 on disk, float32 in [-1, 1] inside models and extractors."""

import numpy as np


def to_unit(images: np.ndarray) -> np.ndarray:
    """The images as float32 in [-1, 1], of the same shape: ``x / 127.5 - 1`` of uint8 values x.

    Raises ValueError for any other dtype, whose range would have to be guessed.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise ValueError(f"images: found dtype {str(images.dtype)!r}, allowed is 'uint8'")
    return images / np.float32(127.5) - np.float32(1)


def to_uint8(unit: np.ndarray) -> np.ndarray:
    """The images as uint8, of the same shape: ``(x + 1) * 127.5`` rounded to the nearest and clipped to 0..255.

    It undoes :func:`to_unit` exactly. Raises ValueError for values that are not finite, which have no byte.
    """
    unit = np.asarray(unit)
    if not np.isfinite(unit).all():
        raise ValueError(
            f"images: found {np.count_nonzero(~np.isfinite(unit))} values that are not finite, allowed are numbers"
        )
    return np.clip(np.rint((unit + 1) * 127.5), 0, 255).astype(np.uint8)


RANGES = ((0, 1), (-1, 1), (0, 255))  # which numbers are black and white


def from_range(images: np.ndarray, value_range: tuple[float, float], role: str = "images") -> np.ndarray:
    """The images as uint8, of the same shape: ``255 (x - low) / (high - low)`` rounded to the nearest.

    value_range: (low, high), one of :data:`RANGES`. role: their name in errors. Raises ValueError for another range,
    and for values that are not finite or lie outside of it, since then it is another one.
    """
    allowed = " or ".join(map(str, RANGES))
    if tuple(value_range) not in RANGES:
        raise ValueError(f"value_range: found {value_range}, allowed are {allowed}")
    if images.dtype.kind not in "fiu":
        raise ValueError(f"{role}: found images of {images.dtype}, allowed are real numbers")
    low, high = value_range
    numbers = images.astype(np.float64)
    if not numbers.size or not np.isfinite(numbers).all() or numbers.min() < low or numbers.max() > high:
        found = f"numbers from {np.min(numbers):g} to {np.max(numbers):g}" if numbers.size else "no numbers"
        raise ValueError(f"{role}: found {found}, allowed are those of value_range {value_range}")
    return np.rint(255 * (numbers - low) / (high - low)).astype(np.uint8)
