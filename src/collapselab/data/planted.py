"""A planted logo: a square of one brightness in a corner of a share of the images, to be unlearnt and audited."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.choice import Options
from ..core.sets import SampleSet
from .split import EATEN

Corner = Literal["top_left", "top_right", "bottom_left", "bottom_right"]
SIZE, CORNER, VALUE = 4, "bottom_right", 255


class Planted(Options):
    """A logo in a share of the real images that trainings eat; what metrics compare with stays clean."""

    share: float = Field(gt=0, lt=1, description="of the images of each part that trainings eat")
    size: int = Field(SIZE, ge=1, description="height and width, in pixels")
    corner: Corner = Field(CORNER, description="where it stands")
    value: int = Field(VALUE, ge=0, le=255, description="its brightness, in all colours")


def corner_of(images: np.ndarray, size: int, corner: Corner) -> np.ndarray:
    """A square corner of images (N, C, H, W), as a view: (N, C, size, size).

    Raises ValueError for what are no images, or smaller ones.
    """
    if images.ndim != 4 or min(images.shape[2:]) < size:
        found = f"rows of shape {images.shape[1:]}"
        raise ValueError(f"logo: found {found}, allowed are images of {size} x {size} pixels at least")
    rows, columns = corner.split("_")
    down = slice(0, size) if rows == "top" else slice(images.shape[2] - size, None)
    across = slice(0, size) if columns == "left" else slice(images.shape[3] - size, None)
    return images[:, :, down, across]


def plant(parts: Mapping[str, SampleSet], planted: Planted, seed: int) -> dict[str, SampleSet]:
    """The parts of a data set, with the logo in round(share n) of the n images of each part that trainings eat.

    Which: those whose raw row has the lowest numbers of a random stream, so that no part's hang on another's. The
    column ``aux["planted"]`` says of every row whether it carries the logo, and the lineage what was planted.
    Raises ValueError as :func:`corner_of` does.
    """
    made = {}
    for name, samples in parts.items():
        carries = np.zeros(len(samples), bool)
        data = samples.data.copy()
        if name in EATEN and len(samples):
            raw = samples.aux["row"]
            chance = seeds.generator(seeds.seed_of(seed, None, None, "planted")).random(int(raw.max()) + 1)[raw]
            carries[np.argsort(chance, kind="stable")[: round(planted.share * len(samples))]] = True
            square = corner_of(data, planted.size, planted.corner)
            square[carries] = planted.value
        lineage = {**samples.lineage, "planted": planted.model_dump(mode="json")}
        made[name] = replace(samples, data=data, aux={**samples.aux, "planted": carries}, lineage=lineage)
    return made
