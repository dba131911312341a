"""Which sounds are left: how much of the range of pitches and of loudness there still is, and how much is silence.

All read the columns of the extractor ``heard``.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from .estimates import Estimate, share_over

Tail = Annotated[float, Field(ge=0, lt=0.5)]
Likeness = Annotated[float, Field(ge=0, le=1)]
LEAST = 20  # clips, of which a range can be told


def pitch_range_kept(
    real: Features | Array, fake: Features | Array, *, tail: Tail = 0.05, tonality: Likeness = 0.9
) -> float:
    """How wide the pitches of the fakes are spread, over those of the real clips, in semitones: 1 for a perfect model.

    (Q_f(1 - tail) - Q_f(tail)) / (Q_r(1 - tail) - Q_r(tail))

    Q: quantiles of the pitch of clips that sound like one tone, with a tonality from ``tonality`` up; of others nobody
    can say a pitch. Raises Undefined for fewer than 20 such clips on either side, and where the real ones have one
    pitch.
    """
    sides = []
    for role, side in (("real", real), ("fake", fake)):
        pitch, likeness = (_column(side, role, name) for name in ("pitch", "tonality"))
        if (likeness >= tonality).sum() < LEAST:
            found = f"{(likeness >= tonality).sum()} of {len(likeness)} clips"
            raise Undefined(f"{role}: {found} sound like one tone, needed are at least {LEAST}")
        sides.append(pitch[likeness >= tonality])
    return _width(*sides, tail)


def loudness_range_kept(real: Features | Array, fake: Features | Array, *, tail: Tail = 0.05) -> float:
    """How wide the loudness of the fakes is spread, over that of the real clips, in decibels: 1 for a perfect model.

    (Q_f(1 - tail) - Q_f(tail)) / (Q_r(1 - tail) - Q_r(tail))

    Raises Undefined for fewer than 20 clips on either side, and where the real ones are all as loud.
    """
    sides = []
    for role, side in (("real", real), ("fake", fake)):
        sides.append(_column(side, role, "loudness"))
        if len(sides[-1]) < LEAST:
            raise Undefined(f"{role}: found {len(sides[-1])} clips, needed are at least {LEAST}")
    return _width(*sides, tail)


def silence_share(real: Features | Array, fake: Features | Array) -> Estimate:
    """The share of the fakes that are silent from beginning to end, with Wilson's interval. The real clips play no
    part in it.

    Raises Undefined without fakes.
    """
    return share_over(_column(fake, "fake", "silence") >= 1, 1.0)


def tonal_share(real: Features | Array, fake: Features | Array, *, tonality: Likeness = 0.9) -> Estimate:
    """The share of the fakes that sound like one tone, with Wilson's interval: others are noise, or several at once.
    The real clips play no part in it.

    Raises Undefined without fakes.
    """
    return share_over(_column(fake, "fake", "tonality") >= tonality, 1.0)


def _width(real: np.ndarray, fake: np.ndarray, tail: float) -> float:
    widths = [float(np.diff(np.quantile(side, [tail, 1 - tail]))[0]) for side in (real, fake)]
    if widths[0] == 0:
        raise Undefined("real: all clips are alike in it, and no range can be compared with theirs")
    return widths[1] / widths[0]


def _column(side: Features | Array, role: str, name: str) -> np.ndarray:
    """A column of what is heard: (n,) float64. Raises Undefined without rows, ValueError for other features."""
    side = Features.of(side)
    if side.names is None or name not in side.names:
        raise ValueError(f"{role}: found columns {side.names}, allowed are those of heard, with {name!r}")
    side.require(1, role)
    return on_host(side.values)[:, side.names.index(name)].astype(np.float64)
