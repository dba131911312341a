"""Models that are too poor for their collapse to be told: what is worse than no model at all."""

import math
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


def directions(role: Role) -> float:
    """In how many directions features vary, (tr S)^2 / tr S^2: the fewest rows in which that can be seen.

    Of n rows the covariance has a share (tr S)^2 / n in tr S^2 that is chance, which is taken off; infinite where the
    rest is none. 0 of exact moments, which rest on no rows.
    """
    if role.features.moments is not None:
        return 0.0
    values = role.features.values  # of numpy, or of torch where metrics compute
    rows = len(values) - 1
    apart = values - values.mean(0)
    products = (apart.T @ apart if values.shape[1] < rows else apart @ apart.T) / max(1, rows)
    total, squares = float(products.trace()), float((products**2).sum())
    seen = squares - total**2 / max(1, rows)
    return total**2 / seen if seen > ROUNDING * squares else math.inf


def warnings(
    values: Iterable[Mapping[str, Any]], reals: Mapping[tuple[str, str], Role], made: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Sentences on samples further from those held out than copies of one average sample would be.

    The Fréchet distance of a model that always gives the mean m of the real features is |m - m|^2 + tr S (its own
    covariance is 0). A larger one says that distances to the start, and shares of what is left of it, mean little.
    Of fewer rows than features have :func:`directions` a perfect model is as far, too, and nothing is said.

    values: of a record. reals: (part, extractor) -> role. made: the record's fingerprints, with the numbers of rows.
    """
    told = []
    for entry in values:
        role = reals.get(("held_out", entry["extractor"]))
        is_distance = getattr(METRICS.get(entry["metric"]), "function", None) is frechet_distance
        if not is_distance or entry["set"] != "sampled" or role is None or entry["value"] is None:
            continue
        sizes = [made.get(entry.get("fingerprint"), {}).get(name) for name in ("n_fake", "n_real")]
        fewest = min((n for n in sizes if n is not None), default=math.inf)
        if entry["value"] > (1 + ROUNDING) * (constant := spread(role)) and fewest >= directions(role):
            told.append(
                f"in {entry['extractor']} the samples are at a Fréchet distance of {entry['value']:.4g}; the average "
                f"real sample, given again and again, would be at {constant:.4g}: the model is worse than none, and "
                "what is measured of it says little"
            )
    return told
