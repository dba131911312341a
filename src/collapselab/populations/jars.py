"""Grey images of jars, drawn from a height and a width that can be read back: images with a known truth.

A jar stands on a floor, centred: a rectangle of glass, ``height`` high and ``width`` wide, and on it a lid of the same
width and fixed thickness, lighter than the glass, on black. Lengths are in sixteenths of the image's side. The grey of
a pixel is the mean over its area, so that every pixel at an edge says how far the edge goes into it, to 1/256.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from ..core.ask import Ask
from ..core.kinds import KINDS
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import Judgement
from ..models.options import Options
from .base import judged, words

UNITS = 16  # lengths are in sixteenths of the side
FLOOR, LID = 1, 2  # what is left below a jar, and the thickness of its lid
GLASS_GREY, LID_GREY = 128, 240
LOWEST, HIGHEST = 3.0, 12.0  # heights
NARROWEST, WIDEST = 4.0, 13.0  # widths
STEEPEST = 1.5  # height over width, beyond which a jar falls over
PRECISION = 1 / GLASS_GREY  # in pixels, of what is read back from a drawn jar
INSIDE = 1e-9  # of a length: keeps what lies on the rim of the region in a cell that has mass


class JarsOptions(Options):
    """How large the images are, and what counts as a jar."""

    side: int = Field(16, ge=16, le=64, multiple_of=16, description="pixels along a side")
    tolerance: float = Field(
        12.0,
        ge=1,
        allow_inf_nan=False,
        description="root mean square distance from the jar that is read back, in grey levels, up to which it is a jar",
    )
    cells: int = Field(12, ge=1, le=100, description="bins of the height, and as many of the width, for coverage")


def draw(latents: np.ndarray, side: int = UNITS) -> np.ndarray:
    """Jars of given heights and widths: (n, 1, side, side) uint8.

    latents: (n, 2) float, height and width in sixteenths of the side. The grey of a pixel is GLASS_GREY times the share
    of it that the glass covers plus LID_GREY times the lid's, rounded.
    """
    height, width = np.asarray(latents, np.float64).T[:, :, None] * side / UNITS
    pixel = np.arange(side)
    floor, lid = side - FLOOR * side / UNITS, LID * side / UNITS

    def covered(start: np.ndarray, end: np.ndarray | float) -> np.ndarray:
        return np.clip(np.minimum(pixel + 1, end) - np.maximum(pixel, start), 0, 1)

    across = covered((side - width) / 2, (side + width) / 2)
    down = GLASS_GREY * covered(floor - height, floor) + LID_GREY * covered(floor - height - lid, floor - height)
    return np.rint(down[:, :, None] * across[:, None, :]).astype(np.uint8)[:, None]


def read_back(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The height and width of the jar in each image, and how far the image is from that jar.

    The width is the mean ink of the rows that the glass of every jar fills, over GLASS_GREY; the height the mean ink of
    the columns that every jar fills, less the lid's, over GLASS_GREY. In a drawn jar only two pixels of such a row or
    column are rounded, by half a grey level each, so both are right to 1 / GLASS_GREY pixel (:data:`PRECISION`).
    The misfit is the root mean square difference, in grey levels, from the jar drawn from what was read back.

    images: (n, 1, side, side) uint8, the side a multiple of 16. Returns (latents (n, 2) in sixteenths of the side,
    misfit (n,)), float64. Raises ValueError for other images.
    """
    images = np.asarray(images)
    if not KINDS["images"].holds(images) or images.shape[1] != 1 or images.shape[2] != images.shape[3]:
        raise ValueError(f"images: found {images.dtype} of shape {images.shape}, allowed are uint8 (n, 1, side, side)")
    side = images.shape[2]
    if not side or side % UNITS:
        raise ValueError(f"images: found a side of {side} pixels, allowed are multiples of {UNITS}")
    unit = side // UNITS
    floor, lowest, half = side - FLOOR * unit, int(LOWEST) * unit, int(NARROWEST) * unit // 2
    ink = images[:, 0].astype(np.float64)
    width = ink[:, floor - lowest : floor].sum(axis=2).mean(axis=1) / GLASS_GREY
    column = ink[:, :, side // 2 - half : side // 2 + half].sum(axis=1).mean(axis=1)
    height = (column - LID_GREY * LID * unit) / GLASS_GREY
    latents = np.stack([height, width], axis=1) / unit
    misfit = np.sqrt(np.square(ink - draw(latents, side)[:, 0]).mean(axis=(1, 2)))
    return latents, misfit


def _below(width: np.ndarray | float, height: np.ndarray | float, top: float) -> np.ndarray:
    """The integral of clip(STEEPEST w - height, 0, top) over w from where it leaves 0 to ``width``: an area."""
    rise = np.maximum(STEEPEST * width - height, 0.0)
    return np.where(rise < top, rise**2 / 2, top * rise - top**2 / 2) / STEEPEST


@dataclass(frozen=True, eq=False)
class Jars:
    """The law of a jar whose height h and width w, in sixteenths of the side, are uniform on

        3 <= h <= 12,  4 <= w <= 13,  h <= 1.5 w

    so that one corner, high and narrow, is forbidden. An image is possible if the jar that is read back from it
    (:func:`read_back`) lies in this region, as far as can be read, and the image is within ``tolerance`` of it. Its
    cell is the bin of height and width, of ``cells`` x ``cells`` over the rectangle, without those in the corner.

    Of the default tolerance of 12 grey levels the jars themselves use 0.4 at most, all from rounding. The average of
    two random jars has a median misfit of 38; one in eight passes, of two that are almost alike. Of jars under
    noise of 5 grey levels 94 % pass, of 10 levels 37 %.
    """

    PopulationOptions: ClassVar = JarsOptions
    gives: ClassVar = "images"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: JarsOptions

    @classmethod
    def population(cls, options: JarsOptions) -> Self:
        """The jars that the options describe."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (1, side, side)."""
        return (1, self.options.side, self.options.side)

    def latents(self, count: int, seed: int, *, start: int = 0) -> np.ndarray:
        """Heights and widths of draws ``start .. start + count``: (count, 2) float64, in sixteenths of the side.

        The widths invert their distribution: up to HIGHEST / STEEPEST the density of a width grows like the heights
        that it allows, STEEPEST w - LOWEST; beyond it is constant.
        """
        (uniform,) = words(seed, start, count, 2)
        bend, first = HIGHEST / STEEPEST, STEEPEST * NARROWEST - LOWEST
        sloping = ((HIGHEST - LOWEST) ** 2 - first**2) / (2 * STEEPEST)
        area = uniform[:, 0] * (sloping + (HIGHEST - LOWEST) * (WIDEST - bend))
        growing = (LOWEST + np.sqrt(first**2 + 2 * STEEPEST * np.minimum(area, sloping))) / STEEPEST
        width = growing + np.maximum(area - sloping, 0) / (HIGHEST - LOWEST)
        height = LOWEST + uniform[:, 1] * (np.minimum(HIGHEST, STEEPEST * width) - LOWEST)
        return np.stack([height, width], axis=1)

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, 1, side, side) uint8."""
        check_ask(ask, self)
        return SampleSet(draw(self.latents(ask.count, ask.seed, start=ask.start), self.options.side))

    @cached_property
    def _areas(self) -> np.ndarray:
        """The share of the region in each bin of height (rows) and width: (cells, cells) float64."""
        count = self.options.cells
        heights = np.linspace(LOWEST, HIGHEST, count + 1)[:-1, None]
        widths = np.linspace(NARROWEST, WIDEST, count + 1)
        areas = np.diff(_below(widths, heights, (HIGHEST - LOWEST) / count), axis=1)
        areas[areas < INSIDE] = 0.0
        return areas / areas.sum()

    @property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (K,) float64, exactly but for what PRECISION moves over the bins' edges."""
        return self._areas[self._areas > 0]

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each image is a jar that can stand, and the bin of its height and width.

        Latents are given PRECISION on either side; what lies so little beyond the region counts as on its rim.
        data: (n, 1, side, side) uint8. Raises ValueError for images of another side.
        """
        if np.shape(data)[1:] != self.shape:
            raise ValueError(f"data: found images of shape {np.shape(data)[1:]}, allowed is {self.shape}")
        latents, misfit = read_back(data)
        height, width = latents.T
        slack = PRECISION * UNITS / self.options.side
        stands = (height >= LOWEST - slack) & (height <= HIGHEST + slack)
        stands &= (width >= NARROWEST - slack) & (width <= WIDEST + slack)
        stands &= height <= STEEPEST * width + (1 + STEEPEST) * slack
        width = np.clip(width, NARROWEST, WIDEST - INSIDE)
        height = np.clip(height, LOWEST, np.minimum(HIGHEST, STEEPEST * width) - INSIDE)
        count = self.options.cells
        row = ((height - LOWEST) / (HIGHEST - LOWEST) * count).astype(np.int64)
        column = ((width - NARROWEST) / (WIDEST - NARROWEST) * count).astype(np.int64)
        numbers = np.cumsum(self._areas > 0).reshape(count, count) - 1
        return judged(stands & (misfit <= self.options.tolerance), numbers[row, column])
