"""How many samples are copies of given real images."""

from typing import Annotated

import numpy as np
from pydantic import Field

from ..distances import squared_distances
from ..features import Features


def copies(
    real: Features,
    fake: Features,
    *,
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5,
    neighbours: Annotated[int, Field(ge=2)] = 50,
) -> float:
    """The share of fakes that lie far closer to one real sample than to the others around it.

    #{f : d(f, nearest) < alpha * mean of d(f, x) over the ``neighbours`` nearest real x} / N_fake

    (Carlini et al. 2023, arXiv 2301.13188: the adaptive distance below 1, with alpha .5 and 50 neighbours.) A fake
    that equals a real sample is a copy whatever lies around it. Never read the share alone: real images that were held
    out have one too, ``copies(real, held_out)``, and near-duplicates within the real data raise both.

    Raises Undefined for fewer than ``neighbours`` real rows, no fakes, or features that are not finite.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha: found {alpha!r}, allowed are numbers above 0 and up to 1")
    if neighbours < 2:
        raise ValueError(f"neighbours: found {neighbours!r}, allowed are whole numbers from 2")
    real.require(neighbours, "real")
    fake.require(1, "fake")
    copied = 0
    for _, squared in squared_distances(fake.values, real.values):
        distances = np.sqrt(np.partition(squared, neighbours - 1, axis=1)[:, :neighbours])
        nearest = distances.min(axis=1)
        copied += np.count_nonzero((nearest < alpha * distances.mean(axis=1)) | (nearest == 0))
    return float(copied / len(fake))


def duplicates(real: Features, fake: Features) -> float:
    """The share of fakes whose features equal those of a real sample, number for number.

    Raises Undefined without rows on either side, or for features that are not finite.
    """
    real.require(1, "real")
    fake.require(1, "fake")
    rows = {row.tobytes() for row in real.values + 0.0}  # 0.0 and -0.0 are equal, and so are their bytes after this
    return float(np.mean([row.tobytes() in rows for row in fake.values.astype(real.values.dtype) + 0.0]))
