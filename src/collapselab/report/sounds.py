"""Clips that the page plays: WAV files within it, their spectrograms, and in words what is heard."""

import base64
import io
import wave
from typing import Any

import numpy as np

from ..core import hearing, sound
from ..data.provenance import Origin
from ..verdicts import StudyFacts
from .pictures import Grids, grid_png

CLIPS = 4  # one after the other, of each generation
PAUSE_S = 0.15  # between two of them
SOUND_BYTES = 2_500_000  # of all of a page's sound: with more generations there are fewer clips of each
NOTES = ("C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B")
ONE_TONE = 0.9  # tonality from which a clip has a pitch to be told


def wav(clips: np.ndarray) -> bytes:
    """Clips one after the other as a WAV file: 16 bits, one channel, sound.RATE; what is beyond full scale is cut.

    clips: (n, samples) float, 1 at full scale.
    """
    pause = np.zeros((len(clips), round(PAUSE_S * sound.RATE)))
    whole = np.concatenate([clips, pause], axis=1).reshape(-1)
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.RATE)
        file.writeframes(np.rint(whole.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return stream.getvalue()


def in_words(pictures: np.ndarray) -> list[str]:
    """What is heard of each clip, for whoever cannot hear it: its pitch, its loudness, or that it is silent."""
    found = hearing.heard(pictures)
    return [_said(*numbers) for numbers in zip(*(column.tolist() for column in found), strict=True)]


def _said(pitch: float, tonality: float, loudness: float, silence: float, rise: float, fall: float) -> str:
    if not np.isfinite(loudness):
        return "no sound: its numbers are not finite"
    if silence >= 1:
        return "silence"
    loud = f"{loudness:.0f} dB".replace("-", "−")
    if tonality < ONE_TONE:
        return f"no single pitch, {loud}"
    note, hertz = round(pitch), float(hearing.to_hertz(pitch))
    moves = "" if abs(rise) < 1 else f", {'rising' if rise > 0 else 'falling'} by {abs(rise):.0f} semitones"
    return f"{NOTES[note % 12]}{note // 12 - 1}, {hertz:.0f} Hz, {loud}{moves}"


def to_hear(facts: StudyFacts, clips: Grids, real: np.ndarray | None = None) -> dict[str, Any]:
    """What the page plays: for each arm, and for real clips before them, a row of each generation.

    As many clips as fit the page's share of bytes. clips: log-mel pictures, (n, bands, frames), of which those that are
    not finite are silent.
    """
    given = {arm: dict(sorted(clips[arm].items())) for arm in facts.arms if clips.get(arm)}
    if not given:
        return {"arms": [], "words": ""}
    rows = sum(map(len, given.values())) + 1
    seconds = next(iter(next(iter(given.values())).values())).shape[2] * sound.HOP / sound.RATE
    each = 2 * sound.RATE * (seconds + PAUSE_S)
    count = int(np.clip(SOUND_BYTES // (rows * each), 1, CLIPS))

    def row(pictures: np.ndarray, generation: Any, whose: str, origin: Origin) -> dict[str, Any]:
        some = np.asarray(pictures[:count])
        audible = np.where(np.isfinite(some).all(axis=(1, 2), keepdims=True), some, np.float32(-1))
        encoded = [wav(sound.clips_of(audible)), grid_png(sound.as_images(some), None, origin)]
        file, png = (base64.b64encode(one).decode() for one in encoded)
        return {"generation": generation, "whose": whose, "wav": file, "png": png, "words": in_words(some)}

    arms: list[dict[str, Any]] = []
    if real is not None and len(real):
        origin = Origin(facts.name, source="held-out real clips", generated=False)
        arms.append({"name": "", "rows": [row(real, "real", "held-out real data", origin)]})
    for arm, found in given.items():
        own = [
            row(one, t, f"{arm} at generation {t}", Origin(facts.name, arm, generation=t)) for t, one in found.items()
        ]
        arms.append({"name": arm, "rows": own})
    return {"arms": arms, "words": _about(count, seconds)}


def _about(count: int, seconds: float) -> str:
    many = (
        f"{count} clips of {seconds:.2g} seconds one after the other" if count > 1 else f"one clip of {seconds:.2g} s"
    )
    return (
        f"Each player has {many}, the first of the spectrograms above. Models make spectrograms; they are heard "
        "by the Griffin-Lim algorithm, which finds phases that go with them: recordings sound rougher, too. What "
        "is heard is read from the spectrograms, of real clips as of others."
    )
