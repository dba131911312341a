"""Sample sets as rows of features."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import Undefined
from ..core.needs import looks_anew
from ..core.sets import SampleSet
from ..features import Extractor, Features
from ..marks import Mark
from ..marks.detector import Detector

STORED_NEIGHBOURS = 16  # of each real row: radii of any smaller k are read, not measured


class Look(NamedTuple):
    """An extractor with what it looks through (weights, a model, a known truth, or nothing) and its settings."""

    extractor: Extractor
    weights: Any
    settings: Mapping[str, Any]


def calibrates(mark: Mark, options: Any, calibration: str) -> bool:
    """Whether p-values of a mark are told by real samples: where that is said, or for one key in pixels."""
    return calibration == "real" or (calibration == "own" and mark.acts == "pixels" and options.keys == "constant")


def detector(mark: Mark, options: Any, key: bytes, model: Any | None, unmarked: np.ndarray | None) -> Detector | None:
    """The detector of a mark; None where its model diverged. unmarked: the real samples that calibrate it, if any."""
    if mark.acts == "noise" and model is None:
        return None
    found = Detector(mark, options, key, model)
    return found if unmarked is None else found.calibrated(unmarked)


def looked_at(look: Look, samples: list[str], real: list[str], as_reference: bool) -> list[str]:
    """Which of the sets an extractor looks at: real ones only through the generation's own model, which has one law."""
    sets = [*samples, *real] if looks_anew(look.extractor.needs) else samples
    return sets[:1] if look.extractor.needs.through == "law" and not as_reference else sets


def extract(look: Look, pool: SampleSet, as_reference: bool) -> Features | None:
    """The features of a sample set; None where its model, or the one looked through, diverged.

    as_reference: with what every comparison would compute again, as far as it is determined.
    """
    extractor = look.extractor
    if "diverged" in pool.lineage or (
        look.weights is None and (extractor.needs.through_model or looks_anew(extractor.needs))
    ):
        return None
    told = {"marked": "mark" in pool.lineage} if extractor.needs.through == "mark" else {}
    features = extractor.extract(pool.data, look.weights, **look.settings, **told)
    return (
        _with_statistics(features)
        if as_reference and not (extractor.statistic or extractor.needs.through == "law")
        else features
    )


def _with_statistics(features: Features) -> Features:
    try:
        return features.with_statistics(min(STORED_NEIGHBOURS, len(features) - 1))
    except Undefined:
        return features
