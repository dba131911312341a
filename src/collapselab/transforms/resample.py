"""Real rows of which a part is drawn by the model: half-synthetic data."""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.choice import Options
from ..core.sets import SampleSet
from .base import Given


class ResampleOptions(Options):
    """How much of a row is the model's."""

    share: float = Field(ge=0, le=1, description="share of what is resampled, each by chance of its own")
    of: Literal["rows", "coordinates"] = Field(
        "rows", description="rows: whole samples or whole real rows; coordinates: single numbers within a row"
    )


def resample(given: Given, options: ResampleOptions, seed: int) -> SampleSet:
    """Real rows of which a ``share`` has been drawn anew by the model; the others stay as they were.

    Zhu et al. (2024, arXiv 2412.14689) edit human text: some tokens are drawn again by a language model, and all others
    stay, so that the support of the real data is never lost. Of rows that are no sequences it means: sample i has a
    real row of the training split beside it, of its own class where there are labels, in an order that chance draws;
    with chance ``share`` the row, or the coordinate, is the sample's, else the real one's. There is no order of
    coordinates here in which one could be drawn given those before it: those of a row that is mixed come from two
    independent rows, so that ``coordinates`` keeps the law of each, and shrinks the covariance between two by
    share^2 + (1 - share)^2. A loop of such rows forgets an error by the factor ``share`` in every generation.

    given.train: of the same shape, with labels where the samples have some. Raises ValueError for a class that it has
    not.
    """
    samples = given.samples
    if not len(samples):
        return samples
    real = given.train.data[_partners(given, seed)]
    width = samples.data.shape[1] if options.of == "coordinates" and samples.data.ndim > 1 else 1
    is_drawn = seeds.uniforms(seed, 0, len(samples), width) < options.share
    is_drawn = is_drawn if samples.data.ndim > 1 else is_drawn[:, 0]
    return replace(samples, data=np.where(is_drawn, samples.data, real.astype(samples.data.dtype)))


def _partners(given: Given, seed: int) -> np.ndarray:
    """A row of the training split for each sample, each as often as the others to within one: (n,) int64."""
    labels = given.samples.labels
    groups = np.zeros(len(given.samples), np.int64) if labels is None else labels
    of_real = np.zeros(len(given.train), np.int64) if labels is None else given.train.labels
    lot = seeds.generator(seeds.seed_of(seed, None, None, "partners"))
    order, rows = lot.permutation(len(of_real)), np.empty(len(groups), np.int64)
    for group in np.unique(groups):
        places, known = np.flatnonzero(groups == group), order[of_real[order] == group]
        if not len(known):
            raise ValueError(f"samples: found class {group}, of which the training split has no row")
        rows[places] = known[np.arange(len(places)) % len(known)]
    return rows
