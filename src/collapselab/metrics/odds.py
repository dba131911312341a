"""The odds of an attribute: how much likelier a class is among the samples than among the real ones."""

import math
import re

import numpy as np

from ..core.errors import Undefined
from ..features import Array, Features
from .classes import with_classes
from .estimates import Estimate, Z
from .tails import CLASSES, ClassList


def attribute_odds(
    real: Features | Array, fake: Features | Array, *, classes: ClassList = ""
) -> dict[str, float | Estimate | Undefined]:
    """The odds of each class among the fakes over its odds among the real samples, by the class's number.

    (a + 1/2) (d + 1/2) / ((b + 1/2) (c + 1/2)),  a of class and b of others among the fakes, c and d among the real

    1 where the shares are equal. The halves keep it finite where a class is lost, and make its logarithm almost free of
    bias (Haldane 1956, https://doi.org/10.1111/j.1469-1809.1955.tb01285.x). The interval is exp(ln odds +- 1.96 s) with
    s^2 the sum of 1 / (count + 1/2) over the four counts (Gart 1966), by the chance of both sides.

    Guidance of weight w takes shares p that are even without a condition to about p^(1 + w): the odds o of one of two
    classes, 4 of 80/20, become o^(1 + w), so this number is o^w (``theory.guided_odds``).

    classes: the numbers of those to look at, as ``"3,7"``; one that does not occur among the real samples is Undefined.
    Raises Undefined without predicted classes, without rows, or where all real samples are of one class.
    """
    if not re.fullmatch(CLASSES, classes):
        raise ValueError(f"classes: found {classes!r}, allowed are numbers with commas between them")
    real, fake = with_classes(real, fake)
    there = np.unique(real.classes).tolist()
    if len(there) < 2:
        raise Undefined(f"real: all samples are of class {there[0]}, and odds are those against another")
    asked = dict.fromkeys(int(number) for number in classes.split(",")) if classes else there
    return {
        str(name): _odds(fake.classes == name, real.classes == name)
        if name in there
        else Undefined(f"real: class {name} does not occur")
        for name in asked
    }


def _odds(fake: np.ndarray, real: np.ndarray) -> Estimate:
    """The odds ratio of two series of hits, (n,) and (m,) bool."""
    hits, others = (np.array([np.count_nonzero(side), np.count_nonzero(~side)]) + 0.5 for side in (fake, real))
    logarithm = math.log(hits[0] / hits[1]) - math.log(others[0] / others[1])
    half = Z * math.sqrt(float((1 / hits).sum() + (1 / others).sum()))
    return Estimate(math.exp(logarithm), math.exp(logarithm - half), math.exp(logarithm + half))
