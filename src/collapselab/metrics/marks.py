"""Whether a mark is found again, where it must not be, and whether a model has learnt it.

The features are columns of the extractor ``mark``; a sample counts as found where its p-value is at most the level that
the detector attains.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from ..features.mark import at_level
from ..marks.attacks import ATTACKS
from .estimates import Estimate, exact_share_of


def mark_detection(real: Features | Array, fake: Features | Array) -> Estimate:
    """The share of the fakes in which the mark is found, with the exact interval of a binomial share.

    Of marked samples, ``released`` ones, the rate of hits at the detector's rate of false alarms; of ``sampled`` ones,
    which nobody has marked, that rate itself, unless the model has learnt the mark (:func:`radioactivity`).
    """
    return exact_share_of(_found(fake, "fake"))


def mark_false_alarms(real: Features | Array, fake: Features | Array) -> Estimate:
    """The share of the real samples in which a mark is found, where nobody has put one.

    With the exact interval of a binomial share. The fakes have no part in it.
    """
    return exact_share_of(_found(real, "real"))


def mark_robustness(real: Features | Array, fake: Features | Array) -> dict[str, float]:
    """The share of marked fakes in which the mark is still found after each of the attacks.

    jpeg at quality 75; crop, the middle nine tenths of each side, enlarged again; resize, to half of each side and back
    (``marks.attacks``). Detectors look at what they are given: nobody sets a cut picture right before.

    Raises Undefined for samples that carry no mark, of which none can be lost.
    """
    if not _marked(fake):
        raise Undefined("fake: nobody has marked these samples")
    return {attack: float(np.mean(_found(fake, "fake", f"p_{attack}"))) for attack in ATTACKS}


def radioactivity(real: Features | Array, fake: Features | Array) -> Estimate:
    """How often the mark is found in samples that nobody has marked, over how often chance finds it.

        (hits / n) / level

    with the exact interval of Clopper and Pearson (1934) over the level. 1 for a model that knows nothing of the mark,
    as that of generation 0, which has seen real data alone; above 1 where a later one has learnt it from what it ate
    (radioactive: Sablayrolles et al. 2020, https://arxiv.org/abs/2002.00937). The level is the detector's on real data:
    samples of any model may differ from those, so look at the generations, too.

    Raises Undefined for marked samples, and for a detector that attains no level above 0.
    """
    found = _found(fake, "fake")
    if _marked(fake):
        raise Undefined("fake: these samples are marked; what a model has learnt shows in those that are not")
    level = float(_column(fake, "fake", "level")[0])
    if level == 0:
        raise Undefined("level: the detector has no false alarms at any threshold, and no rate to compare with")
    share = exact_share_of(found)
    return Estimate(float(share) / level, share.low / level, share.high / level)


def residual_share(
    real: Features | Array, fake: Features | Array, *, synthetic: Annotated[float, Field(gt=0, lt=1)] = 0.5
) -> dict[str, float]:
    """The synthetic share that is left when what carries the mark is thrown out of a mixture.

    theory: q (1 - b) / (q (1 - b) + (1 - q) (1 - a)) with q the share ``synthetic`` before, b the rate of hits among
    the marked fakes and a the level. found: of a mixture of the real samples and the fakes at hand, weighted to q, what
    is left of each: the false alarms as they were.

    Raises Undefined for samples without a mark, and where nothing is left of the mixture.
    """
    alarms, hits = _found(real, "real"), _found(fake, "fake")
    if not _marked(fake):
        raise Undefined("fake: nobody has marked these samples")
    level = float(_column(fake, "fake", "level")[0])
    kept = synthetic * (1 - float(np.mean(hits)))
    left = {"theory": (1 - synthetic) * (1 - level), "found": (1 - synthetic) * (1 - float(np.mean(alarms)))}
    if any(kept + others == 0 for others in left.values()):
        raise Undefined("nothing is left of the mixture: the mark is found in all samples, real ones among them")
    return {name: kept / (kept + others) for name, others in left.items()}


def _column(features: Features | Array, role: str, name: str) -> np.ndarray:
    """A column of what a detector told: (n,) float64. Raises Undefined without rows, ValueError for other features."""
    features = Features.of(features)
    if features.names is None or name not in features.names:
        raise ValueError(f"{role}: found columns {features.names}, allowed are those of mark, with {name!r}")
    features.require(1, role)
    return on_host(features.values)[:, features.names.index(name)].astype(np.float64)


def _found(features: Features | Array, role: str, column: str = "p") -> np.ndarray:
    """Which samples count as marked: (n,) bool."""
    return at_level(_column(features, role, column), _column(features, role, "level"))


def _marked(fake: Features | Array) -> bool:
    return bool(_column(fake, "fake", "marked")[0])
