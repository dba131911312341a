"""Whether samples carry their arm's mark, as they are and after what may happen to a picture on its way."""

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.kinds import KINDS
from ..marks.attacks import ATTACKS
from ..marks.detector import Detector
from .base import Features

NAMES = ("statistic", "p", "level", "marked", *(f"p_{attack}" for attack in ATTACKS))
RATE, ROWS = 0.01, 500
ROUNDING = 1e-9  # relative: a p-value that is the level is no larger


class DetectionOptions(BaseModel):
    """At which rate of false alarms a mark is looked for, and in how many samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: float = Field(RATE, gt=0, lt=1, description="false alarms that are allowed, as a share of unmarked samples")
    rows: int = Field(ROWS, ge=2, description="samples of each set that are looked at: the first so many")
    calibration: Literal["own", "real", "exact"] = Field(
        "own",
        description="p-values by the statistics of all real training images (real), or by the law over keys (exact); "
        "own: by real images for one key in pixels, where that law does not hold, else exact",
    )


def mark(
    data: np.ndarray, weights: Any = None, *, rate: float = RATE, rows: int | None = None, marked: bool = False
) -> Features:
    """What a detector makes of each of the first ``rows`` samples, as columns: (n, 7) float64.

    ``statistic``, ``p``: the detector's, and its p-value. ``level``: the largest chance of a false alarm up to ``rate``
    that it attains; ``marked``: 1 for samples that were made with the mark, 0 for others; both the same in every row.
    ``p_jpeg``, ``p_crop``, ``p_resize``: the p-values of marked pictures after each of ``marks.attacks.ATTACKS``; 1 of
    what carries no mark, or is no picture.

    data: as in a sample set. weights: the :class:`~collapselab.marks.detector.Detector`; anything else raises
    ValueError.
    """
    if not isinstance(weights, Detector):
        raise ValueError(f"weights: found {type(weights).__name__.lower()}, mark needs the detector of a mark")
    if np.ndim(data) < 2 or KINDS["sequences"].holds(data) or KINDS["audio"].holds(data):
        raise ValueError(f"data: found {np.asarray(data).dtype} of shape {np.shape(data)}, no mark is put into such")
    data = data[:rows]
    found = weights(data)
    everywhere = np.ones(len(data))
    attacked = [everywhere] * len(ATTACKS)
    if marked and KINDS["images"].holds(data):
        attacked = [weights(attack(data)).p for attack in ATTACKS.values()]
    level = weights.level(data.shape[1:], rate)
    columns = (found.statistic, found.p, everywhere * level, everywhere * marked, *attacked)
    return Features(np.stack(columns, axis=1).astype(np.float64), names=NAMES)


def at_level(p: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Which samples a detector takes for marked, at the level that it attains: (n,) bool."""
    return p <= level * (1 + ROUNDING)
