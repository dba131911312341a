"""How much the samples still vary, against the real ones."""

import numpy as np

from ..features import Features, Undefined

BLOCK_ROWS = 4096


def variance_ratio(real: Features, fake: Features) -> float:
    """The total variance of the fakes over that of the real samples: tr(S_f) / tr(S_r).

    1 where the spread is kept, falling towards 0 as a loop collapses, above 1 where it spreads. The exact moments of a
    population are used where they are known; otherwise the sample covariance over n - 1, whose trace is unbiased at any
    number of rows.

    Raises Undefined for fewer than 2 rows without exact moments, features that are not finite, or real samples that do
    not vary.
    """
    variance, fakes = _total_variance(real, "real"), _total_variance(fake, "fake")
    if variance == 0:
        raise Undefined("real: all rows are equal, and no variance can be compared with theirs")
    return fakes / variance


def _total_variance(features: Features, role: str) -> float:
    """The trace of the covariance: exactly 0 for equal rows."""
    if features.moments is not None:
        return float(np.trace(features.moments[1]))
    features.require(2, role)
    count = len(features)
    # From the first row, since the mean of equal numbers may differ from them by a rounding.
    first = features.values[0].astype(np.float64)
    blocks = [features.values[start : start + BLOCK_ROWS] for start in range(0, count, BLOCK_ROWS)]
    shift = sum((block - first).sum(axis=0) for block in blocks) / count
    return float(sum(np.square(block - first - shift).sum() for block in blocks) / (count - 1))
