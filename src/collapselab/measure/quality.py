"""Models that are too poor for their collapse to be told: what is worse than no model at all."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..metrics import METRICS, frechet_distance
from .record import Role

ROUNDING = 1e-6  # of a distance, relative: the average itself is not worse than itself


def spread(role: Role) -> float:
    """The total variance of features, tr S: the Fréchet distance to samples that all have the features' mean."""
    if role.features.moments is not None:
        return float(np.trace(role.features.moments[1]))
    values = role.features.values  # of numpy, or of torch where metrics compute
    return float(((values - values.mean(0)) ** 2).sum() / max(1, len(values) - 1))


def warnings(values: Iterable[Mapping[str, Any]], reals: Mapping[tuple[str, str], Role]) -> list[str]:
    """Sentences on samples further from those held out than copies of one average sample would be.

    The Fréchet distance of a model that always gives the mean m of the real features is |m - m|^2 + tr S (its own
    covariance is 0). A larger one says that distances to the start, and shares of what is left of it, mean little.

    values: of a record. reals: (part, extractor) -> role.
    """
    told = []
    for entry in values:
        role = reals.get(("held_out", entry["extractor"]))
        is_distance = getattr(METRICS.get(entry["metric"]), "function", None) is frechet_distance
        if not is_distance or entry["set"] != "sampled" or role is None or entry["value"] is None:
            continue
        if entry["value"] > (1 + ROUNDING) * (constant := spread(role)):
            told.append(
                f"in {entry['extractor']} the samples are at a Fréchet distance of {entry['value']:.4g}; the average "
                f"real sample, given again and again, would be at {constant:.4g}: the model is worse than none, and "
                "what is measured of it says little"
            )
    return told
