"""Drums: a pitch and a noise that are struck and die away together, of which pitch, decay and loudness are known."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from ..core import hearing, sound, sweeping
from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import Judgement
from .base import judged, noise, words
from .sounding import NEAR_DB, PitchedOptions, Sounding, as_loud, decibels, in_blocks, shaped, times

ATTACK_S = 0.002
NEAR_PITCH = 0.5  # semitones by which a reading may be off
LIKE = 0.9  # a tonality, of what is left without the noise
NOISE_OFF = 0.15  # by which a reading of the noise's share may be off
ERRORS = 5.0  # standard errors of a decay by its noise: a draw in a million is farther off
ROUNDING = 0.02  # of a decay without any noise
FEWEST_FRAMES = 5


class DrumsOptions(PitchedOptions):
    """Pitches, decays and loudness of the drums, and how much of them is noise."""

    low_hz: float = Field(131.0, ge=100, le=1600, description="lowest pitch, Hz: 131 is C3")
    high_hz: float = Field(1047.0, ge=100, le=1600, description="highest pitch, Hz: 1047 is C6")
    cells: int = Field(9, ge=1, le=100, description="equal parts of the range of pitches: cells are these by decays")
    shortest_s: float = Field(0.05, ge=0.03, le=1, description="least decay: seconds of a fall to 1 / e")
    longest_s: float = Field(0.2, ge=0.03, le=1, description="greatest; logarithms are uniform")
    decays: int = Field(3, ge=1, le=10, description="equal parts of the logarithms of the decays")
    noise: float = Field(0.2, ge=0, le=0.4, description="share of a drum's energy that is white noise and no tone")
    unit: ClassVar[float] = 2 * NEAR_PITCH

    @model_validator(mode="after")
    def _check_decay(self) -> Self:
        if not self.shortest_s < self.longest_s:
            found = f"shortest_s: found {self.shortest_s:g}, allowed are numbers below longest_s, {self.longest_s:g}"
            raise ValueError(found)
        if self.frames < FEWEST_FRAMES:
            why = "a decay is read from three, without the first and the last"
            raise ValueError(f"frames: found {self.frames}, allowed are {FEWEST_FRAMES} and more: {why}")
        return self

    @property
    def span_of_decays(self) -> tuple[float, float]:
        """The logarithms of the least and of the greatest decay."""
        return float(np.log(self.shortest_s)), float(np.log(self.longest_s))

    def cells_of(self, pitch: np.ndarray, decay: np.ndarray) -> np.ndarray:
        """In which cell a pitch in semitones and a decay in seconds lie together, int64; those beyond are of the outer
        ones."""
        low, high = self.span_of_decays
        place = np.floor((np.log(np.nan_to_num(decay, nan=1.0)) - low) / (high - low) * self.decays)
        return self.cell(pitch) * self.decays + place.clip(0, self.decays - 1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Drums(Sounding):
    """Drums x(t) = a min(t / attack, 1) exp(-t / decay) (sqrt(2 - 2 noise) sin(2 pi f t + phase) + sqrt(noise) n(t)).

    n is white and normal. Pitch f, decay and loudness are independent, as the options say; phases are uniform. A sample
    is possible if it sounds so, as :mod:`core.hearing` and :mod:`core.sweeping` read its picture; its cell is its pitch
    and its decay.
    """

    PopulationOptions: ClassVar = DrumsOptions

    options: DrumsOptions

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, bands, frames) float32, labels the cells of pitch and decay."""
        check_ask(ask, self)
        pitch, decay, *_ = self._drawn(ask.seed, ask.start, ask.count)
        data = in_blocks(lambda start, count: self.clips(ask.seed, start, count), ask, self.options)
        return SampleSet(data, self.options.cells_of(pitch, decay))

    def _drawn(self, seed: int, start: int, count: int) -> tuple[np.ndarray, ...]:
        """Of each draw its pitch, semitones, its decay, s, its loudness, dB, and its phase in turns: (count,) each."""
        pitch, decay, loud, phase = (part[:, 0] for part in words(seed, start, count, 1, 1, 1, 1))
        low, high = self.options.span_of_decays
        return self.options.pitch(pitch), np.exp(low + (high - low) * decay), decibels(self.options, loud), phase

    def clips(self, seed: int, start: int, count: int) -> np.ndarray:
        """The clips of draws ``start .. start + count``: (count, frames HOP) float64, 1 at full scale."""
        share, at = self.options.noise, times(self.options)
        pitch, decay, loudness, phase = self._drawn(seed, start, count)
        turns = hearing.to_hertz(pitch)[:, None] * at + phase[:, None]
        clips = np.sqrt(2 - 2 * share) * np.sin(2 * np.pi * turns)
        if share:
            clips += np.sqrt(share) * noise(seed, start, count, len(at))
        return as_loud(clips * np.minimum(at / ATTACK_S, 1) * np.exp(-at / decay[:, None]), loudness)

    @property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (cells decays,) float64."""
        return np.repeat(self.options.masses() / self.options.decays, self.options.decays)

    def read(self, data: np.ndarray) -> tuple[np.ndarray, ...]:
        """What is read of each picture: its pitch, semitones, the tonality of what is no noise, the noise's share, the
        rate at which the amplitude dies away, 1 / s, and the standard error of that rate by noise: (n,) float64 each.

        White noise has in each band a power in proportion to the band's width, and the median over bands of what they
        have over that is the noise's, since a tone is in a few of them alone. The rate is the slope of the frames'
        decibels, without the first frame, which the attack is in, and the last, which the clip ends in.
        """
        powers = sound.to_powers(shaped(data, self.shape))
        whole = powers.sum(axis=2)
        widths = sound.bank(self.shape[0]).sum(axis=0)
        level = np.median(whole / widths, axis=1)
        share = level * widths.sum() / np.maximum(whole.sum(axis=1), 1e-300)
        pitch, tonality = hearing.pitch_of((whole - level[:, None] * widths).clip(0.0))
        frames = sweeping.frames_of(powers)
        at = np.arange(self.shape[1]) * (sound.HOP / sound.RATE)
        used = frames.sounds & (np.arange(len(at)) > 0) & (np.arange(len(at)) < len(at) - 1)
        slope = sweeping.fitted(frames.decibels, at, used)[1]
        return pitch, tonality, share, -slope / sweeping.NEPER_DB, self._error(used)

    def _error(self, used: np.ndarray) -> np.ndarray:
        """The standard error of the rate by the frames that it is read from (n, frames), 1 / s: of the slope of a line
        through so many values.

        The power of a frame has the variance (1 - (1 - noise)^2) NOISE in its square, and its decibels as much of
        (10 / ln 10)^2. Neighbours share half of their windows, by which they have a correlation of rho, and a slope of
        many such values a variance of 1 + 2 rho times that of independent ones.
        """
        squares = np.square(sound.window())
        rho = float(np.sum(squares[sound.HOP :] * squares[: sound.HOP]) / np.sum(squares**2))
        count = used.sum(axis=1).astype(np.float64)
        spread = np.maximum(count * (count**2 - 1) / 12, 1.0) * (sound.HOP / sound.RATE) ** 2
        one = (1 - (1 - self.options.noise) ** 2) * sweeping.NOISE * (1 + 2 * rho)
        return 10 / np.log(10) / sweeping.NEPER_DB * np.sqrt(one / spread)

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each picture is one of such a drum, and the cell of its pitch and its decay.

        data: (n, bands, frames) float; pictures that are not finite are impossible.
        """
        options = self.options
        finite = np.isfinite(shaped(data, self.shape)).all(axis=(1, 2))
        known = np.where(finite[:, None, None], data, np.float32(-1))
        pitch, tonality, share, rate, error = self.read(known)
        loudness = hearing.to_decibels(sound.to_powers(known).sum(axis=1).mean(axis=1))
        low, high = options.ends
        possible = finite & (tonality >= LIKE) & (abs(share - options.noise) <= NOISE_OFF)
        possible &= (pitch >= low - NEAR_PITCH) & (pitch <= high + NEAR_PITCH)
        possible &= (loudness >= options.quietest_db - NEAR_DB) & (loudness <= options.loudest_db + NEAR_DB)
        slack = ERRORS * error
        possible &= rate >= (1 / options.longest_s) * (1 - ROUNDING) - slack
        possible &= rate <= (1 / options.shortest_s) * (1 + ROUNDING) + slack
        return judged(possible, options.cells_of(pitch, 1 / np.maximum(rate, 1e-3)))
