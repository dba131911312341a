"""How much the samples still vary, against the real ones."""

from array_api_compat import array_namespace

from ..core.distances import centre, row_blocks
from ..core.errors import Undefined
from ..features import Features


def variance_ratio(real: Features, fake: Features) -> float:
    """The total variance of the fakes over that of the real samples: tr(S_f) / tr(S_r).

    1 where the spread is kept, falling towards 0 as a loop collapses, above 1 where it spreads. The exact moments of a
    population are used where they are known; otherwise the sample covariance over n - 1, whose trace is unbiased at any
    number of rows.

    Raises Undefined for fewer than 2 rows without exact moments, features that are not finite, or real samples that do
    not vary.
    """
    variance = _total_variance(Features.of(real), "real")
    fakes = _total_variance(Features.of(fake), "fake")
    if variance == 0:
        raise Undefined("real: all rows are equal, and no variance can be compared with theirs")
    return fakes / variance


def _total_variance(features: Features, role: str) -> float:
    """The trace of the covariance: exactly 0 for equal rows."""
    if features.moments is not None:
        return float(features.moments[1].trace())
    features.require(2, role)
    values = features.values
    xp, mean = array_namespace(values), centre(values)
    blocks = row_blocks(values, values.shape[1])
    return float(sum(xp.sum((values[rows, :] - mean) ** 2) for rows in blocks) / (len(features) - 1))
