"""A model that learns a training set by updates of low rank, which are merged into its weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from ..core.run import Run
from .base import Adapted, Given
from .tuning import TuningOptions


class LowRankOptions(TuningOptions):
    """How long and how fast it learns, and by updates of which rank."""

    rank: int = Field(
        4, ge=0, description="rank of the updates of the network's matrices (LoRA); 0: all of its weights move"
    )


def low_rank(model: Any, given: Given, options: LowRankOptions, run: Run) -> Adapted:
    """The model after a training on ``given.training`` by its own loss, in which its matrices move by a low rank.

    W + B A of rank r (LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685), merged afterwards into plain weights. A
    loop that does so in every generation is bounded by r in each, and not in all of them together: the sum of k updates
    of rank r has rank k r. facts: ``merged``, how far from low rank the sum of all updates since the first of
    ``given.ancestors`` (or since the model, without any) has come, see :func:`merged`.
    """
    from .continuing import Further
    from .denoising import moved_by

    tuned, _ = moved_by(Further, model, given.training, options, run)
    first = given.ancestors[0] if given.ancestors else model
    return Adapted(tuned, {"merged": merged(first.weights(), tuned.weights(), options.rank)})


def merged(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], rank: int) -> dict[str, float]:
    """Of the updates of all matrices: their mean ``rank`` (numerical, as numpy counts it in float32), and the mean
    share ``beyond`` that no update of rank ``rank`` has, see :func:`tail`."""
    changes = [after[name] - array for name, array in before.items() if array.ndim > 1]
    matrices = [np.asarray(one, np.float64).reshape(len(one), -1) for one in changes]
    # What stands in float32 is known to half a unit of its last place; a lower rank could hide no more.
    rounding = [2.0**-24 * np.abs(after[n]).max() for n, array in before.items() if array.ndim > 1]
    ranks = [
        int(np.linalg.matrix_rank(one, tol=2 * unit * np.sqrt(one.size)))
        for one, unit in zip(matrices, rounding, strict=True)
    ]
    return {"rank": float(np.mean(ranks)), "beyond": float(np.mean([tail(one, rank) for one in matrices]))}


def tail(matrix: np.ndarray, rank: int) -> float:
    """The share of a matrix's squares that its best approximation of a rank leaves: sum_{i > r} s_i^2 / sum_i s_i^2.

    s: its singular values, in falling order (Eckart and Young 1936). 0 of a matrix of zeros.
    """
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    return float(squares[rank:].sum() / squares.sum()) if squares.any() else 0.0
