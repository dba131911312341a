"""Whether samples are copies of given real samples: of which, how near, and nearer than new real samples are."""

from typing import Annotated

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array
from pydantic import Field

from ..core.distances import TIE, on_host, row_words, squared_distances
from ..core.errors import Undefined
from ..features import Array, Features
from .estimates import Estimate, from_error, mean_of, share_of
from .ranks import superiority

Alpha = Annotated[float, Field(gt=0, le=1)]
Around = Annotated[int, Field(ge=2)]
ENOUGH = 20  # rows of either side that a cell of data_copying needs; Meehan et al. ask for as many of the samples


def copies(real: Features | Array, fake: Features | Array, *, alpha: Alpha = 0.5, neighbours: Around = 50) -> Estimate:
    """The share of fakes that lie far closer to one real sample than to the others around it.

    #{f : d(f, nearest) < alpha * mean of d(f, x) over the ``neighbours`` nearest real x} / N_fake

    (Carlini et al. 2023, arXiv 2301.13188: the adaptive distance below 1, with alpha .5 and 50 neighbours.) A fake
    that equals a real sample is a copy whatever lies around it. Never read the share alone: real images that were held
    out have one too, ``copies(real, held_out)``, and near-duplicates within the real data raise both.

    real, fake: (n, d). Raises Undefined for fewer than ``neighbours`` real rows, no fakes, or features that are not
    finite.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha: found {alpha!r}, allowed are numbers above 0 and up to 1")
    return share_of(nearest_ratio(real, fake, neighbours=neighbours) < alpha)


def duplicates(real: Features | Array, fake: Features | Array) -> Estimate:
    """The share of fakes whose features equal those of a real sample, number for number.

    Raises Undefined without rows on either side, or for features that are not finite.
    """
    real, fake = Features.of(real), Features.of(fake)
    real.require(1, "real")
    fake.require(1, "fake")
    known, asked = (on_host(row_words(side.values)) for side in (real, fake))
    return share_of(np.isin(asked, known))


def authenticity(real: Features | Array, fake: Features | Array, *, held_out: Features | Array) -> dict[str, Estimate]:
    """The share of fakes that lie further from their nearest real sample than that one from its own nearest.

    A = #{f : d(f, r) > d(r, nearest other real to r), r the real sample nearest to f} / N_fake

    (Alaa et al. 2022, arXiv 2102.08921.) A copy is not authentic, whence 0 for a copycat; but a perfect
    model does not reach 1, nor 1/2: a new sample is authentic unless it and its nearest are each other's nearest, so
    that A = 1 - P(two nearest neighbours are mutual). In d dimensions, where the law is smooth on the scale of
    neighbours, that is 1 - |B| / |B u B'| of two unit balls at distance 1: 1/3, .378, .407 for d = 1, 2, 3, up to 1/2
    (Clark and Evans 1955; Pickard 1982); of few samples in many dimensions it is higher, .69 for a Gaussian in 16. So
    only the difference from what real samples reach that were held out tells anything.

    Gives A of the ``fake`` and of the ``held_out`` samples, and the ``difference`` of the two, which is 0 in
    expectation for a perfect model, below 0 for copies, above 0 for samples far from the data. The share does not
    depend on how many samples are asked about, so the two may be of unlike size; its interval is a bootstrap's, that of
    the difference a normal one of two independent shares.

    real, fake, held_out: (n, d). Raises Undefined for fewer than 2 real rows, no others, or features that are not
    finite.
    """
    real, sides = Features.of(real), {"fake": Features.of(fake), "held_out": Features.of(held_out)}
    shares = {}
    for role, side in sides.items():
        distance, row = nearest_of(real, side, 1, ("real", role), least=2)
        shares[role] = share_of(distance[:, 0] > on_host(real.radii(1))[row] * (1 + TIE))
    variance = sum(share * (1 - share) / len(sides[role]) for role, share in shares.items())
    return {**shares, "difference": from_error(shares["fake"] - shares["held_out"], variance**0.5)}


def data_copying(
    real: Features | Array,
    fake: Features | Array,
    *,
    held_out: Features | Array,
    cells: Annotated[int, Field(ge=1)] = 5,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Estimate:
    """Whether the fakes lie nearer to the real samples than held-out ones do, in standard deviations.

    C_T = sum over cells of w z / sum w

    with z = (U - m n / 2) / sd(U) of Mann and Whitney's U between the m fakes' and the n held-out samples' distances to
    the nearest real sample, in each cell of a k-means partition of the real samples, and w the share of the held-out
    samples there (Meehan, Chaudhuri and Dasgupta 2020, arXiv 2004.05675). Far below 0: copies; about 0
    (standard deviation 1 for one cell, less for several): as new as new data; far above 0: under-fitted. sd(U) allows
    for ties. Cells with fewer than 20 fakes or held-out samples have no part in it. z grows with the root of the
    numbers of samples, so two values are comparable only at equal n.

    cells: how many; 1 compares everywhere at once, where regions whose distances are of unlike size dilute each other.
    seed: of k-means. real, fake, held_out: (n, d). Raises Undefined when no cell has enough rows, or for features that
    are not finite.
    """
    if cells < 1:
        raise ValueError(f"cells: found {cells!r}, allowed are whole numbers from 1")
    real, sides = Features.of(real), {"fake": Features.of(fake), "held_out": Features.of(held_out)}
    real.require(1, "real")
    for role, side in sides.items():
        side.require(1, role)
    distances = {role: nearest_distance(real, side) for role, side in sides.items()}
    centres = centres_of(real, cells, seed)
    places = {role: nearest_of(centres, side, 1, ("real", role))[1] for role, side in sides.items()}
    weights, values, errors = [], [], []
    for cell in range(len(centres)):
        ours, theirs = (distances[role][places[role] == cell] for role in sides)
        if min(len(ours), len(theirs)) >= ENOUGH:
            share, error, null_error = superiority(ours, theirs)
            weights.append(len(theirs))
            values.append((share - 0.5) / null_error if null_error else 0.0)  # all distances are equal: no difference
            errors.append(error / null_error if null_error else 0.0)
    if not weights:
        raise Undefined(f"fake, held_out: no cell of {len(centres)} has {ENOUGH} rows of each")
    shares = np.array(weights) / sum(weights)
    return from_error(float(shares @ values), float(np.linalg.norm(shares * errors)))


def nearest_distance(real: Features | Array, fake: Features | Array) -> np.ndarray:
    """The distance of each fake to the nearest real sample: (n,) float64, 0 for a copy.

    Raises Undefined without rows on either side, or for features that are not finite.
    """
    return nearest_of(Features.of(real), Features.of(fake), 1)[0][:, 0]


def mean_nearest_distance(real: Features | Array, fake: Features | Array) -> Estimate:
    """The mean distance of the fakes to the nearest real sample: 0 where all are copies, in units of the features.

    (1 / N_fake) sum over fakes f of min over real r of |f - r|

    Of the training set it is the generalisation score of Shi et al. (2025, arXiv 2509.16499), which falls as
    a loop goes over from making to copying. It falls with the number of real rows, too, and with the spread of either
    side; so it is compared at equal n, and with what held-out samples have. The interval is that of the fakes' chance.
    Raises Undefined as :func:`nearest_distance`.
    """
    return mean_of(nearest_distance(real, fake))


def nearest_ratio(real: Features | Array, fake: Features | Array, *, neighbours: Around = 50) -> np.ndarray:
    """Each fake's distance to the nearest real sample over its mean distance to the ``neighbours`` nearest: (n,).

    From 0 for a copy to 1 where all are equally far: the adaptive distance of Carlini et al. (2023, arXiv 2301.13188)
    times their alpha. Raises Undefined as :func:`copies`.
    """
    if neighbours < 2:
        raise ValueError(f"neighbours: found {neighbours!r}, allowed are whole numbers from 2")
    distances, _ = nearest_of(Features.of(real), Features.of(fake), neighbours)
    nearest, mean = distances[:, 0], distances.mean(axis=1)
    return np.divide(nearest, mean, out=np.zeros_like(nearest), where=nearest > 0)


def nearest_of(
    manifold: Features, probes: Features, k: int, roles: tuple[str, str] = ("real", "fake"), least: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The distances of each probe to its k nearest rows of the manifold, ascending (n, k), and the nearest row (n,)."""
    manifold.require(max(k, least), roles[0])
    probes.require(1, roles[1])
    return manifold.once(("nearest", k), lambda: _all_nearest(manifold, probes, k), beside=probes)


def _all_nearest(manifold: Features, probes: Features, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances, row = np.empty((len(probes), k)), np.empty(len(probes), np.int64)
    for rows, squared in squared_distances(probes.values, manifold.values):
        if is_torch_array(squared):
            smallest, columns = squared.topk(k, dim=1, largest=False)
            row[rows] = on_host(columns[:, 0])
        else:
            smallest = np.sort(np.partition(squared, k - 1, axis=1)[:, :k], axis=1)
            row[rows] = squared.argmin(axis=1)
        distances[rows] = np.sqrt(on_host(smallest))
    return distances, row


def centres_of(real: Features, cells: int, seed: int) -> Features:
    """The centres of k-means, of rows in an order of their own: their given order has no part in the result."""
    if cells == 1:
        return Features(real.values[:1])
    from sklearn.cluster import KMeans

    _, first, counts = np.unique(on_host(row_words(real.values)), return_index=True, return_counts=True)
    means = KMeans(min(cells, len(first)), n_init=4, random_state=seed)
    centres = means.fit(on_host(real.values)[first].astype(np.float64), sample_weight=counts).cluster_centers_
    return Features(array_namespace(real.values).asarray(centres, device=device(real.values)))
