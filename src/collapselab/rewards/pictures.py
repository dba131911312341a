"""How small or large a picture is as a JPEG, and how bright it is: rewards that need nothing but its pixels."""

import io
from typing import Literal

import numpy as np
from pydantic import Field

from ..core.choice import NoOptions, Options
from ..core.images import to_unit
from ..core.sets import SampleSet


class JPEGOptions(Options):
    """What is liked, and how pictures are written."""

    likes: Literal["small", "large"] = Field(
        "small", description="small files (compressibility), or large ones (incompressibility)"
    )
    quality: int = Field(95, ge=1, le=95, description="of the JPEG")
    side: int = Field(
        32, ge=1, description="pixels that the shorter side has at least: smaller pictures are enlarged, pixel by pixel"
    )


def jpeg_size(samples: SampleSet, seen: object, options: JPEGOptions) -> np.ndarray:
    """How few kilobytes a picture takes as a JPEG beyond an all-black one, times -1; or how many: (n,) float64.

    -(bytes(x) - bytes(black)) / 1000, or + for ``likes: large`` (Black et al. 2023, arXiv 2305.13301, section 4.1: of
    the file at quality 95). Two things are added, without which the number is blind for small pictures: the share that
    is the same for all of them (headers, tables) is taken off, and a picture whose shorter side has fewer than ``side``
    pixels is enlarged by the least whole number, each pixel to a square. Then its pixels, and not the 8 x 8 blocks, are
    what there is to compress. Colours are subsampled as Pillow does it by default.
    """
    enlarge = -(-options.side // min(samples.data.shape[2:]))
    sizes = np.array([_bytes(image, enlarge, options.quality) for image in samples.data], np.float64)
    if not len(sizes):
        return sizes
    beyond = sizes - _bytes(np.zeros_like(samples.data[0]), enlarge, options.quality)
    return (-beyond if options.likes == "small" else beyond) / 1000


def _bytes(image: np.ndarray, enlarge: int, quality: int) -> int:
    """The size of a picture (C, H, W) as a JPEG, after each pixel was made ``enlarge`` pixels wide and high."""
    from PIL import Image

    pixels = image.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=quality)
    return written.tell()


def brightness(samples: SampleSet, seen: object, options: NoOptions) -> np.ndarray:
    """The mean of a picture's pixels, black -1 and white 1: (n,) float64.

    A reward that destroys all content when it is followed without bound: the best picture is white.
    """
    return to_unit(samples.data).mean(axis=(1, 2, 3), dtype=np.float64)
