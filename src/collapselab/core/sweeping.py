"""How a sound moves, read from the frames of its log-mel picture: the middle of its frequencies, and how it dies away.

Two laws make the readings exact. The bands are triangles over evenly spaced middles, so that the mean of the middles by
the power of their bands is the mean frequency of a frame, and that is the mean of the instantaneous frequency by the
energy within the window (Cohen 1995, Time-Frequency Analysis, eq. 1.78). And an exponential that is seen through any
window dies away as fast as itself.
"""

from typing import NamedTuple

import numpy as np

from . import hearing, sound

NEAR_BANDS = 3.5  # of the middle of a frame's frequencies: with its window's lobe, a pure tone is within
RANGE_DB = 40.0  # below the loudest frame: what is less loud tells nothing of how a sound moves
NEPER_DB = 20 / np.log(10)  # decibels of a factor e of the amplitude
# The variance of the power of windowed white noise over its mean squared: 2 sum w^4 / (sum w^2)^2 (Isserlis 1918).
NOISE = float(2 * np.sum(sound.window() ** 4) / np.sum(sound.window() ** 2) ** 2)


class Frames(NamedTuple):
    """What is heard of each frame of n clips, each (n, frames) float64.

    decibels: the power of all bands, of full scale. middle: the mean frequency, Hz; 0 where there is no power. narrow:
    the share of the power that lies about the middle, 0 to 1. sounds: whether the frame is within RANGE_DB of the
    clip's loudest, and not silent (bool).
    """

    decibels: np.ndarray
    middle: np.ndarray
    narrow: np.ndarray
    sounds: np.ndarray


def frames_of(powers: np.ndarray) -> Frames:
    """What is heard of each frame by the powers of its bands, (n, bands, frames) from 0; a row's numbers are its own.

    middle = sum_b c_b E_b / sum_b E_b,    c_b the middle of band b
    """
    centres = sound.centres(powers.shape[1])
    whole = powers.sum(axis=1)
    middle = np.einsum("nbt,b->nt", powers, centres) / np.where(whole > 0, whole, 1.0)
    place = np.interp(middle, centres, np.arange(len(centres)))
    near = abs(np.arange(len(centres))[:, None] - place[:, None]) <= NEAR_BANDS
    narrow = (powers * near).sum(axis=1) / np.where(whole > 0, whole, 1.0)
    decibels = hearing.to_decibels(whole)
    least = np.maximum(decibels.max(axis=1, keepdims=True) - RANGE_DB, hearing.SILENT_DB)
    return Frames(decibels, middle, narrow, decibels >= least)


def fitted(values: np.ndarray, at: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The straight line that is nearest in squares to each row of values: its value at 0, its slope, and the root mean
    square of what it misses, (n,) float64 each; not a number where fewer than three values are used.

    values, used: (n, T), the latter bool. at: (T,), where the values lie.
    """
    count = used.sum(axis=1)
    enough = count >= 3
    many = np.maximum(count, 1)
    known = np.where(used, values, 0.0)
    middle = (used * at).sum(axis=1) / many
    mean = known.sum(axis=1) / many
    away = used * (at - middle[:, None])
    square = np.square(away).sum(axis=1)
    slope = (away * known).sum(axis=1) / np.where(square > 0, square, 1.0)
    off = used * (known - mean[:, None] - slope[:, None] * away)
    found = (mean - slope * middle, slope, np.sqrt(np.square(off).sum(axis=1) / many))
    return tuple(np.where(enough, one, np.nan) for one in found)


def times_of(energy: np.ndarray) -> np.ndarray:
    """The mean time of each frame by an energy as its window sees it, s: (frames,) float64.

    energy: (frames HOP,), of each sample of a clip.
    """
    squares = np.square(sound.window())
    padded = np.pad(np.stack([energy, energy * np.arange(len(energy))]), ((0, 0), (sound.HOP // 2, sound.HOP // 2)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, sound.WINDOW, axis=1)[:, :: sound.HOP] @ squares
    return seen[1] / seen[0] / sound.RATE
