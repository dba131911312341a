"""What others make of a metric's numbers: what it stands for, what it is the truth of, and its sums over many laws."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from .stacks import Laws

Stood = Literal["risk", "variance", "modes", "tails", "reality"]


@dataclass(frozen=True)
class Roles:
    """What is concluded from the numbers of a metric, which do not depend on it.

    stands_for: what the definitions of collapse speak of and it can stand for: the risk, which is larger where samples
    are worse; the variance, the tails or reality, which are smaller; or the modes, as a named share for each of them.
    losable: it is lost in a collapse, and can halve.
    truth_of: the metric that estimates what this one knows. rest: what it knows is the rest to one.
    artefact: it is the power of an artefact over that of real data, of which the growth a generation is told.
    squares: it is a mean of squares: never negative, and far from normal where they are few.
    filtered: what somebody who selects does is told by it, beside chance.
    censored: it is undetermined where it is least, so that a mean over those that are determined is too high.
    forgets: a model that was to forget is judged by it, beside one that was trained without what is forgotten.
    parts: what its numbers are called where it gives several; ``{class}``, ``{region}`` and ``{level}`` are numbers,
    ``{column}`` is the name of a column of the features. Left out, a study may name any.
    """

    stands_for: tuple[Stood, ...] = ()
    losable: bool = False
    truth_of: str | None = None
    rest: bool = False
    artefact: bool = False
    squares: bool = False
    filtered: bool = False
    censored: bool = False
    forgets: bool = False
    parts: tuple[str, ...] = ()


class Stacked(NamedTuple):
    """A metric of many laws at once.

    function: (real, fake) -> (R,) float64, NaN where it is not determined: the metric on the exact moments of each law.
    covariances: whether it looks at the covariances, a matrix of each law.
    """

    function: Callable[[Laws, Laws], np.ndarray]
    covariances: bool = False
