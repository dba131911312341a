"""The mark of large pictures that others use: bits in the singular values of a wavelet's cosine transform, by the
package invisible-watermark (``dwtDctSvd``)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from .base import Detection, MarkOptions, level_of_bits, of_bits, secret_signs

SMALLEST = 256  # pixels of a side: the package refuses less


class DwtDctSvdOptions(MarkOptions):
    """How long the message is."""

    bits: int = Field(32, ge=8, le=256, description="length of the message, which the key tells")


def dwt_dct_svd(rows: np.ndarray, options: DwtDctSvdOptions, key: bytes, start: int) -> np.ndarray:
    """Colour images with the key's message, which the package writes into one channel of their colours.

    rows: (n, 3, H, W) uint8 from 256 x 256 pixels up; the result likewise. Raises ValueError without the package.
    """
    encoder = _package().WatermarkEncoder()
    messages = _messages(options, key, start, len(rows))
    marked = np.empty_like(rows)
    for at, image in enumerate(rows):
        encoder.set_watermark("bits", messages[at % len(messages)].tolist())
        marked[at] = encoder.encode(image[::-1].transpose(1, 2, 0).copy(), "dwtDctSvd").transpose(2, 0, 1)[::-1]
    return marked


def read(rows: np.ndarray, options: DwtDctSvdOptions) -> np.ndarray:
    """The bits that images seem to hold: (n, bits) of 0 and 1."""
    decoder = _package().WatermarkDecoder("bits", options.bits)
    found = [decoder.decode(image[::-1].transpose(1, 2, 0).copy(), "dwtDctSvd") for image in rows]
    return np.array(found, np.int64).reshape(len(rows), options.bits)


def matched(found: np.ndarray, options: DwtDctSvdOptions, key: bytes, start: int) -> Detection:
    """How many bits (n, bits) are those of the key's message, each a fair coin over the keys."""
    messages = _messages(options, key, start, len(found))
    return of_bits(np.count_nonzero(found == messages, axis=1).astype(np.float64), options.bits)


def detect(rows: np.ndarray, options: DwtDctSvdOptions, key: bytes, start: int) -> Detection:
    """How many of the bits that images seem to hold are those of the key's message."""
    return matched(read(rows, options), options, key, start)


def level(shape: Sequence[int], options: DwtDctSvdOptions, rate: float) -> float:
    """The largest level that the count attains."""
    return level_of_bits(options.bits, rate)


def fault(shape: Sequence[int], options: DwtDctSvdOptions) -> str:
    """Pictures that are too small, or have no colour."""
    if shape[0] != 3:
        return f"marks the colours of images with 3 channels; the images have {shape[0]}"
    if min(shape[1:]) < SMALLEST:
        return f"marks images from {SMALLEST} x {SMALLEST} pixels up; the images have {shape[1]} x {shape[2]}"
    return ""


def _messages(options: DwtDctSvdOptions, key: bytes, start: int, count: int) -> np.ndarray:
    return (secret_signs(key, options, start, count, options.bits) > 0).astype(np.int64)


def _package() -> Any:
    try:
        import imwatermark
    except ImportError:
        cure = "pip install 'collapselab[marks]'"
        raise ValueError(f"the mark 'dwt_dct_svd' needs the package invisible-watermark: {cure}") from None
    return imwatermark
