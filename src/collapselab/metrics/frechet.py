"""The Fréchet distance between two clouds of features, each seen as a Gaussian."""

from typing import Annotated

import numpy as np
from array_api_compat import array_namespace, device
from pydantic import Field

from ..core.distances import centre, check_alike, row_words
from ..core.errors import Undefined
from ..core.seeds import generator
from ..features import Array, Features
from .estimates import Estimate, from_error

ROUNDING = 1e-8  # the relative error that a distance may have by the quick route; without it, it has about 1e-13


def frechet_distance(real: Features, fake: Features) -> float:
    """The squared 2-Wasserstein distance of the Gaussians with the moments of the real and the fake features.

    |mu_r - mu_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2))

    (Dowson and Landau 1982; as a score of generators, Heusel et al. 2017, arXiv 1706.08500, eq. 6). The exact moments
    of a population are used where they are known; otherwise the sample mean and the sample covariance over n - 1, so
    that two values are comparable only at equal n.

    No matrix square root is taken. With S = F^T F the trace of (S_r S_f)^(1/2) is the sum of the roots of the
    eigenvalues of F_r S_f F_r^T, which is quick. A bound says how far rounding can have moved these roots; where that
    is more than 1e-8 of the distance, as it is for the rank-deficient covariances that collapse makes, the trace is the
    sum of the singular values of F_r F_f^T. Of fewer rows than columns the centred rows themselves are the factor.

    real, fake: features of any numbers of rows, with the same number of columns d.
    Raises Undefined for fewer than 2 rows without exact moments, or features that are not finite.
    """
    real, fake = Features.of(real), Features.of(fake)
    widths = [_width(real, "real"), _width(fake, "fake")]
    if widths[0] != widths[1]:
        raise ValueError(f"features: found rows of {widths[0]} and of {widths[1]} numbers, allowed are equal lengths")
    if real.moments is None and fake.moments is None:
        check_alike(real.values, fake.values)
    like = (fake if real.moments is not None else real).values  # a population has no rows, so no device either
    xp = array_namespace(like)
    real_mean, real_covariance, real_factor = _gaussian(real, like)
    fake_mean, fake_covariance, fake_factor = _gaussian(fake, like)
    apart = float(xp.sum((real_mean - fake_mean) ** 2))
    if real_covariance is not None and fake_covariance is not None:
        factor = real_factor()
        roots, error = _roots_and_error(factor @ fake_covariance @ factor.T, real_covariance, fake_covariance)
        distance = apart + float(xp.linalg.trace(real_covariance) + xp.linalg.trace(fake_covariance)) - 2 * roots
        if 0 < 2 * error <= ROUNDING * distance:  # it is 0 where products of small numbers vanish
            return distance
    one, other = real_factor(), fake_factor()
    shared = xp.sum(xp.linalg.svdvals(one @ other.T))
    distance = apart + float(xp.sum(one**2) + xp.sum(other**2) - 2 * shared)
    return max(distance, 0.0)  # rounding can leave a negative of the order of 1e-16 tr(S)


def frechet_distance_infinity(
    real: Features,
    fake: Features,
    *,
    points: Annotated[int, Field(ge=3)] = 15,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Estimate:
    """The Fréchet distance that infinitely many samples would have, and the interval of the extrapolation.

    The distance of n samples is too large by about b / n; fitted by a line in 1 / n to ``points`` subsamples, it is the
    line's value at 0 (Chong and Forsyth 2020, arXiv 1911.07023). They subsample the fakes; here both sides
    shrink by the same share, so that what the real samples add goes too, unless their moments are exact. The shares lie
    in equal steps between all rows and a tenth of them, or twice the columns if that is more, since only well above d
    rows the error is a line in 1 / n.

    Each subsample is drawn anew, and not a prefix of the next: their errors are then nearly independent, and average
    out in the line. The interval is that of the line, at 1.96 standard errors; another seed moves the value within it.
    The order of the rows is without influence.

    Raises Undefined for fewer than 4 (d + 1) rows on a side without exact moments, or features that are not finite.
    """
    if points < 3:
        raise ValueError(f"points: found {points!r}, allowed are whole numbers from 3")
    real, fake = Features.of(real), Features.of(fake)
    sampled = {role: side for role, side in (("real", real), ("fake", fake)) if side.moments is None}
    if not sampled:
        raise Undefined("fake: its moments are exact, and no number of rows is left to go to infinity")
    for role, side in sampled.items():
        side.require(4 * (side.values.shape[1] + 1), role)
    smallest = max(max(0.1, 2 * (side.values.shape[1] + 1) / len(side)) for side in sampled.values())
    random = generator(seed)
    order = {role: array_namespace(side.values).argsort(row_words(side.values)) for role, side in sampled.items()}
    inverse, distances = [], []
    for share in np.linspace(smallest, 1, points):
        part = {"real": real, "fake": fake}
        for role, side in sampled.items():
            chosen = np.sort(random.permutation(len(side))[: round(share * len(side))])
            xp = array_namespace(side.values)
            rows = order[role][xp.asarray(chosen, device=device(side.values))]
            part[role] = Features(side.values[rows, :])
        inverse.append(1 / share)
        distances.append(frechet_distance(part["real"], part["fake"]))
    design = np.stack([np.ones(points), inverse], axis=1)
    line, residual, *_ = np.linalg.lstsq(design, np.array(distances))
    variance = (residual[0] if len(residual) else 0.0) / (points - 2)
    return from_error(float(line[0]), float(np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])))


def _width(features: Features, role: str) -> int:
    if features.moments is not None:
        return len(features.moments[0])
    features.require(2, role)
    return features.values.shape[1]


def _gaussian(features: Features, like: Array):
    """The mean (d,), the covariance (d, d) if it may have full rank, and the maker of its factor, as arrays ``like``.

    The factor F (r, d) with S = F^T F is Cholesky's; from eigenvectors where a direction has no variance; of fewer rows
    than columns it is the centred rows.
    """

    def on(array: Array) -> Array:
        xp = array_namespace(like)
        return xp.asarray(array, dtype=xp.float64, device=device(like))

    if features.moments is None and len(features) <= features.values.shape[1]:
        mean = centre(features.values)
        return mean[0, :], None, lambda: (features.values - mean) / (len(features) - 1) ** 0.5
    mean, covariance = features.mean_and_covariance()
    return on(mean), on(covariance), lambda: on(features.once("factor", lambda: _factor(covariance)))


def _factor(covariance: Array) -> Array:
    xp = array_namespace(covariance)
    try:
        return xp.linalg.cholesky(covariance).T
    except xp.linalg.LinAlgError:
        variances, directions = xp.linalg.eigh(covariance)
        rounding = 2.0**-52 * len(variances) * xp.max(variances)
        return xp.sqrt(xp.where(variances > rounding, variances, 0.0))[:, None] * directions.T


def _roots_and_error(product: Array, one: Array, other: Array) -> tuple[float, float]:
    """The sum of the roots of the eigenvalues m of M = F_1 S_2 F_1^T, and a bound on its error by rounding.

    Rounding adds an E to M with |E| of about u = 2^-52 |S_1| |S_2| in the norm of Frobenius, and tr M^(1/2) moves by
    tr(M^(-1/2) E) / 2, which is at most u sqrt(sum 1 / m) / 2. A root of an m that is not well above u is off by less
    than 2 sqrt(u).
    """
    xp = array_namespace(product)
    moved = 2.0**-52 * xp.linalg.matrix_norm(one) * xp.linalg.matrix_norm(other)
    eigenvalues = xp.clip(xp.linalg.eigvalsh(product), 0.0, None)
    sure = eigenvalues > 4 * moved
    inverses = xp.sum(xp.where(sure, 1 / xp.where(sure, eigenvalues, 1.0), 0.0))
    error = moved * xp.sqrt(inverses) / 2 + 2 * xp.sqrt(moved) * xp.count_nonzero(~sure)
    return float(xp.sum(xp.sqrt(eigenvalues))), float(error)
