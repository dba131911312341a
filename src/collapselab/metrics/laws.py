"""What is known of a law exactly: how far its moments have moved, and what can still be learnt from it.

The features are those of the extractor ``moments``: no samples, but the exact mean m and covariance S of a law, for
``fake`` of a generation's model, for ``real`` of the known truth.
"""

import math

import numpy as np

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features


def mean_drift(real: Features | Array, fake: Features | Array) -> float:
    """How far the mean has moved, in units of the real spread: |m_f - m_r|^2 / tr S_r.

    0 where the mean is kept. A loop whose mean walks in steps of 1/n of the variance has t/n after t of them; of
    categories it is the squared distance of the shares over H = 1 - sum p^2.

    real, fake: with exact moments, of the same d. Raises Undefined without them, or where the real law does not vary.
    """
    (mean, covariance), (moved, _) = _laws(real, fake)
    total = np.trace(covariance)
    if total <= 0:
        raise Undefined("real: it does not vary, and there is no unit to tell the drift in")
    return float(np.sum((moved - mean) ** 2) / total)


def log_determinant_ratio(real: Features | Array, fake: Features | Array) -> float:
    """The change of the generalised variance per dimension, in nats: (log det S_f - log det S_r) / d.

    0 where the spread is kept, and the mean log variance of d independent dimensions where they shrink; it sees one
    direction collapse while the others stay, which a trace does not.

    real, fake: with exact moments, of the same d. Raises Undefined without them, or where a covariance is singular to
    rounding, as that of one-hot categories always is: the determinant is then 0.
    """
    (_, covariance), (_, other) = _laws(real, fake)
    return (_log_determinant(other, "fake") - _log_determinant(covariance, "real")) / len(covariance)


def surviving_categories(real: Features | Array, fake: Features | Array) -> float:
    """The number of categories that the fakes' law still gives a probability above 0.

    The real law plays no part: of its K categories it has ``surviving_categories(real, real)``.

    fake: with the exact mean of one-hot categories, which are their shares. Raises Undefined without it, or for a mean
    that is no shares.
    """
    _, (shares, _) = _laws(real, fake)
    if (shares < 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise Undefined("fake: its mean is no shares that sum to 1; only a law of categories has some that survive")
    return float(np.count_nonzero(shares))


def surviving_dimensions(real: Features | Array, fake: Features | Array) -> float:
    """The number of dimensions in which the fakes' law still varies: of S_f those with a variance above 0.

    A rate of counts that has fallen to 0 gives zeros for ever: it is forgotten (Suresh et al. 2024, arXiv 2412.17646).
    The real law plays no part.

    fake: with exact moments. Raises Undefined without them.
    """
    _, (_, covariance) = _laws(real, fake)
    return float(np.count_nonzero(np.diag(covariance) > 0))


def regression_error(real: Features | Array, fake: Features | Array) -> float:
    """The excess risk of the regression that the fakes teach: (w_f - w_r)' S_xx,r (w_f - w_r), w = S_xx^-1 S_xy.

    How much larger the squared error on real data is than that of the best linear predictor, with the right intercept
    (the test error of Gerstgrasser et al. 2024, arXiv 2404.01413, for S_xx,r = 1). The last column is the
    response y, the others are the predictors x.

    real, fake: with exact moments, of the same d of 2 or more. Raises Undefined without them, or where the predictors'
    covariance is singular to rounding: w is then not determined.
    """
    (_, covariance), (_, other) = _laws(real, fake, columns=2)
    away = _slopes(other, "fake") - _slopes(covariance, "real")
    return float(away @ covariance[:-1, :-1] @ away)


def classification_error(real: Features | Array, fake: Features | Array) -> float:
    """The error on real data of the linear classifier that the fakes teach: Phi(-w' mu / |w|), w = Cov_f(x, y).

    The last column is the label y, -1 or 1, the others are x. The real law has two classes of equal size, N(-mu, 1) and
    N(mu, 1), so that mu = Cov_r(x, y); sign(w' x) is wrong with the probability above, Phi(-|mu|) at best, 1/2 by
    chance (the setting of Feng et al. 2024, arXiv 2406.07515).

    real, fake: with exact moments, of the same d of 2 or more. Raises Undefined without them, or where w is 0: the
    fakes' labels say nothing about x.
    """
    (_, covariance), (_, other) = _laws(real, fake, columns=2)
    mean, direction = covariance[:-1, -1], other[:-1, -1]
    length = np.linalg.norm(direction)
    if length == 0:
        raise Undefined("fake: its labels have no covariance with the other columns, and so no direction")
    return math.erfc(float(direction @ mean / length) / math.sqrt(2)) / 2


def _laws(real: Features | Array, fake: Features | Array, columns: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    """The mean (d,) and the covariance (d, d) of both sides, float64, d at least ``columns``."""
    sides = {"real": Features.of(real), "fake": Features.of(fake)}
    laws = []
    for role, side in sides.items():
        if side.moments is None:
            raise Undefined(f"{role}: its moments are not known exactly; needed are those of 'moments'")
        mean, covariance = (on_host(part).astype(np.float64) for part in side.moments)
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise Undefined(f"{role}: it has moments that are not finite")
        if len(mean) < columns:
            raise Undefined(f"{role}: found {len(mean)} columns, needed are at least {columns}")
        laws.append((mean, covariance))
    if len(laws[0][0]) != len(laws[1][0]):
        found = f"laws of {len(laws[0][0])} and of {len(laws[1][0])} numbers"
        raise ValueError(f"features: found {found}, allowed are equal lengths")
    return laws


def _log_determinant(covariance: np.ndarray, role: str) -> float:
    # log det S = sum log S_ii + log det R with the correlations R: so dimensions of very different size are no matter.
    variances = np.diag(covariance)
    if (variances > 0).all():
        scale = np.sqrt(variances)
        eigenvalues = np.linalg.eigvalsh(covariance / scale[:, None] / scale)
        if eigenvalues[0] > len(variances) * np.finfo(np.float64).eps * eigenvalues[-1]:
            return float(np.log(variances).sum() + np.log(eigenvalues).sum())
    raise Undefined(f"{role}: its covariance is singular to rounding: its determinant is 0")


def _slopes(covariance: np.ndarray, role: str) -> np.ndarray:
    try:
        _log_determinant(covariance[:-1, :-1], role)
    except Undefined:
        raise Undefined(f"{role}: its predictors' covariance is singular, and determines no regression") from None
    return np.linalg.solve(covariance[:-1, :-1], covariance[:-1, -1])
