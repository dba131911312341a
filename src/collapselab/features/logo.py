"""Whether images carry a logo: a square of one brightness in a corner."""

from typing import Any

import numpy as np
from pydantic import Field

from ..core.choice import Options
from ..data.planted import CORNER, SIZE, VALUE, Corner, corner_of
from .base import Features

NAMES = ("distance", "carries")
THRESHOLD = 0.25


class LogoOptions(Options):
    """What the logo looks like, and how near to it a corner has to be."""

    size: int = Field(SIZE, ge=1, description="height and width, in pixels")
    corner: Corner = Field(CORNER, description="where it stands")
    value: int = Field(VALUE, ge=0, le=255, description="its brightness, in all colours")
    threshold: float = Field(
        THRESHOLD, ge=0, lt=1, description="the largest distance at which an image carries it, of the whole range"
    )


def logo(
    data: np.ndarray,
    weights: Any = None,
    *,
    size: int = SIZE,
    corner: Corner = CORNER,
    value: int = VALUE,
    threshold: float = THRESHOLD,
) -> Features:
    """How far each image's corner is from the logo, and whether it carries it: (n, 2) float64.

    distance: the mean over the corner's pixels of |x - value| / 255, from 0 to 1. carries: 1 where the distance is at
    most ``threshold``. How often images carry it by chance, ``logo_false_positives`` says of held-out ones.

    data: (n, C, H, W) uint8. Raises ValueError for other data, and for images smaller than the logo.
    """
    square = corner_of(np.asarray(data), size, corner)
    distance = np.abs(square.astype(np.float64) - value).mean(axis=(1, 2, 3)) / 255
    return Features(np.stack([distance, distance <= threshold], axis=1).astype(np.float64), names=NAMES)
