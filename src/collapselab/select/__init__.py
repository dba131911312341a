"""Which samples are kept, why, and by whom."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core import seeds
from ..core.sets import SampleSet

if TYPE_CHECKING:  # who selects by no features does not depend on how they are made
    from ..features import Features


@dataclass(frozen=True)
class Selection:
    """The rows that are kept.

    rows: (n,) int64, ascending. scores: (n,) float64, NaN where the selector has none. reasons: n words. judge: who
    decided. altered: (n, ...) samples that take the place of the kept rows where a correction changed them, or None.
    """

    rows: np.ndarray
    scores: np.ndarray
    reasons: tuple[str, ...]
    judge: str
    altered: np.ndarray | None = None


class Seen(NamedTuple):
    """What a selector may look at: the samples and the training split, in the feature space that it ``reads``.

    Never the held-out images, which the metrics compare with: the judge is not the prosecutor.
    """

    samples: "Features"
    train: "Features"


class Options(BaseModel):
    """Options of one selector."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Selector(NamedTuple):
    """A way to select.

    select: ``f(samples, seen, options, seed) -> Selection``. reads: the extractor whose features it is ``seen``; None
    for a selector that looks at no features, which gets None.
    """

    Options: type[Options]
    select: Callable[[SampleSet, Seen | None, Any, int], Selection]
    reads: str | None = None


class NoOptions(Options):
    """Nothing to choose."""


def nobody(samples: SampleSet, seen: Seen | None, options: NoOptions, seed: int) -> Selection:
    """Every sample is kept."""
    count = len(samples)
    return Selection(np.arange(count), np.full(count, np.nan), ("all",) * count, "nobody")


class RandomOptions(Options):
    """How much chance keeps."""

    share: float = Field(gt=0, le=1, description="share of the samples that is kept")


def random(samples: SampleSet, seen: Seen | None, options: RandomOptions, seed: int) -> Selection:
    """A share of the samples, drawn without replacement: the control of every other selector."""
    count = round(options.share * len(samples))
    rows = np.sort(seeds.generator(seed).permutation(len(samples))[:count])
    return Selection(rows, np.full(count, np.nan), ("drawn",) * count, "chance")


class VerifierOptions(Options):
    """How well a verifier knows right from wrong, and how much it hands over."""

    phi: float = Field(ge=0, le=1, description="chance that a right sample is accepted")
    psi: float = Field(ge=0, le=1, description="chance that a wrong sample is accepted")
    share: float = Field(gt=0, le=1, description="share of the samples that is kept: the first accepted ones")


def verifier(samples: SampleSet, seen: Seen | None, options: VerifierOptions, seed: int) -> Selection:
    """The first ``share`` of the samples that an imperfect verifier accepts, each by chance of its own.

    A right sample, one that the known truth calls possible, is accepted with chance phi, a wrong one with psi. Of
    samples of which a share p is wrong, a share p psi / (p psi + (1 - p) phi) of the accepted ones is: below 1/2 for
    p < 1 / (1 + psi / phi), the threshold of Feng et al. (2024, arXiv 2406.07515). Which sample is accepted depends on
    its place, its judgement and ``seed`` alone. scores: 1 for right samples, 0 for wrong ones.

    Raises ValueError when fewer are accepted than are to be kept.
    """
    wanted = round(options.share * len(samples))
    if not len(samples):
        return Selection(np.arange(0), np.empty(0), (), "verifier")
    features = seen.samples
    right = np.asarray(features.values)[:, features.names.index("possible")] > 0
    uniform = seeds.uniforms(seed, 0, len(samples), 1)[:, 0]
    accepted = np.flatnonzero(uniform < np.where(right, options.phi, options.psi))
    if len(accepted) < wanted:
        found = f"{options.share:g} of {len(samples)} samples, {wanted}"
        raise ValueError(f"share: found {found}, allowed are the {len(accepted)} that the verifier accepts, or fewer")
    rows = accepted[:wanted]
    reasons = tuple("right, accepted" if good else "wrong, accepted" for good in right[rows])
    return Selection(rows, right[rows].astype(np.float64), reasons, "verifier")


SELECTORS: dict[str, Selector] = {
    "nobody": Selector(NoOptions, nobody),
    "random": Selector(RandomOptions, random),
    "verifier": Selector(VerifierOptions, verifier, reads="truth"),
}
