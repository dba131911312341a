"""What the model itself thinks of samples: bits per dimension, over-fitting, and whether its confidence is earned.

The features are bits per dimension under the model of each generation, one column, as the extractor ``likelihood``
gives them: fewer bits, more likely. ``real`` are real samples as that model sees them, ``fake`` its own samples.
"""

import numpy as np

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from .estimates import Estimate, from_error, mean_of
from .ranks import superiority


def bits_per_dimension(real: Features | Array, fake: Features | Array) -> Estimate:
    """The mean bits per dimension of the real samples, - log2 p(x) / d, with a bootstrap interval.

    Of images, the mass of the image as it is stored: 8 bits say that nothing is known about uint8 pixels. Of vectors, a
    density, so that bits change with the unit of the data and can be below 0. Of categories, their mass. The fakes have
    no part in it. (Theis, van den Oord and Bethge 2016, arXiv 1511.01844, section 3.1.)

    real: (n, 1). Raises Undefined without rows, where the model has no density, or where a real sample is impossible
    under it: the mean is then infinite, whatever the others have.
    """
    return mean_of(_finite(real, "real"))


def likelihood_gap(real: Features | Array, fake: Features | Array, *, held_out: Features | Array) -> Estimate:
    """By how many bits per dimension the model holds real samples that were held out for less likely than real ones.

    mean of bits(held_out) - mean of bits(real)

    with ``real`` the real samples that a study may train on: 0 in expectation for a model that has learnt the law,
    above 0 for one that has learnt its training samples. The interval is that of two independent means. The fakes have
    no part in it.

    real, held_out: (n, 1). Raises Undefined for fewer than 2 rows, and as :func:`bits_per_dimension`.
    """
    known, new = _finite(real, "real", 2), _finite(held_out, "held_out", 2)
    error = np.sqrt(known.var(ddof=1) / len(known) + new.var(ddof=1) / len(new))
    return from_error(float(new.mean() - known.mean()), float(error))


def coverage_calibration(real: Features | Array, fake: Features | Array) -> dict[str, float | Estimate]:
    """Whether the region of highest density that holds a share a of the model's samples holds as many real samples.

    With F_f and F_r the shares of fakes and of real samples that have at most b bits, the region of level a = F_f(b)
    holds the share F_r(b) of the real samples; a calibrated model has F_r = F_f. Three numbers say how far it is off:

        kolmogorov       max over b of |F_r(b) - F_f(b)|
        mean_absolute    mean over the fakes' b of |F_r(b) - F_f(b)|
        overconfidence   P(bits of a real sample > bits of a fake) - 1/2, ties counted half: the mean of a - F_r over a

    overconfidence is from -1/2 to 1/2. A collapsed model thinks too highly of its own samples: real samples lie outside
    of its regions, and it is above 0; a model that is too broad has it below 0. Drawn from the model, n real samples
    and m fakes have overconfidence 0 with variance (m + n + 1) / (12 m n), the two-sample statistic of Kolmogorov and
    Smirnov, and in the limit of many a mean_absolute of sqrt(pi / 32) sqrt(1 / m + 1 / n). Real samples that the model
    holds for impossible are outside of every region. (Regions of highest density as a measure of calibration: Chung,
    Char and Schneider 2024, ICML, "Sampling-based multi-dimensional recalibration".)

    real, fake: (n, 1). Raises Undefined for fewer than 2 rows, or where the model has no density.
    """
    bits = {role: _bits(side, role, 2) for role, side in (("real", real), ("fake", fake))}
    values = np.concatenate([bits["fake"], bits["real"]])
    below = {role: np.searchsorted(np.sort(side), values, side="right") / len(side) for role, side in bits.items()}
    distance = np.abs(below["real"] - below["fake"])
    share, error, _ = superiority(bits["real"], bits["fake"])
    return {
        "kolmogorov": float(distance.max()),
        "mean_absolute": float(distance[: len(bits["fake"])].mean()),
        "overconfidence": from_error(share - 0.5, error),
    }


def _bits(features: Features | Array, role: str, rows: int = 1) -> np.ndarray:
    """Bits per dimension (n,) float64, inf among them."""
    values = on_host(Features.of(features).values).astype(np.float64)
    if values.shape[1] != 1:
        raise ValueError(f"{role}: found rows of {values.shape[1]} numbers, allowed is 1: bits per dimension")
    if len(values) < rows:
        raise Undefined(f"{role}: found {len(values)} rows, needed are at least {rows}")
    unknown = np.count_nonzero(np.isnan(values))
    if unknown:
        raise Undefined(f"{role}: the model has no density at {unknown} of {len(values)} rows")
    return values[:, 0]


def _finite(features: Features | Array, role: str, rows: int = 1) -> np.ndarray:
    bits = _bits(features, role, rows)
    impossible = np.count_nonzero(np.isinf(bits))
    if impossible:
        raise Undefined(
            f"{role}: {impossible} of {len(bits)} rows are impossible under the model, at infinitely many bits"
        )
    return bits
