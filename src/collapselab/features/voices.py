"""What a network that knows voices by their sound makes of clips: the voice encoder of Resemblyzer.

The network is built here, and of the package only its file of weights is read. The package itself cannot be imported
beside a setuptools of today (its ``webrtcvad`` asks for ``pkg_resources``), and would bring a compiler's work and
numba. A test compares the numbers with the package's own, where that can be imported.
"""

from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import sound
from ..core.errors import Foreign
from ..core.kinds import KINDS
from ..core.progress import counted
from ..machine.device import device, exact
from ..store import weights as published
from .base import Features

if TYPE_CHECKING:
    import torch

RATE, WINDOW, HOP, BANDS = 16_000, 400, 160, 40  # samples a second, of a frame and from one to the next; mel bands
LONG, STEP, COVERED = 160, 77, 0.75  # frames of a part, from one to the next (1.3 a second), and the least of the last
LOUD_DB = -30.0  # what is less loud is raised to it
WIDTH, LAYERS = 256, 3
BATCH = 64  # clips at once: part of the definition, the facts name it
FACTS: dict[str, Any] = {"batch": BATCH, "precision": "float32", "rate_hz": RATE, "heard_by": "Griffin-Lim, 32 steps"}


def resemblyzer(data: np.ndarray, weights: Path | str | None = None) -> Features:
    """The voice that Resemblyzer 0.1.4 hears in each clip: (n, 256) float32, from 0 and of length 1.

    A recurrent network that was trained to tell speakers apart (Wan et al. 2018, https://arxiv.org/abs/1710.10467, eq.
    4 to 6). The picture becomes the clip that a report plays, that one of 16 kHz, and its mel spectrogram goes through
    the network in parts of 1.6 s, whose mean is the voice; what is shorter is followed by silence. It is
    ``VoiceEncoder.embed_utterance`` of that clip, raised to -30 dB where it is less loud, and with its silences left
    in. A Fréchet distance in this space says how like the voices are; it is none in the space of a network of sounds.

    data: (n, bands, frames) float32; rows that are not finite have features that are not. weights: path of
    Resemblyzer's pretrained.pt. Raises ValueError for other data and for other weights.
    """
    if not KINDS["audio"].holds(data) or 0 in data.shape[1:]:
        found = f"{data.dtype} of shape {data.shape}"
        raise ValueError(f"data: found {found}, allowed are log-mel pictures (n, bands, frames) float32")
    path, where = published.find("resemblyzer", weights), device()
    run = _loaded(path, published.digest(path), where)
    values = np.full((len(data), WIDTH), np.nan, np.float32)
    with exact(where):
        batches = [slice(start, min(start + BATCH, len(data))) for start in range(0, len(data), BATCH)]
        for rows in counted(batches, "clips", len(data)):
            some = data[rows]
            finite = np.isfinite(some).all(axis=(1, 2))
            # Batches have one size, padded with silence: by their size a network rounds.
            held = np.full((BATCH, *some.shape[1:]), -1, np.float32)
            held[: len(some)][finite] = some[finite]
            values[rows][finite] = run(mels_of(sound.clips_of(held)))[: len(some)][finite]
    return Features(values)


def mels_of(clips: np.ndarray) -> np.ndarray:
    """The parts of clips as the network takes them: (n, parts, LONG, BANDS) float32, powers.

    clips: (n, samples) at 8 kHz, 1 at full scale.
    """
    from scipy.signal import resample_poly

    doubled = resample_poly(clips.astype(np.float64), RATE // sound.RATE, 1, axis=1)
    squares = np.square(doubled).mean(axis=1, keepdims=True)
    raised = 10 ** (LOUD_DB / 10) / np.where(squares > 0, squares, 1.0)
    doubled = doubled * np.sqrt(np.where((squares > 0) & (raised > 1), raised, 1.0))
    firsts = parts_of(doubled.shape[1])
    length = (firsts[-1] + LONG) * HOP
    missing = max(length - doubled.shape[1], 0)
    padded = np.pad(doubled, ((0, 0), (WINDOW // 2, missing + WINDOW // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    found = [
        np.square(np.abs(np.fft.rfft(frames[:, first : first + LONG] * window, axis=2))) @ bank() for first in firsts
    ]
    return np.stack(found, axis=1).astype(np.float32)


def parts_of(samples: int) -> list[int]:
    """The first frame of each part of a sound of so many samples at 16 kHz; of one that is short there is one part."""
    frames = -(-(samples + 1) // HOP)
    firsts = list(range(0, max(1, frames - LONG + STEP + 1), STEP))
    if len(firsts) > 1 and (samples - firsts[-1] * HOP) / (LONG * HOP) < COVERED:
        firsts.pop()
    return firsts


@cache
def bank() -> np.ndarray:
    """Slaney's mel bank (1998, Auditory Toolbox): (WINDOW / 2 + 1, BANDS) float64, triangles of area 1 from 0 to 8 kHz.

    Middles are evenly spaced in his mel: linear up to 1 kHz, 200 / 3 Hz each, and 27 to a factor of 6.4 above.
    """
    knee, step = 1000.0, np.log(6.4) / 27
    top = knee * 3 / 200 + np.log(RATE / 2 / knee) / step
    mels = np.linspace(0, top, BANDS + 2)
    edges = np.where(mels < knee * 3 / 200, mels * 200 / 3, knee * np.exp(step * (mels - knee * 3 / 200)))
    at = np.arange(WINDOW // 2 + 1)[:, None] * (RATE / WINDOW)
    rise, fall = (at - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - at) / np.diff(edges)[1:]
    return np.minimum(rise, fall).clip(0.0) * 2 / (edges[2:] - edges[:-2])


@lru_cache(maxsize=1)
def _loaded(path: Path, digest: str, where: "torch.device") -> Any:
    """The network, loaded once for all sample sets that a process looks at: mel parts to voices (n, WIDTH) float32."""
    import torch

    tensors = torch.load(published.content("resemblyzer", path), map_location="cpu", weights_only=True)["model_state"]
    parts = {"lstm": torch.nn.LSTM(BANDS, WIDTH, LAYERS, batch_first=True), "linear": torch.nn.Linear(WIDTH, WIDTH)}
    try:
        for name, part in parts.items():
            part.load_state_dict({key: tensors[f"{name}.{key}"] for key in part.state_dict()})
            part.to(where).eval()
    except (KeyError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise Foreign(path, f"weights: {path} is not of Resemblyzer's voice encoder: {said}") from None

    def run(mels: np.ndarray) -> np.ndarray:
        count, number = mels.shape[:2]
        with torch.inference_mode():
            rows = torch.from_numpy(mels.reshape(count * number, LONG, BANDS)).to(where)
            last = torch.relu(parts["linear"](parts["lstm"](rows)[1][0][-1]))
            unit = last / last.norm(dim=1, keepdim=True).clamp_min(1e-12)
            mean = unit.reshape(count, number, WIDTH).mean(dim=1)
            return (mean / mean.norm(dim=1, keepdim=True).clamp_min(1e-12)).cpu().numpy()

    return run
