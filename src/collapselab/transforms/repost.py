"""What happens to pictures when people post them again: re-encoding and resizing."""

import io
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from ..core.choice import Options
from ..core.facts import Facts
from ..core.sets import SampleSet
from ..data.resize import Resize
from ..data.resize import resize as resized
from .base import Given

CHROMA = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}  # as Pillow counts them


class JpegOptions(Options):
    """How much is thrown away."""

    quality: int = Field(75, ge=1, le=100, description="quality by the scale of libjpeg")
    chroma: Literal["4:4:4", "4:2:2", "4:2:0"] = Field(
        "4:2:0", description="how much of the colours is kept; without effect on grey pictures"
    )


def jpeg(given: Given, options: JpegOptions, seed: int) -> SampleSet:
    """Images as they come back from a JPEG file, by the Pillow that is installed: (N, 1 or 3, H, W) uint8.

    Blocks of 8 by 8 pixels lose their fine frequencies, so that marks and cross-hatching weaken, and edges ring.
    Raises ValueError for images of another number of channels.
    """
    from PIL import Image

    images = given.samples.data
    if images.shape[1] not in (1, 3):
        raise ValueError(f"samples: found images of {images.shape[1]} channels, a JPEG file has 1 or 3")
    data = np.empty_like(images)
    for image, back in zip(images, data, strict=True):
        file = io.BytesIO()
        picture = Image.fromarray(image[0] if len(image) == 1 else np.moveaxis(image, 0, -1))
        picture.save(file, "JPEG", quality=options.quality, subsampling=CHROMA[options.chroma])
        decoded = np.asarray(Image.open(file))
        back[...] = decoded if len(image) == 1 else np.moveaxis(decoded, -1, 0)
    return replace(given.samples, data=data)


def jpeg_fault(facts: Facts, options: JpegOptions) -> str:
    """Images that no JPEG file holds."""
    return "" if facts.shape[0] in (1, 3) else f"found images of {facts.shape[0]} channels, a JPEG file has 1 or 3"


class ResizeOptions(Options):
    """Through how few pixels."""

    side: int = Field(ge=1, description="pixels of a side that the pictures go through")
    down: Resize = Field("area", description="how they are made smaller")
    up: Resize = Field("lanczos", description="how they are made as large again")


def resize(given: Given, options: ResizeOptions, seed: int) -> SampleSet:
    """Square images after they were made smaller, or larger, and as large again: what they are like reposted.

    Frequencies above that of the smaller side are lost (:func:`collapselab.data.resize.resize` has the filters).
    Raises ValueError for images that are not square.
    """
    images = given.samples.data
    if not len(images):
        return given.samples
    through = resized(images, options.side, options.down if options.side < images.shape[-1] else options.up)
    back = resized(through, images.shape[-1], options.up if options.side < images.shape[-1] else options.down)
    return replace(given.samples, data=back)


def resize_fault(facts: Facts, options: ResizeOptions) -> str:
    """Images that are not square."""
    height, width = facts.shape[1:]
    return "" if height == width else f"found images of {height} x {width} pixels, allowed are square ones"
