"""A mark as its owner looks for it: with the key, by the model where the mark is in its noise, and calibrated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from .base import Detection, Mark


@dataclass(frozen=True, eq=False)
class Detector:
    """Looks for a mark in samples.

    options: the mark's. key: 32 bytes. model: one that :class:`~collapselab.models.capabilities.Inverts`, for marks of
    the noise; None for those of pixels. unmarked: statistics of real samples, which nobody has marked, ascending; None
    where p-values are those over the keys.
    """

    mark: Mark
    options: Any
    key: bytes
    model: Any | None = None
    unmarked: np.ndarray | None = None

    @property
    def uses_torch(self) -> bool:
        """Whether it runs on the device: by its model."""
        return self.model is not None and self.model.uses_torch

    def calibrated(self, data: np.ndarray) -> Self:
        """The detector whose p-values are told by real samples without the mark.

        p = (1 + #{theirs >= t}) / (1 + n), which is at most a with probability at most a for a sample that could have
        stood among them, exactly, whatever their law (Vovk, Gammerman and Shafer 2005, conformal p-values). Of one key
        and pictures that are alike the p-values over keys are not: some keys are like what all of these have.
        """
        return replace(self, unmarked=np.sort(self.found(data).statistic))

    def found(self, data: np.ndarray, start: int = 0) -> Detection:
        """What it finds in samples of which the first is sample ``start``, with p-values over the keys."""
        if not len(data):
            return Detection(np.empty(0), np.empty(0))
        rows = data if self.mark.acts == "pixels" else self.model.invert(data)
        return self.mark.detect(rows, self.options, self.key, start)

    def __call__(self, data: np.ndarray, start: int = 0) -> Detection:
        """What it finds in samples, with the p-values that it goes by."""
        found = self.found(data, start)
        if self.unmarked is None:
            return found
        least = np.searchsorted(self.unmarked, found.statistic, side="left")
        return Detection(found.statistic, (1 + len(self.unmarked) - least) / (1 + len(self.unmarked)))

    def level(self, shape: Sequence[int], rate: float) -> float:
        """The chance of a false alarm that "p at most ``rate``" comes to: at most ``rate``, by what it can attain."""
        if self.unmarked is None:
            return self.mark.level(shape, self.options, rate)
        return float(np.floor(rate * (1 + len(self.unmarked)) + 1e-9)) / (1 + len(self.unmarked))
