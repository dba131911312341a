"""The Fréchet distance between two clouds of features, each seen as a Gaussian."""

import numpy as np

from ..features import Features

BLOCK_ROWS = 4096


def frechet_distance(real: Features, fake: Features) -> float:
    """The squared 2-Wasserstein distance of the Gaussians with the moments of the real and the fake features.

    |mu_r - mu_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2))

    (Dowson and Landau 1982; as a score of generators, Heusel et al. 2017, arXiv 1706.08500, eq. 6). The exact moments
    of a population are used where they are known; otherwise the sample mean and the sample covariance over n - 1, so
    that two values are comparable only at equal n.

    No matrix square root is taken. With S = F^T F the trace of (S_r S_f)^(1/2) is the sum of the singular values of
    F_r F_f^T, which is accurate to rounding for the rank-deficient covariances that collapse makes: eigenvalues of
    S_r S_f would lose half of the digits there.

    real, fake: features of any numbers of rows, with the same number of columns d.
    Raises Undefined for fewer than 2 rows without exact moments, or features that are not finite.
    """
    (real_mean, real_factor), (fake_mean, fake_factor) = _mean_and_factor(real, "real"), _mean_and_factor(fake, "fake")
    if len(real_mean) != len(fake_mean):
        raise ValueError(
            f"features: found rows of {len(real_mean)} and of {len(fake_mean)} numbers, allowed are equal lengths"
        )
    shift = real_mean - fake_mean
    shared = np.linalg.svd(real_factor @ fake_factor.T, compute_uv=False).sum()
    distance = shift @ shift + np.sum(real_factor**2) + np.sum(fake_factor**2) - 2 * shared
    return max(float(distance), 0.0)  # rounding can leave a negative of the order of 1e-16 tr(S)


def _mean_and_factor(features: Features, role: str) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,) and a factor F (r, d) of the covariance F^T F, with r at most d."""
    if features.moments is not None:
        mean, covariance = features.moments
        return mean, _factor(covariance)
    features.require(2, role)
    values = features.values
    count, width = values.shape
    mean = values.mean(axis=0, dtype=np.float64)
    if count <= width:
        return mean, (values - mean) / np.sqrt(count - 1)  # (n, d)
    covariance = np.zeros((width, width))
    for start in range(0, count, BLOCK_ROWS):
        centred = values[start : start + BLOCK_ROWS] - mean
        covariance += centred.T @ centred
    return mean, _factor(covariance / (count - 1))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F (d, d) with covariance = F^T F: Cholesky's, or from eigenvectors where a direction has no variance."""
    try:
        return np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:
        variances, directions = np.linalg.eigh(covariance)
        return np.sqrt(np.maximum(variances, 0.0))[:, None] * directions.T
