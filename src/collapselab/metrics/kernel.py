"""The kernel distance between two clouds of features."""

import numpy as np
from array_api_compat import array_namespace, device

from ..core.distances import check_alike, on_host, row_blocks
from ..features import Array, Features
from .estimates import Estimate, from_error

DEGREE = 3


def kernel_distance(real: Features, fake: Features) -> Estimate:
    """The squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, without bias, and its interval.

    sum_{i != j} k(r_i, r_j) / (m (m - 1)) + sum_{i != j} k(f_i, f_j) / (n (n - 1)) - 2 sum_ij k(r_i, f_j) / (m n)

    (KID: Binkowski et al. 2018, arXiv 1801.01401; Gretton et al. 2012, eq. 3.) Its expectation is 0 when
    both are drawn from the same law, at any number of rows, so single values are negative. All rows take part, where
    others average over random subsets. The interval is 1.96 standard errors to either side, by the jackknife that
    leaves out one row at a time (Arvesen 1969), exactly, from the sums of the kernel's rows; under the same law it
    errs on the wide side.

    real (m, d), fake (n, d). Raises Undefined for fewer than 3 rows, or features that are not finite.
    """
    real, fake = Features.of(real), Features.of(fake)
    real.require(3, "real")
    fake.require(3, "fake")
    sums = [side.once("kernel sums", lambda values=side.values: on_host(_sums_within(values))) for side in (real, fake)]
    across = [on_host(part) for part in _sums_across(real.values, fake.values)]
    value = _mmd2(sums[0].sum(), sums[1].sum(), across[0].sum(), len(real), len(fake))
    variance = 0.0
    for own, other, cross in ((*sums, across[0]), (*sums[::-1], across[1])):
        left = _mmd2(own.sum() - 2 * own, other.sum(), cross.sum() - cross, len(own) - 1, len(other))
        variance += (len(own) - 1) * np.var(left)
    return from_error(value, float(np.sqrt(variance)))


def polynomial_mmd2(real: Array, fake: Array) -> float:
    """The value of :func:`kernel_distance` of two arrays (m, d) and (n, d), of two rows or more: for subsets."""
    real, fake = Features.of(real), Features.of(fake)
    real.require(2, "real")
    fake.require(2, "fake")
    within = [float(_sums_within(side.values).sum()) for side in (real, fake)]
    across = float(_sums_across(real.values, fake.values)[0].sum())
    return _mmd2(*within, across, len(real), len(fake))


def _mmd2(real, fake, across, m: int, n: int):
    """From the sums of the kernel within the real rows, within the fakes, and across."""
    value = real / (m * (m - 1)) + fake / (n * (n - 1)) - 2 * across / (m * n)
    return value if np.ndim(value) else float(value)


def _sums_within(values: Array) -> Array:
    """The kernel of each row with all others, summed: (n,) float64. Each product is computed once for both rows."""
    xp = array_namespace(values)
    sums = xp.zeros(len(values), dtype=xp.float64, device=device(values))
    values = xp.astype(values, xp.float64)
    for rows in row_blocks(values, len(values)):
        kernel = _kernel(values[rows, :], values[rows.start :, :])
        count = rows.stop - rows.start
        own = xp.arange(count, device=device(values))
        kernel[own, own] = 0.0
        sums[rows] += xp.sum(kernel, axis=1)
        sums[rows.stop :] += xp.sum(kernel[:, count:], axis=0)
    return sums


def _sums_across(real: Array, fake: Array) -> tuple[Array, Array]:
    """The kernel of each real row with all fakes, summed, and of each fake with all real rows: (m,), (n,) float64."""
    check_alike(real, fake)
    xp = array_namespace(real, fake)
    of_reals = xp.empty(len(real), dtype=xp.float64, device=device(real))
    of_fakes = xp.zeros(len(fake), dtype=xp.float64, device=device(real))
    fake = xp.astype(fake, xp.float64)
    for rows in row_blocks(real, len(fake)):
        kernel = _kernel(xp.astype(real[rows, :], xp.float64), fake)
        of_reals[rows] = xp.sum(kernel, axis=1)
        of_fakes += xp.sum(kernel, axis=0)
    return of_reals, of_fakes


def _kernel(rows: Array, others: Array) -> Array:
    base = rows @ (others / others.shape[1]).T
    base += 1
    kernel = base * base
    for _ in range(DEGREE - 2):
        kernel *= base
    return kernel
