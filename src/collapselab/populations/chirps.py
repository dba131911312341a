"""Chirps: sweeps of one pitch to another, of which beginning, end and loudness are known exactly."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ..core import hearing, sound, sweeping
from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import Judgement
from .base import judged, words
from .sounding import HIGHEST_HZ, NEAR_DB, Sounding, SoundOptions, as_loud, decibels, in_blocks, shaped, times

LOWEST_HZ = 200.0  # of lower ones a window's lobe reaches below the first band
NEAR_PITCH = 0.25  # semitones by which a reading of either end may be off; of chirps of the defaults it is .05
NARROW = 0.9  # share of the power about the pitch; of chirps of the truth it is above .99
STRAIGHT = 0.25  # semitones, root mean square, by which the frames of a clip may miss its sweep
FALLS = 3.0  # factors e of the amplitude from beginning to end, with which the end is still heard


class ChirpsOptions(SoundOptions):
    """Where sweeps begin and end, how they go, and their envelope."""

    start_low_hz: float = Field(262.0, ge=LOWEST_HZ, le=HIGHEST_HZ, description="lowest pitch of a beginning, Hz")
    start_high_hz: float = Field(2093.0, ge=LOWEST_HZ, le=HIGHEST_HZ, description="highest; uniform in semitones")
    end_low_hz: float = Field(262.0, ge=LOWEST_HZ, le=HIGHEST_HZ, description="lowest pitch of an end, Hz")
    end_high_hz: float = Field(2093.0, ge=LOWEST_HZ, le=HIGHEST_HZ, description="highest; whatever the beginning was")
    sweep: Literal["exponential", "linear"] = Field(
        "exponential", description="exponential: as many semitones in each second; linear: as many hertz"
    )
    cells: int = Field(6, ge=1, le=100, description="equal parts of either range: a cell is a beginning and an end")
    attack_s: float = Field(0.01, ge=0.001, le=0.1, description="seconds in which a chirp comes")
    decay_s: float = Field(0.5, ge=0.02, description="seconds in which its amplitude falls to 1 / e")

    @model_validator(mode="after")
    def _check_pitch(self) -> Self:
        for side, (low, high) in (("start", self.starts), ("end", self.ends)):
            low_hz, high_hz = (getattr(self, f"{side}_{which}_hz") for which in ("low", "high"))
            if not low < high:
                raise ValueError(
                    f"{side}_low_hz: found {low_hz:g}, allowed are numbers below {side}_high_hz, {high_hz:g}"
                )
            if (wide := (high - low) / self.cells) < 2 * NEAR_PITCH:
                found = f"{self.cells} cells of {wide:.2g} semitones from {side}_low_hz to {side}_high_hz"
                raise ValueError(
                    f"cells: found {found}, allowed are cells from {2 * NEAR_PITCH:g}, which a reading can tell"
                )
        if self.decay_s * FALLS < self.seconds:
            least = f"{self.seconds / FALLS:.3g}, a third of a clip"
            raise ValueError(
                f"decay_s: found {self.decay_s:g}, allowed are numbers from {least}: its end is heard, too"
            )
        return self

    @property
    def seconds(self) -> float:
        """The length of a clip, s."""
        return self.frames * sound.HOP / sound.RATE

    @property
    def starts(self) -> tuple[float, float]:
        """The lowest and the highest pitch of a beginning, semitones."""
        return float(hearing.to_pitch(self.start_low_hz)), float(hearing.to_pitch(self.start_high_hz))

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest pitch of an end, semitones."""
        return float(hearing.to_pitch(self.end_low_hz)), float(hearing.to_pitch(self.end_high_hz))

    def cell(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """In which cell each beginning and end, in semitones, lie, int64; those beyond are of the outer ones."""
        parts = []
        for pitch, (low, high) in ((start, self.starts), (end, self.ends)):
            place = np.floor((np.nan_to_num(pitch) - low) / (high - low) * self.cells)
            parts.append(place.clip(0, self.cells - 1).astype(np.int64))
        return parts[0] * self.cells + parts[1]


@dataclass(frozen=True, eq=False)
class Chirps(Sounding):
    """Chirps x(t) = a min(t / attack, 1) exp(-t / decay) sin(2 pi int_0^t f + phase) of T seconds.

    exponential: f(t) = f_0 (f_1 / f_0)^(t / T),    linear: f(t) = f_0 + (f_1 - f_0) t / T

    Beginning f_0, end f_1 and loudness are independent, as the options say; phases are uniform. A sample is possible
    if it is one narrow tone that goes so, as :mod:`core.sweeping` reads its picture; its cell is its beginning and its
    end.
    """

    PopulationOptions: ClassVar = ChirpsOptions

    options: ChirpsOptions

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, bands, frames) float32, labels the cells of their sweeps."""
        check_ask(ask, self)
        start, end, *_ = self._drawn(ask.seed, ask.start, ask.count)
        data = in_blocks(lambda start, count: self.clips(ask.seed, start, count), ask, self.options)
        return SampleSet(data, self.options.cell(start, end))

    def _drawn(self, seed: int, start: int, count: int) -> tuple[np.ndarray, ...]:
        """Of each draw the pitches of its beginning and end, its loudness, and its phase in turns: (count,) each."""
        places = [part[:, 0] for part in words(seed, start, count, 1, 1, 1, 1)]
        pitches = [low + (high - low) * place for (low, high), place in zip(self._ranges, places, strict=False)]
        return *pitches, decibels(self.options, places[2]), places[3]

    @property
    def _ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return self.options.starts, self.options.ends

    def clips(self, seed: int, start: int, count: int) -> np.ndarray:
        """The clips of draws ``start .. start + count``: (count, frames HOP) float64, 1 at full scale."""
        options, at = self.options, times(self.options)
        *pitches, loudness, phase = self._drawn(seed, start, count)
        first, last = (hearing.to_hertz(pitch)[:, None] for pitch in pitches)
        part = at / options.seconds
        if options.sweep == "linear":
            turns = first * at + (last - first) * at * part / 2
        else:  # int_0^t f_0 k^(s / T) ds = f_0 t (exp(x) - 1) / x, with x = ln(k) t / T
            grown = np.log(last / first) * part
            turns = first * at * np.where(grown == 0, 1.0, np.expm1(grown) / np.where(grown == 0, 1.0, grown))
        return as_loud(self._envelope * np.sin(2 * np.pi * (turns + phase[:, None])), loudness)

    @cached_property
    def _envelope(self) -> np.ndarray:
        at = times(self.options)
        return np.minimum(at / self.options.attack_s, 1) * np.exp(-at / self.options.decay_s)

    @property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (cells^2,) float64: all alike."""
        return np.full(self.options.cells**2, 1.0 / self.options.cells**2)

    def read(self, data: np.ndarray) -> tuple[np.ndarray, ...]:
        """What is read of each picture: the pitches of its beginning and its end, by how much its frames miss such a
        sweep, semitones, the share of its power about the pitch, and its loudness, dB: (n,) float64 each.

        The frames' mean frequencies go as the sweep does at the times where the envelope has the middle of their
        energy; beginning and end are those of the straight line through them, in hertz or in semitones.
        """
        powers = sound.to_powers(shaped(data, self.shape))
        frames = sweeping.frames_of(powers)
        at = sweeping.times_of(np.square(self._envelope)) / self.options.seconds
        heard = frames.sounds & (frames.middle > 0)
        middle = np.where(heard, frames.middle, hearing.to_hertz(69))
        straight = middle if self.options.sweep == "linear" else hearing.to_pitch(middle)
        first, slope, off = sweeping.fitted(straight, at, heard)
        ends = [first, first + slope]
        if self.options.sweep == "linear":
            # From hertz to semitones about the line itself, which may not go below nothing.
            ends = [hearing.to_pitch(np.maximum(end, 1.0)) for end in ends]
            off = off * 12 / np.log(2) / np.maximum(first + slope / 2, 1.0)
        weight = np.where(heard, powers.sum(axis=1), 0.0)
        narrow = (frames.narrow * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-300)
        return *ends, off, narrow, hearing.to_decibels(powers.sum(axis=1).mean(axis=1))

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each picture is one of such a chirp, and the cell of its beginning and its end.

        data: (n, bands, frames) float; pictures that are not finite are impossible.
        """
        options = self.options
        finite = np.isfinite(shaped(data, self.shape)).all(axis=(1, 2))
        start, end, off, narrow, loudness = self.read(np.where(finite[:, None, None], data, np.float32(-1)))
        possible = finite & (off <= STRAIGHT) & (narrow >= NARROW)
        possible &= (loudness >= options.quietest_db - NEAR_DB) & (loudness <= options.loudest_db + NEAR_DB)
        for pitch, (low, high) in zip((start, end), self._ranges, strict=True):
            possible &= (pitch >= low - NEAR_PITCH) & (pitch <= high + NEAR_PITCH)
        return judged(possible, options.cell(start, end))
