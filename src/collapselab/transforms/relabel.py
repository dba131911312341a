"""A frozen classifier says what the samples are."""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.choice import Options
from ..core.distances import on_host
from ..core.sets import SampleSet
from ..features.base import ExtractorName
from .base import Given


class RelabelOptions(Options):
    """Who labels, and how."""

    extractor: ExtractorName = Field("lenet", description="the classifier, learned once from real rows")
    labels: Literal["likeliest", "drawn"] = Field(
        "likeliest", description="likeliest: the class of the greatest probability; drawn: one by the probabilities"
    )


def relabel(given: Given, options: RelabelOptions, seed: int) -> SampleSet:
    """The same samples with the labels that a classifier gives them, whatever they had.

    The feedback of Taori and Hashimoto (2022, arXiv 2209.03942): the next generation learns a model's labels of
    samples as if they were true. Labels that are drawn by calibrated probabilities keep the shares of the classes, and
    so the loop; the likeliest one amplifies what the classifier favours. The classifier is frozen: it has learned
    from real rows alone. Samples without labels get some, so that a model that needs labels can eat those of one that
    has none.

    Raises ValueError for an extractor that says no classes, or no probabilities where labels are drawn.
    """
    seen = given.seen[options.extractor].samples
    if seen.classes is None or (options.labels == "drawn" and seen.probabilities is None):
        what = "probabilities" if options.labels == "drawn" else "classes"
        raise ValueError(f"extractor: found {options.extractor}, which says no {what}; one that does is lenet")
    if options.labels == "likeliest":
        return replace(given.samples, labels=on_host(seen.classes).astype(np.int64))
    sums = np.cumsum(on_host(seen.probabilities).astype(np.float64), axis=1)
    drawn = seeds.uniforms(seed, 0, len(sums), 1) * sums[:, -1:]
    return replace(given.samples, labels=(drawn >= sums).sum(axis=1).astype(np.int64))
