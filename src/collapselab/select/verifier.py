"""An imperfect verifier, which knows right from wrong by chance."""

import numpy as np
from pydantic import Field

from ..core import seeds
from .base import Pool, Selection, ShareOptions


class VerifierOptions(ShareOptions):
    """How well a verifier knows right from wrong, and how much it hands over."""

    phi: float = Field(ge=0, le=1, description="chance that a right sample is accepted")
    psi: float = Field(ge=0, le=1, description="chance that a wrong sample is accepted")
    share: float = Field(gt=0, le=1, description="share of the samples that is kept: the first accepted ones")


def verifier(pool: Pool, options: VerifierOptions, seed: int) -> Selection:
    """The first ``share`` of the samples that an imperfect verifier accepts, each by chance of its own.

    A right sample, one that the known truth calls possible, is accepted with chance phi, a wrong one with psi. Of
    samples of which a share p is wrong, a share p psi / (p psi + (1 - p) phi) of the accepted ones is: below 1/2 for
    p < 1 / (1 + psi / phi), the threshold of Feng et al. (2024, arXiv 2406.07515). Which sample is accepted depends on
    its place, its judgement and ``seed`` alone. scores: 1 for right samples, 0 for wrong ones. Where fewer are accepted
    than are wanted, all that are accepted.
    """
    count = len(pool.samples)
    wanted = options.keeps(count)
    if not count:
        return Selection(np.arange(0), np.empty(0), (), "verifier")
    features = pool.seen["truth"].samples
    right = np.asarray(features.values)[:, features.names.index("possible")] > 0
    uniform = seeds.uniforms(seed, 0, count, 1)[:, 0]
    accepted = np.flatnonzero(uniform < np.where(right, options.phi, options.psi))
    rows = accepted[:wanted]
    reasons = tuple("right, accepted" if good else "wrong, accepted" for good in right[rows])
    return Selection(rows, right[rows].astype(np.float64), reasons, "verifier")
