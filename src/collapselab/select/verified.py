"""A verifier who believes in one linear law, right or wrong, and lets pass what lies near to it."""

import numpy as np
from pydantic import Field

from ..core.facts import Facts
from .base import Pool, Selection, ShareOptions


class VerifiedOptions(ShareOptions):
    """What the verifier believes, and how strict it is."""

    centre: tuple[float, ...] = Field(
        min_length=1,
        description="the coefficients in which it believes, one an input, or one number for all; it may be off",
    )
    radius: float = Field(
        gt=0, allow_inf_nan=False, description="how far an output may lie from the one that it expects"
    )
    share: float = Field(gt=0, le=1, description="share of the samples that is kept: the first accepted ones")


def verified(pool: Pool, options: VerifiedOptions, seed: int) -> Selection:
    """The first ``share`` of the samples whose output lies in the ball |y - x . centre| <= radius.

    A row is [x, y], its output last. A regression that is fitted to what is let pass goes towards the centre by a
    factor below 1 in every generation, whether the centre is the truth or not (Yi et al. 2025, arXiv 2510.16657;
    :func:`~collapselab.theory.verified_distance` has it). scores: |y - x . centre|. There is no chance in it.

    Raises ValueError for rows of another number of inputs than the centre has.
    """
    count = len(pool)
    if not count:
        return Selection(np.arange(0), np.empty(0), (), "verified")
    rows = pool.samples.data
    inputs, centre = rows.shape[1] - 1, np.asarray(options.centre)
    if len(centre) not in (1, inputs):
        raise ValueError(f"centre: found {len(centre)} numbers, allowed are {inputs}, one an input, or 1 for all")
    off = np.abs(rows[:, -1] - np.einsum("nd,d->n", rows[:, :-1], np.broadcast_to(centre, inputs)))
    kept = np.flatnonzero(off <= options.radius)[: options.keeps(count)]
    return Selection(kept, off[kept].astype(np.float64), ("within the ball",) * len(kept), "verified")


def fault(facts: Facts, options: VerifiedOptions) -> str:
    """A centre of another number of inputs."""
    inputs = facts.shape[0] - 1
    if inputs >= 1 and len(options.centre) in (1, inputs):
        return ""
    return f"centre: found {len(options.centre)} numbers, allowed are {inputs}, one an input, or 1 for all"
