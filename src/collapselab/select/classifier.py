"""Keeping what a classifier is sure of."""

from typing import Literal

import numpy as np
from pydantic import Field

from ..features.base import ExtractorName
from ..rewards.classifier import probabilities
from .base import Pool, Selection, ShareOptions
from .ranking import best, first, nothing


class ClassifierOptions(ShareOptions):
    """Who looks, and what is sure enough."""

    extractor: ExtractorName = Field("lenet", description="the classifier: an extractor that gives probabilities")
    of: Literal["any", "label"] = Field(
        "any", description="of which class: whichever is likeliest, or the one that the sample is labelled as"
    )
    least: float | None = Field(
        None, ge=0, le=1, description="keep the first samples of this confidence at least; null: the surest"
    )


def classifier(pool: Pool, options: ClassifierOptions, seed: int) -> Selection:
    """The samples that a classifier is surest of, max q(c | x) or q(label | x), or the first it is sure enough of.

    scores: that probability. Raises ValueError for an extractor without probabilities, and where labels are asked for
    and samples have none, or others than the classifier knows.
    """
    if not len(pool):
        return nothing("classifier")
    shares = probabilities(pool.seen[options.extractor].samples, options.extractor)
    scores, wanted = shares.max(axis=1), options.keeps(len(pool))
    if options.of == "label":
        labels = pool.samples.labels
        if labels is None or not 0 <= labels.min() <= labels.max() < shares.shape[1]:
            found = "none" if labels is None else f"{labels.min()} to {labels.max()}"
            raise ValueError(f"of: found labels {found}, allowed are 0 to {shares.shape[1] - 1}, or of: any")
        scores = shares[np.arange(len(pool)), labels]
    if options.least is None:
        return best(scores, wanted, "surest", "classifier")
    return first(scores >= options.least, scores, wanted, "sure enough", "classifier")


def unlabelled(options: ClassifierOptions) -> str:
    """A class that is to be the one that the sample is labelled as."""
    return "of: found label, and the samples have no labels; say of: any" if options.of == "label" else ""
