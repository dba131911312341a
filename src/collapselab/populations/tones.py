"""Tones: steady pitches with a few partials, struck and dying away, of which pitch and loudness are known exactly."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from ..core import hearing
from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import Judgement
from .base import judged, words
from .sounding import PitchedOptions, Sounding, as_loud, decibels, in_blocks, shaped, times

LIKE = 0.98  # a tonality; of tones with attacks from 1 ms and decays from 50 ms it is above .99
STEADY = 0.5  # semitones from the beginning of a tone to its end


class TonesOptions(PitchedOptions):
    """Pitches, loudness and envelope of the tones."""

    partials: int = Field(3, ge=1, le=8, description="partials of a tone, the fundamental among them")
    rolloff: float = Field(0.4, ge=0, le=0.7, description="amplitude of each partial over that of the one before")
    attack_s: float = Field(0.01, ge=0.001, le=0.1, description="seconds in which a tone comes")
    decay_s: float = Field(0.25, ge=0.05, description="seconds in which its amplitude falls to 1 / e")


@dataclass(frozen=True, eq=False)
class Tones(Sounding):
    """Tones x(t) = a min(t / attack, 1) exp(-t / decay) sum_h rolloff^(h - 1) sin(2 pi h f t + phase_h).

    Pitch and loudness are independent, as the options say; phases are uniform, and partials from 4 kHz are left out. A
    sample is possible if it sounds like such a tone, as :mod:`core.hearing` reads its picture; its cell is its pitch.
    """

    PopulationOptions: ClassVar = TonesOptions

    options: TonesOptions

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, bands, frames) float32, labels the cells of their pitches."""
        check_ask(ask, self)
        place, *_ = self._drawn(ask.seed, ask.start, ask.count)
        cells = self.options.cell(self.options.pitch(place[:, 0]))
        return SampleSet(in_blocks(lambda start, count: self.clips(ask.seed, start, count), ask, self.options), cells)

    def _drawn(self, seed: int, start: int, count: int) -> list[np.ndarray]:
        """Uniform numbers of each draw: of its pitch and its loudness (count, 1), and its phases (count, partials)."""
        return words(seed, start, count, 1, 1, self.options.partials)

    def clips(self, seed: int, start: int, count: int) -> np.ndarray:
        """The clips of draws ``start .. start + count``: (count, frames HOP) float64, 1 at full scale."""
        options, at = self.options, times(self.options)
        place, loud, phases = self._drawn(seed, start, count)
        frequency = hearing.to_hertz(options.pitch(place[:, 0]))
        clips = np.zeros((count, len(at)))
        for partial in range(1, options.partials + 1):
            there = (rate := partial * frequency) < 4000
            turns = rate[:, None] * at + phases[:, partial - 1, None]
            clips += (options.rolloff ** (partial - 1) * there)[:, None] * np.sin(2 * np.pi * turns)
        clips *= np.minimum(at / options.attack_s, 1) * np.exp(-at / options.decay_s)
        return as_loud(clips, decibels(options, loud[:, 0]))

    @property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (cells,) float64."""
        return self.options.masses()

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each picture is one of such a tone, and the cell of its pitch.

        data: (n, bands, frames) float; pictures that are not finite are impossible.
        """
        options = self.options
        found = hearing.heard(shaped(data, self.shape), options.partials, options.rolloff)
        possible = options.within(found.pitch, found.loudness) & (found.tonality >= LIKE) & (abs(found.rise) <= STEADY)
        return judged(possible, options.cell(found.pitch))
