"""Coverage region by region: where the samples reach nothing of what is real."""

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from ..core.errors import Undefined
from ..features import Array, Features
from .estimates import Estimate, share_of
from .memorisation import centres_of, nearest_of
from .neighbours import Neighbours, hits

SEED = 0  # of k-means: the regions are a function of the real rows alone, the same for all models
FEWEST = 5  # rows of a region, below which its coverage says nothing


class Regions(NamedTuple):
    """The regions of real rows: the cells of k-means, the fullest first.

    centres: (R, d). of_rows: (n,) int64, the region of each of these rows.
    """

    centres: Features
    of_rows: np.ndarray

    @property
    def count(self) -> int:
        """R."""
        return len(self.centres)

    def of(self, seen: Features) -> np.ndarray:
        """The region of other rows, that of the nearest centre: (n,) int64."""
        return nearest_of(self.centres, seen, 1, ("centres", "rows"))[1]


def regions_of(real: Features | Array, count: int) -> Regions:
    """The regions of real rows, ``count`` or as many as they have different rows.

    real: (n, d). Raises Undefined without rows, or for features that are not finite.
    """
    real = Features.of(real)
    real.require(1, "real")
    centres = centres_of(real, count, SEED)
    cells = nearest_of(centres, real, 1, ("centres", "real"))[1]
    order = np.argsort(-np.bincount(cells, minlength=len(centres)), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return Regions(Features(centres.values[order]), place[cells])


def covered(real: Features, fake: Features, k: int) -> np.ndarray:
    """Which of the real rows have a fake in their ball (:func:`neighbours.coverage`): (n,) bool."""
    real.require(k + 1, "real")
    fake.require(1, "fake")
    return hits(real, fake, k, "<").balls


RegionCount = Annotated[int, Field(ge=1)]


def region_coverage(
    real: Features | Array, fake: Features | Array, *, regions: RegionCount = 10, k: Neighbours = 5
) -> dict[str, Estimate | Undefined]:
    """The coverage of each region of the real rows.

    c_g = #{r in region g : |f - r| < radius_k(r) for some fake f} / #{r in region g}

    Coverage (Naeem et al. 2020, arXiv 2002.09797) is the mean of these, each weighed by its rows, in which a small
    region that is lost does not show. Regions are the cells of k-means of the real rows, 0 the fullest, the same
    whatever the fakes are. The interval is that of the real rows' chance. A region of fewer than 5 rows has no value.

    regions: how many. k: whose distance is the radius. real, fake: (n, d). Raises Undefined for k or fewer real rows,
    no fakes, or features that are not finite.
    """
    real, fake = Features.of(real), Features.of(fake)
    reached = covered(real, fake, k)
    found = regions_of(real, regions)
    values: dict[str, Estimate | Undefined] = {}
    for region in range(found.count):
        rows = reached[found.of_rows == region]
        few = Undefined(f"region {region}: found {len(rows)} real rows, needed are {FEWEST}")
        values[str(region)] = share_of(rows) if len(rows) >= FEWEST else few
    return values


def least_coverage(
    real: Features | Array, fake: Features | Array, *, regions: RegionCount = 10, k: Neighbours = 5
) -> Estimate:
    """The coverage of the region that is covered least: min over g of c_g (:func:`region_coverage`).

    The interval is that region's, of its real rows' chance. Being the least of several it is below coverage for a
    perfect model, too. Raises Undefined as :func:`region_coverage`, and where no region has 5 rows.
    """
    values = region_coverage(real, fake, regions=regions, k=k).values()
    known = [value for value in values if not isinstance(value, Undefined)]
    if not known:
        raise Undefined(f"real: no region has {FEWEST} rows")
    return min(known, key=float)
