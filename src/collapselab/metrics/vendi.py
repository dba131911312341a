"""How many different samples there are, in effect."""

from typing import Annotated

import numpy as np
from array_api_compat import array_namespace, device
from pydantic import Field

from ..core.distances import row_blocks
from ..core.errors import Undefined
from ..features import Features


def vendi_score(
    real: Features, fake: Features, *, order: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
) -> float:
    """The effective number of different fakes, from 1 for equal rows to n for rows at right angles.

    exp(- sum l log l) over the eigenvalues l of K / n, K_ij = cos(f_i, f_j)

    (Friedman and Dieng 2023, arXiv 2210.02410.) For k groups of equal size, equal within and at right
    angles to each other, it is k. Another order q weighs rare samples less or more: (sum l^q)^(1 / (1 - q)) (Pasarkar
    and Dieng 2024, arXiv 2310.12952). It grows with n, and is comparable at equal n only. The real samples have no part
    in it: their own score is the one to set it against.

    fake: (n, d); the eigenvalues are those of the smaller one of X X^T and X^T X, of rows of length 1.
    Raises Undefined without fakes, for rows of zeros, which have no direction, or features that are not finite.
    """
    if not 0 < order < np.inf:
        raise ValueError(f"order: found {order!r}, allowed are finite numbers above 0")
    fake = Features.of(fake)
    fake.require(1, "fake", largest=np.finfo(np.float64).max)  # lengths cancel
    xp, (count, width) = array_namespace(fake.values), fake.values.shape
    zeros = int(sum(xp.count_nonzero(xp.all(fake.values[rows, :] == 0, axis=1)) for rows in _blocks(fake)))
    if zeros:
        raise Undefined(f"fake: {zeros} of {count} rows are 0, which has no direction")
    if count <= width:
        rows = _directions(xp, fake.values)
        similarity = rows @ rows.T
    else:
        similarity = xp.zeros((width, width), dtype=xp.float64, device=device(fake.values))
        for block in _blocks(fake):
            rows = _directions(xp, fake.values[block, :])
            similarity += rows.T @ rows
    shares = xp.linalg.eigvalsh(similarity / count)
    shares = shares[shares > np.finfo(np.float64).eps]  # what is below is rounding, and counts for order < 1
    if order == 1:
        return float(xp.exp(-xp.sum(shares * xp.log(shares))))
    return float(xp.sum(shares**order) ** (1 / (1 - order)))


def _blocks(features: Features):
    return row_blocks(features.values, features.values.shape[1])


def _directions(xp, rows):
    """Rows of length 1, float64; from their largest number, since the square of a small one may vanish."""
    rows = xp.astype(rows, xp.float64)
    rows = rows / xp.max(xp.abs(rows), axis=1, keepdims=True)
    return rows / xp.linalg.vector_norm(rows, axis=1, keepdims=True)
