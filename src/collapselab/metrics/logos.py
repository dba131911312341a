"""How many images carry a logo (the extractor ``logo``), and how many clean ones seem to."""

import numpy as np

from ..core.distances import on_host
from ..features import Array, Features
from .estimates import Estimate, exact_share_of


def logo_share(real: Features | Array, fake: Features | Array) -> Estimate:
    """The share of the fakes that carry the logo: within the extractor's threshold of it.

    With the exact interval of Clopper and Pearson (1934). Raises Undefined without fakes, and
    ValueError for other features.
    """
    return exact_share_of(_carries(real, fake)[1])


def logo_false_positives(real: Features | Array, fake: Features | Array) -> Estimate:
    """The share of real images that seem to carry the logo: of held-out ones, which nobody has given one, by chance.

    With the exact interval of Clopper and Pearson (1934). The fakes have no part in it.
    """
    return exact_share_of(_carries(real, fake)[0])


def _carries(real: Features | Array, fake: Features | Array) -> list[np.ndarray]:
    """Which of the real samples and of the fakes carry the logo: (n,) and (m,) bool."""
    found = []
    for role, side in {"real": Features.of(real), "fake": Features.of(fake)}.items():
        if side.names is None or "carries" not in side.names:
            raise ValueError(f"{role}: found columns {side.names}, allowed are those of logo")
        side.require(1, role)
        found.append(on_host(side.values)[:, side.names.index("carries")] > 0.5)
    return found
