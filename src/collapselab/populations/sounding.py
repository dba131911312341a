"""What known truths of sound have in common: the law of a pitch, its cells, and clips of a given loudness."""

from collections.abc import Callable
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ..core import hearing, sound
from ..core.ask import Ask
from ..models.options import Options

BELL = 3.0  # standard deviations of its bell from the middle of a range to its ends
NEAR_DB, NEAR_PITCH = 1.5, 0.25  # how far a reading may be off: see ``core.hearing``
LOWEST_HZ, HIGHEST_HZ = 100.0, 3200.0  # of pitches that are read so well


class SoundOptions(Options):
    """The length of a clip, and how loud it is: the same for all truths of sound."""

    frames: int = Field(32, ge=4, le=256, description="frames of a clip, 16 milliseconds each: 32 are 4,096 samples")
    bands: int = Field(32, ge=24, le=64, description="mel bands of its picture")
    quietest_db: float = Field(-30.0, ge=-50, le=-3, description="least loudness, decibels below full scale")
    loudest_db: float = Field(-10.0, ge=-50, le=-3, description="greatest; loudness is uniform between the two")

    @property
    def span(self) -> tuple[int, int]:
        """The shape of a picture: bands and frames."""
        return self.bands, self.frames

    @model_validator(mode="after")
    def _check_loudness(self) -> Self:
        if self.quietest_db > self.loudest_db:
            raise ValueError(f"quietest_db: found {self.quietest_db:g}, allowed are numbers up to loudest_db")
        return self


class PitchedOptions(SoundOptions):
    """Which pitches there are, and how often each occurs."""

    low_hz: float = Field(131.0, ge=LOWEST_HZ, le=HIGHEST_HZ, description="lowest pitch, Hz: 131 is C3")
    high_hz: float = Field(2093.0, ge=LOWEST_HZ, le=HIGHEST_HZ, description="highest pitch, Hz: 2093 is C7")
    law: Literal["uniform", "bell"] = Field(
        "uniform", description="of the pitch in semitones; bell: normal, with the ends 3 standard deviations away"
    )
    cells: int = Field(24, ge=1, le=1000, description="equal parts of the range in which the truth counts samples")
    unit: ClassVar[float] = 2 * NEAR_PITCH  # the narrowest cell that readings can tell

    @model_validator(mode="after")
    def _check_pitch(self) -> Self:
        if not self.low_hz < self.high_hz:
            raise ValueError(f"low_hz: found {self.low_hz:g}, allowed are numbers below high_hz, {self.high_hz:g}")
        if (wide := (self.ends[1] - self.ends[0]) / self.cells) < self.unit:
            found = f"{self.cells} cells of {wide:.2g} semitones"
            raise ValueError(f"cells: found {found}, allowed are cells from {self.unit:g}, which a reading can tell")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest pitch in semitones."""
        return float(hearing.to_pitch(self.low_hz)), float(hearing.to_pitch(self.high_hz))

    def pitch(self, uniform: np.ndarray) -> np.ndarray:
        """The pitches, in semitones, below which the shares ``uniform`` of all lie."""
        low, high = self.ends
        if self.law == "uniform":
            return low + (high - low) * uniform
        from scipy.special import ndtr, ndtri

        inner = ndtri(ndtr(-BELL) + (ndtr(BELL) - ndtr(-BELL)) * uniform)
        return (low + high) / 2 + (high - low) / (2 * BELL) * inner

    def masses(self) -> np.ndarray:
        """The probability of each cell of pitch: (cells,) float64, together 1."""
        edges = np.linspace(0, 1, self.cells + 1)
        if self.law == "bell":
            from scipy.special import ndtr

            edges = (ndtr(BELL * (2 * edges - 1)) - ndtr(-BELL)) / (ndtr(BELL) - ndtr(-BELL))
        return np.diff(edges)

    def cell(self, pitch: np.ndarray) -> np.ndarray:
        """In which cell of pitch each lies, int64; those beyond an end are of its cell."""
        low, high = self.ends
        place = np.floor((np.nan_to_num(pitch) - low) / (high - low) * self.cells)
        return place.clip(0, self.cells - 1).astype(np.int64)

    def within(self, pitch: np.ndarray, loudness: np.ndarray) -> np.ndarray:
        """Whether a reading is one of a pitch and a loudness that there are: (n,) bool."""
        low, high = self.ends
        in_pitch = (pitch >= low - NEAR_PITCH) & (pitch <= high + NEAR_PITCH)
        return in_pitch & (loudness >= self.quietest_db - NEAR_DB) & (loudness <= self.loudest_db + NEAR_DB)


class Sounding:
    """What every truth of sound is: of clips, and described by its options alone."""

    gives: ClassVar = "audio"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: SoundOptions

    @classmethod
    def population(cls, options: SoundOptions) -> Self:
        """The sounds that the options describe."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of one picture: (bands, frames)."""
        return self.options.span


def decibels(options: SoundOptions, uniform: np.ndarray) -> np.ndarray:
    """The loudness below which the shares ``uniform`` of all clips lie, dB."""
    return options.quietest_db + (options.loudest_db - options.quietest_db) * uniform


def as_loud(clips: np.ndarray, loudness: np.ndarray) -> np.ndarray:
    """The clips (n, samples) with a mean square of 10^(loudness / 10): (n, samples) float64."""
    squares = np.einsum("ns,ns->n", clips, clips) / clips.shape[1]
    return clips * np.sqrt(10 ** (loudness / 10) / squares)[:, None]


def times(options: SoundOptions) -> np.ndarray:
    """The time of each sample of a clip: (frames HOP,) float64, s."""
    return np.arange(options.frames * sound.HOP) / sound.RATE


def in_blocks(make: Callable[[int, int], np.ndarray], ask: Ask, options: SoundOptions) -> np.ndarray:
    """The pictures of clips ``ask.start ..`` of a sequence, made of few at once: (count, bands, frames) float32.

    make: (start, count) -> clips (count, samples).
    """
    found = np.empty((ask.count, *options.span), np.float32)
    for start in range(0, ask.count, sound.BLOCK):
        count = min(sound.BLOCK, ask.count - start)
        found[start : start + count] = sound.pictures_of(make(ask.start + start, count), options.bands)
    return found


def shaped(data: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The data as pictures of a shape. Raises ValueError for others."""
    data = np.asarray(data)
    if data.ndim != 3 or data.shape[1:] != shape or data.dtype.kind != "f":
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, allowed are log-mel pictures of {shape}")
    return data
