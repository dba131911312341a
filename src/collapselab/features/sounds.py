"""What is heard in clips, and how their log-mel pictures are spread: two ways of looking at sound.

Neither knows of what a clip is; numbers of theirs are no "FAD", which is measured in the space of a trained network.
"""

from typing import Any

import numpy as np

from ..core import hearing, sound
from ..core.kinds import KINDS
from .base import Features

HEARD: dict[str, Any] = {"reading": "log-mel picture", "rate_hz": sound.RATE, "silent_db": hearing.SILENT_DB}
SPREAD: dict[str, Any] = {"rate_hz": sound.RATE, "window": sound.WINDOW, "hop": sound.HOP}
NAMES = hearing.Heard._fields


def heard(data: np.ndarray, weights: Any = None) -> Features:
    """What is heard of each clip, as columns: (n, 6) float64 (:class:`core.hearing.Heard`).

    ``pitch`` in semitones, 69 at 440 Hz; ``tonality``, how like one tone it is, 0 to 1; ``loudness``, dB below full
    scale; ``silence``, the share of frames below -60 dB; ``rise``, semitones from its beginning to its end; ``fall``,
    dB from the loudest frame to the last. Of tones the pitch is read to .2 semitones and the loudness to .3 dB.

    data: (n, bands, frames) float32. Raises ValueError for other data.
    """
    return Features(np.stack(hearing.heard(_pictures(data)), axis=1), names=NAMES)


def log_spectral(data: np.ndarray, weights: Any = None) -> Features:
    """The mean and the standard deviation over time of each band, in nepers: (n, 2 bands) float32.

    data: (n, bands, frames) float32. Raises ValueError for other data.
    """
    nepers = sound.to_log_mel(_pictures(data))
    return Features(np.concatenate([nepers.mean(axis=2), nepers.std(axis=2)], axis=1).astype(np.float32))


def _pictures(data: np.ndarray) -> np.ndarray:
    if not KINDS["audio"].holds(data) or 0 in data.shape[1:]:
        found = f"{data.dtype} of shape {data.shape}"
        raise ValueError(f"data: found {found}, allowed are log-mel pictures (n, bands, frames) float32")
    return data
