"""How surely a classifier sees a class, or any."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ..core.choice import Options
from ..core.facts import Facts
from ..core.sets import SampleSet
from ..features.base import ExtractorName

if TYPE_CHECKING:
    from ..features import Features


class ClassOptions(Options):
    """Which class is liked, and who sees it."""

    label: int | None = Field(None, ge=0, description="the class that is liked; null: whichever is likeliest")
    scale: float = Field(
        1.0, allow_inf_nan=False, description="by what the probability is multiplied: 5 in Ferbach et al. 2024"
    )
    extractor: ExtractorName = Field("lenet", description="the classifier: an extractor that gives probabilities")


def class_probability(samples: SampleSet, seen: "Mapping[str, Features]", options: ClassOptions) -> np.ndarray:
    """A classifier's probability of a class, ``scale`` q(label | x), or its surest one, ``scale`` max q: (n,) float64.

    The two rewards of Ferbach et al. (2024, arXiv 2407.09499, section 4) on CIFAR-10, where the scale is 5. Raises
    ValueError for an extractor without probabilities, and for a class that it does not know.
    """
    if not len(samples):
        return np.empty(0)
    shares = probabilities(seen[options.extractor], options.extractor)
    if options.label is not None and options.label >= shares.shape[1]:
        raise ValueError(f"label: found {options.label}, allowed are 0 to {shares.shape[1] - 1} of {options.extractor}")
    liked = shares.max(axis=1) if options.label is None else shares[:, options.label]
    return options.scale * liked


def probabilities(features: "Features", name: str) -> np.ndarray:
    """How much samples look like each class, (n, C) float64. Raises ValueError where the extractor has no opinion."""
    if features.probabilities is None:
        raise ValueError(f"extractor: found {name!r}, which gives no probabilities; allowed is a classifier")
    return np.asarray(features.probabilities, np.float64)


def fault(facts: Facts, options: ClassOptions) -> str:
    """A class that a classifier of the data's own labels does not know."""
    count = facts.classes() if options.extractor == "lenet" and options.label is not None else None
    if not count or options.label < count:
        return ""
    return f"label: found {options.label}, allowed are 0 to {count - 1} of {options.extractor}"
