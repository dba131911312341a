"""The metrics of stacks: each is the metric of its name on each law's exact moments.

They give (R,) float64, nan where a value is not determined.
"""

from typing import Protocol

import numpy as np


class Laws(Protocol):
    """R laws side by side, by their exact moments."""

    @property
    def means(self) -> np.ndarray:
        """(R, d) float64."""

    @property
    def variances(self) -> np.ndarray:
        """Those of each dimension: (R, d) float64."""

    @property
    def covariances(self) -> np.ndarray:
        """(R, d, d) float64; the variances alone where dimensions do not mix."""


def variance_ratio(real: Laws, fake: Laws) -> np.ndarray:
    """tr S_f / tr S_r."""
    return _over(fake.variances.sum(axis=1), real.variances.sum(axis=1))


def mean_drift(real: Laws, fake: Laws) -> np.ndarray:
    """|m_f - m_r|^2 / tr S_r."""
    return _over(((fake.means - real.means) ** 2).sum(axis=1), real.variances.sum(axis=1))


def frechet_distance(real: Laws, fake: Laws) -> np.ndarray:
    """|m_f - m_r|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)), by the singular values of F_r F_f' with S = F' F."""
    apart = ((fake.means - real.means) ** 2).sum(axis=1)
    if fake.means.shape[1] == 1 or (real.covariances.ndim == 2 and fake.covariances.ndim == 2):
        return apart + ((np.sqrt(fake.variances) - np.sqrt(real.variances)) ** 2).sum(axis=1)
    one, other = (_factors(_full(law)) for law in (real, fake))
    shared = np.linalg.svd(one @ other.transpose(0, 2, 1), compute_uv=False).sum(axis=1)
    return np.maximum(apart + (one**2).sum(axis=(1, 2)) + (other**2).sum(axis=(1, 2)) - 2 * shared, 0)


def log_determinant_ratio(real: Laws, fake: Laws) -> np.ndarray:
    """(log det S_f - log det S_r) / d."""
    return (_log_determinants(fake) - _log_determinants(real)) / fake.means.shape[1]


def surviving_categories(real: Laws, fake: Laws) -> np.ndarray:
    """The number of positive shares; a law of vectors has none."""
    shares = fake.means
    fine = (shares >= 0).all(axis=1) & (abs(shares.sum(axis=1) - 1) <= 1e-6)
    return np.where(fine, np.count_nonzero(shares, axis=1), np.nan)


def surviving_dimensions(real: Laws, fake: Laws) -> np.ndarray:
    """The number of dimensions with a variance above 0."""
    return np.count_nonzero(fake.variances > 0, axis=1).astype(np.float64)


def regression_error(real: Laws, fake: Laws) -> np.ndarray:
    """(w_f - w_r)' S_xx,r (w_f - w_r), w = S_xx^-1 S_xy; nan where there are no predictors, or theirs is singular."""
    one, other = _full(real), _full(fake)
    if other.shape[1] < 2:
        return np.full(len(other), np.nan)
    away = _slopes(other) - _slopes(one)
    return ((away[:, None] @ one[:, :-1, :-1])[:, 0] * away).sum(axis=1)


def _slopes(covariances: np.ndarray) -> np.ndarray:
    """S_xx^-1 S_xy of each law, nan where S_xx is singular to rounding: (R, d - 1)."""
    found = np.full((len(covariances), covariances.shape[1] - 1), np.nan)
    for row, covariance in zip(found, covariances, strict=True):
        inputs = covariance[:-1, :-1]
        scale = np.sqrt(np.diag(inputs))
        if (scale > 0).all() and np.linalg.cond(inputs / scale[:, None] / scale) * np.finfo(np.float64).eps < 1:
            row[:] = np.linalg.solve(inputs, covariance[:-1, -1])
    return found


def _over(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    return values / np.where(unit > 0, unit, np.nan)


def _full(law: Laws) -> np.ndarray:
    """The covariances as (R, d, d)."""
    if law.covariances.ndim == 3:
        return law.covariances
    return law.covariances[:, :, None] * np.eye(law.means.shape[1])


def _factors(covariances: np.ndarray) -> np.ndarray:
    """F with S = F' F, (R, d, d); eigenvalues that are rounding are 0."""
    variances, directions = np.linalg.eigh(covariances)
    rounding = np.finfo(np.float64).eps * variances.shape[1] * variances[:, -1:]
    return np.sqrt(np.where(variances > rounding, variances, 0))[:, :, None] * directions.transpose(0, 2, 1)


def _log_determinants(law: Laws) -> np.ndarray:
    variances = law.variances
    fine = (variances > 0).all(axis=1)
    scale = np.where(fine[:, None], variances, 1)
    logs = np.log(scale).sum(axis=1)
    if law.covariances.ndim == 3:
        roots = np.sqrt(scale)
        correlations = np.where(fine[:, None, None], law.covariances, np.eye(scale.shape[1])) / roots[:, :, None]
        eigenvalues = np.linalg.eigvalsh(correlations / roots[:, None, :])
        fine &= eigenvalues[:, 0] > scale.shape[1] * np.finfo(np.float64).eps * eigenvalues[:, -1]
        logs += np.log(np.where(fine[:, None], eigenvalues, 1)).sum(axis=1)
    return np.where(fine, logs, np.nan)
