"""What is heard in a clip, read from its log-mel picture: pitch, loudness, silence, and how they change.

Pitch is in semitones, 69 at 440 Hz, as MIDI counts; loudness in decibels below full scale, that of the loudest square
wave. Of a pure tone from 110 Hz to 3 kHz the pitch is read to a fifth of a semitone, though bands are two to six wide:
how much of it two neighbouring bands have tells where between them it lies.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from . import sound

LOWEST, HIGHEST, STEP = 40.0, 105.0, 0.05  # pitches that are tried, in semitones: 82 Hz to 3.5 kHz
SILENT_DB = -60.0  # a frame that is less loud is silent, and so is a clip
FULL_SCALE = 2 * sound.FULL  # the power of what has a mean square of 1; a sine of amplitude 1 has half of it


def to_pitch(hertz: np.ndarray | float) -> np.ndarray:
    """Frequencies in semitones: 69 + 12 log2(f / 440)."""
    return 69 + 12 * np.log2(np.asarray(hertz, np.float64) / 440)


def to_hertz(pitch: np.ndarray | float) -> np.ndarray:
    """What :func:`to_pitch` undoes."""
    return 440 * 2 ** ((np.asarray(pitch, np.float64) - 69) / 12)


def to_decibels(powers: np.ndarray) -> np.ndarray:
    """Powers of all bands of a frame together in decibels of full scale, from -120."""
    return 10 * np.log10(np.maximum(powers / FULL_SCALE, 1e-12))


class Heard(NamedTuple):
    """What is heard of n clips, each (n,) float64.

    pitch: of the tone that is most like the clip, semitones. tonality: how much like it: the cosine of the powers of
    their bands, 0 to 1. loudness: of the mean square, dB. silence: the share of frames below SILENT_DB. rise: from the
    pitch of the first third of the sounding frames to that of the last, semitones. fall: from the loudest frame to the
    last one, dB.
    """

    pitch: np.ndarray
    tonality: np.ndarray
    loudness: np.ndarray
    silence: np.ndarray
    rise: np.ndarray
    fall: np.ndarray


@cache
def pitches() -> np.ndarray:
    """The pitches that are tried: (P,) float64, semitones."""
    return np.arange(LOWEST, HIGHEST + STEP / 2, STEP)


@cache
def tones(bands: int, partials: int = 1, rolloff: float = 1.0) -> np.ndarray:
    """How the power of a tone of each pitch is spread over the bands: (bands, P) float64, columns of length 1.

    A partial h has the amplitude ``rolloff^(h - 1)``; those beyond half the rate are left out. Hann's window spreads
    each over the frequencies about it.
    """
    frequencies = np.arange(sound.WINDOW // 2 + 1) * (sound.RATE / sound.WINDOW)
    found = np.zeros((len(pitches()), len(frequencies)))
    for partial in range(1, partials + 1):
        at = to_hertz(pitches()) * partial
        away = (frequencies - at[:, None]) * (sound.WINDOW / sound.RATE)
        lobe = np.square(np.sinc(away) / np.where(np.abs(np.abs(away) - 1) < 1e-9, np.inf, 1 - away**2))
        lobe = np.where(np.abs(np.abs(away) - 1) < 1e-9, 0.25, lobe)
        found += (rolloff ** (2 * (partial - 1)) * (at < sound.RATE / 2))[:, None] * lobe
    spread = found @ sound.bank(bands)
    return (spread / np.linalg.norm(spread, axis=1, keepdims=True)).T


def pitch_of(powers: np.ndarray, partials: int = 1, rolloff: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The pitch and the tonality of powers of bands (n, bands): (n,) float64 each; 0 and 0 where there is no power."""
    length = np.linalg.norm(powers, axis=1, keepdims=True)
    unit = powers / np.where(length > 0, length, 1.0)
    found, likeness = np.empty(len(powers)), np.empty(len(powers))
    for start in range(0, len(powers), sound.BLOCK):
        some = slice(start, start + sound.BLOCK)
        # Each row for itself: of a large product its bits would hang on how many rows there are.
        alike = np.matmul(unit[some, None, :], tones(powers.shape[1], partials, rolloff))[:, 0]
        best = alike.argmax(axis=1)
        found[some], likeness[some] = pitches()[best], alike[np.arange(len(best)), best]
    heard = length[:, 0] > 0
    return np.where(heard, found, 0.0), np.where(heard, likeness.clip(0.0, 1.0), 0.0)


def heard(pictures: np.ndarray, partials: int = 1, rolloff: float = 1.0) -> Heard:
    """What is heard of clips by their pictures (n, bands, frames); a row's numbers are its own, to the last bit.

    partials, rolloff: of the tones that they are compared with (:func:`tones`). Pictures that are not finite have
    numbers that are not.
    """
    finite = np.isfinite(pictures).all(axis=(1, 2))
    powers = sound.to_powers(np.where(finite[:, None, None], pictures, -1.0))
    frames = powers.sum(axis=1)
    decibels = to_decibels(frames)
    sounding = decibels >= SILENT_DB
    place = np.cumsum(sounding, axis=1) / np.maximum(sounding.sum(axis=1), 1)[:, None]
    first, last = sounding & (place <= 1 / 3 + 1e-9), sounding & (place > 2 / 3 + 1e-9)
    pitch, tonality = pitch_of(powers.sum(axis=2), partials, rolloff)
    ends = [pitch_of((powers * part[:, None]).sum(axis=2), partials, rolloff)[0] for part in (first, last)]
    both = (ends[0] > 0) & (ends[1] > 0)
    found = (
        pitch,
        tonality,
        to_decibels(frames.mean(axis=1)),
        1 - sounding.mean(axis=1),
        np.where(both, ends[1] - ends[0], 0.0),
        decibels.max(axis=1) - decibels[:, -1],
    )
    return Heard(*(np.where(finite, column, np.nan) for column in found))
