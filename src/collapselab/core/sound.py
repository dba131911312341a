"""Clips of sound and their log-mel pictures: how the one becomes the other, and what of it comes back.

A picture is (bands, frames) float32 and says how strong each band of frequencies is in each frame of 16 milliseconds.
It is stored under one affine map for all data: -1 is silence, 1 the band of a sine at full scale,

    stored = 2 (log(E + FLOOR) - BOTTOM) / (TOP - BOTTOM) - 1,    E = mel bank |short-time Fourier transform|^2

so that models of images take it as it is, and two data sets mean the same by a number. Of 8 kHz, windows of 256 samples
and steps of 128, a clip of 4,096 samples is a picture of 32 x 32. Bytes would cost .07 nepers; it stays float32.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

RATE = 8000  # samples a second
WINDOW, HOP = 256, 128  # samples of a frame, and from one frame to the next
LOWEST_HZ, HIGHEST_HZ = 50.0, 4000.0
FLOOR = 1e-5  # power, which silence has a logarithm by
FULL = 1.5 * (WINDOW / 4) ** 2  # the power of a sine of amplitude 1: Hann's main lobe has weights 1, 1/4 and 1/4
BOTTOM, TOP = math.log(FLOOR), math.log(FULL)
MOMENTUM = 0.99  # of the fast Griffin-Lim algorithm
BLOCK = 256  # clips at once: what a block needs fits a processor's cache many times over


def told(shape: Sequence[int]) -> Mapping[str, Any]:
    """What a picture of ``shape`` (bands, frames) means: its units, and the affine map by which it is stored."""
    return {
        "rate_hz": RATE,
        "window": WINDOW,
        "hop": HOP,
        "mel_bands": int(shape[0]),
        "mel_hz": [LOWEST_HZ, HIGHEST_HZ],
        "floor": FLOOR,
        "log_mel_of": {"-1": BOTTOM, "1": TOP},
    }


def to_log_mel(pictures: np.ndarray) -> np.ndarray:
    """Pictures as log-mel powers in nepers, float64: what the affine map was before."""
    return (np.asarray(pictures, np.float64) + 1) * ((TOP - BOTTOM) / 2) + BOTTOM


def from_log_mel(nepers: np.ndarray) -> np.ndarray:
    """Log-mel powers in nepers as pictures are stored, float32."""
    return ((nepers - BOTTOM) * (2 / (TOP - BOTTOM)) - 1).astype(np.float32)


def to_powers(pictures: np.ndarray) -> np.ndarray:
    """Pictures as the powers of their bands, float64, from 0: what is beyond full scale by 20 nepers is cut there."""
    return (np.exp(np.minimum(to_log_mel(pictures), TOP + 20)) - FLOOR).clip(0.0)


def from_powers(powers: np.ndarray) -> np.ndarray:
    """Powers of bands, from 0, as pictures are stored, float32."""
    return from_log_mel(np.log(powers + FLOOR))


def to_float32(numbers: np.ndarray) -> np.ndarray:
    """The numbers that models compute with as pictures are stored."""
    return np.asarray(numbers).astype(np.float32)


def as_images(pictures: np.ndarray) -> np.ndarray:
    """Pictures to look at, low pitches beneath, silence black and full scale white: (n, 1, bands, frames) uint8."""
    shown = np.nan_to_num(np.asarray(pictures), nan=-1.0).clip(-1, 1)
    return np.rint((shown[:, None, ::-1] + 1) * 127.5).astype(np.uint8)


# -- from a clip to its picture ----------------------------------------------------------------------------------------


def mel(hertz: np.ndarray | float) -> Any:
    """Frequencies in mel: 2595 log10(1 + f / 700) (O'Shaughnessy 1987)."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def hertz(mels: np.ndarray | float) -> Any:
    """What :func:`mel` undoes."""
    return 700 * (10 ** (np.asarray(mels) / 2595) - 1)


@cache
def centres(bands: int) -> np.ndarray:
    """The frequency of the middle of each band: (bands,) float64, Hz; they are evenly spaced in mel."""
    return hertz(np.linspace(mel(LOWEST_HZ), mel(HIGHEST_HZ), bands + 2))[1:-1]


def weights_at(frequencies: np.ndarray, bands: int) -> np.ndarray:
    """How much each band takes of a frequency: (..., bands) float64, triangles of height 1 over their neighbours.

    Between the middles of the first and the last band they add up to 1, so that no power is lost or counted twice.
    """
    edges = hertz(np.linspace(mel(LOWEST_HZ), mel(HIGHEST_HZ), bands + 2))
    at = np.asarray(frequencies)[..., None]
    rise, fall = ((at - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - at) / np.diff(edges)[1:])
    return np.minimum(rise, fall).clip(0.0)


@cache
def bank(bands: int) -> np.ndarray:
    """The mel bank: (WINDOW / 2 + 1, bands) float64, the weight of each frequency of the transform in each band."""
    return weights_at(np.arange(WINDOW // 2 + 1) * (RATE / WINDOW), bands)


@cache
def window() -> np.ndarray:
    """Hann's window, periodic: (WINDOW,) float64."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


def transform(clips: np.ndarray) -> np.ndarray:
    """The short-time Fourier transform of clips (n, frames HOP): (n, frames, WINDOW / 2 + 1) complex128.

    Frame t lies around the samples t HOP to (t + 1) HOP; beyond its ends a clip is silent.
    """
    padded = np.pad(clips, ((0, 0), (HOP // 2, HOP // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
    return np.fft.rfft(frames * window(), axis=2)


def inverse(spectra: np.ndarray) -> np.ndarray:
    """The clips whose transform is nearest to spectra, in squares (Griffin and Lim 1984): (n, frames HOP) float64."""
    frames = np.fft.irfft(spectra, WINDOW, axis=2) * window()
    count, number, _ = frames.shape
    halves = np.zeros((count, number + 1, HOP))
    weight = np.zeros((number + 1, HOP))
    for side, first in ((slice(0, HOP), 0), (slice(HOP, WINDOW), 1)):
        halves[:, first : number + first] += frames[:, :, side]
        weight[first : number + first] += np.square(window()[side])
    whole = (halves / np.maximum(weight, 1e-8)).reshape(count, -1)
    return whole[:, HOP // 2 : -(HOP // 2)]


def pictures_of(clips: np.ndarray, bands: int = 32) -> np.ndarray:
    """The log-mel pictures of clips: (n, bands, frames) float32, a picture's bits whatever stands beside it.

    clips: (n, samples) float, 1 at full scale, at RATE samples a second, of whole steps of HOP. Raises ValueError for
    others.
    """
    clips = np.asarray(clips)
    if clips.ndim != 2 or clips.dtype.kind != "f" or not clips.shape[1] or clips.shape[1] % HOP:
        found = f"{clips.dtype} of shape {clips.shape}"
        raise ValueError(f"clips: found {found}, allowed are real numbers (n, samples), samples a multiple of {HOP}")
    found = np.empty((len(clips), bands, clips.shape[1] // HOP), np.float32)
    for start in range(0, len(clips), BLOCK):
        some = slice(start, start + BLOCK)
        powers = np.square(np.abs(transform(clips[some].astype(np.float64))))
        # A stack of products of one size: of one large product a row's bits would hang on how many rows there are.
        found[some] = from_powers(np.matmul(powers, bank(bands)).transpose(0, 2, 1))
    return found


# -- from a picture to a clip ------------------------------------------------------------------------------------------


@cache
def _solving(bands: int) -> tuple[np.ndarray, np.ndarray]:
    """The pseudo-inverse of the mel bank (bands, F), and the bank's products bank bank' (F, F)."""
    return np.linalg.pinv(bank(bands)), bank(bands) @ bank(bands).T


def magnitudes_of(pictures: np.ndarray, steps: int = 40) -> np.ndarray:
    """Magnitudes of a short-time Fourier transform that a picture may have been made of: (n, frames, F) float64.

    No power is negative: from the pseudo-inverse of the mel bank, cut at 0, by multiplicative updates of non-negative
    least squares (Lee and Seung 2000). A bank has fewer bands than frequencies, so that many would do.
    """
    powers = to_powers(pictures).transpose(0, 2, 1)
    bands = powers.shape[2]
    back, products = _solving(bands)
    found = np.matmul(powers, back).clip(0.0) + 1e-12
    wanted = np.matmul(powers, bank(bands).T)
    for _ in range(steps):
        found *= wanted / (np.matmul(found, products) + 1e-12)
    return np.sqrt(found)


def clips_of(pictures: np.ndarray, iterations: int = 32) -> np.ndarray:
    """Clips that have about these pictures: (n, frames HOP) float32, the same for the same picture.

    The mel bank is inverted (:func:`magnitudes_of`), and the phases that a picture does not have are found by the fast
    Griffin-Lim algorithm (Perraudin, Balazs and Soendergaard 2013, doi 10.1109/WASPAA.2013.6701851) with momentum .99,
    from those of one fixed noise. What it does to a picture is told by ``pictures_of`` of what comes out.

    pictures: (n, bands, frames). Raises ValueError for others, and for numbers that are not finite.
    """
    pictures = np.asarray(pictures)
    if pictures.ndim != 3 or not np.isfinite(pictures).all():
        raise ValueError(f"pictures: found shape {pictures.shape}, allowed are finite numbers (n, bands, frames)")
    found = np.empty((len(pictures), pictures.shape[2] * HOP), np.float32)
    for start in range(0, len(pictures), BLOCK):
        some = slice(start, start + BLOCK)
        magnitudes = magnitudes_of(pictures[some])
        angles = 2 * np.pi * np.random.default_rng(0).random(magnitudes.shape[1:])
        guess = before = magnitudes * np.exp(1j * angles)
        for _ in range(iterations):
            consistent = transform(inverse(guess))
            ahead = consistent + MOMENTUM * (consistent - before)
            guess, before = magnitudes * ahead / np.maximum(np.abs(ahead), 1e-12), consistent
        found[some] = inverse(guess)
    return found
