"""Where a curve tends to: whether it levels off, or still moves, which a finite study must tell apart by laws.

Laws are compared that are nested in one another: a constant, in what levels off (to which an exponential and any power
of the generation below 0 belong), in what grows for ever (a logarithm, a power above 0, a line), in what grows ever
faster. Each is told from the next by a sum of a lineage's values with fixed weights, so that every test is a t-test
over lineages, whatever the errors of one lineage's generations have to do with one another:

bend   The pace in log t, early less late. Of the laws that grow for ever a + b log(t + s) slows most, and in log t not
       at all: what is seen to slow there levels off. The paces are those between the means of three windows, which
       double: T/8 < t <= T/4, T/4 < t <= T/2 and T/2 < t <= T.
rest   The pace of the second half, kept up for as many generations again, beside the change so far. A curve that slows
       at first and goes on in a line, as a sum of two causes does, has a rest: it has not levelled off.
speed  The slope of the second half less that of the first: what levels off never gains pace.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from .statistics import FEWEST, Estimate, contrast, estimate, is_constant

Curves = Mapping[str, Mapping[int, Mapping[int, float]]]  # arm -> seed -> generation -> value
FEWEST_GENERATIONS = 4  # after generation 0: below there is a window without one
STILL = 0.25  # of the change so far: what levels off moves by less in as many generations again


class Tendency(NamedTuple):
    """What the end of an arm's curve is like.

    word: constant; levels off; rises on or falls on, when it surely moves over the second half and is not seen to level
    off; cannot tell. change: from the first to the last generation. pace: the slope of the second half, a generation.
    speeds: whether it moves on in the direction of its change, and faster in the second half than in the first.
    level: the mean of the second half over lineages.
    """

    word: Literal["constant", "levels off", "rises on", "falls on", "cannot tell"]
    change: Estimate
    pace: Estimate
    speeds: bool
    level: float


def tendencies(found: Curves) -> dict[str, Tendency]:
    """What each arm's curve tends to.

    Left out are lineages of fewer than five generations, with a window empty, or with one generation in a half.
    """
    long = {arm: [_arrays(lineage) for lineage in of_seeds.values()] for arm, of_seeds in found.items()}
    long = {arm: [one for one in lines if _is_long(*one)] for arm, lines in long.items()}

    def over(statistic) -> dict[str, Estimate]:
        return estimate({arm: [statistic(*one) for one in lines] for arm, lines in long.items()})

    change, pace, bend, speed = over(_change), over(_pace), over(_bend), over(_speed)
    # What levels off would in as many generations again neither go on by a quarter of its change nor come back by it.
    onward = over(lambda time, values: _rest(time, values, -STILL))
    back = over(lambda time, values: _rest(time, values, STILL))
    told = {}
    for arm, lines in long.items():
        side = change[arm].side
        stays = side and onward[arm].side == -side and back[arm].side == side
        moves = {1: "rises on", -1: "falls on", 0: "cannot tell"}[pace[arm].side]
        word = "levels off" if stays and bend[arm].side == -side else moves
        if len(lines) >= FEWEST and all(is_constant(values) for _, values in lines):
            word = "constant"
        speeds = bool(side) and pace[arm].side == speed[arm].side == side
        level = float(np.mean([values[time > time[-1] / 2].mean() for time, values in lines])) if lines else np.nan
        told[arm] = Tendency(word, change[arm], pace[arm], speeds, level)
    return told


def tendencies_of_sizes(found: Curves) -> dict[str, Tendency]:
    """What each arm's curve tends to, of numbers that cannot fall below 0.

    There a power of the generation below 0 levels off at 0 itself, near which it is only long after. Its logarithm goes
    on for ever as that of the generation does, so that a fall is said to level off only where its logarithm does.
    """
    told = tendencies(found)
    sizes = {
        arm: {seed: {t: math.log(v) for t, v in lineage.items()} for seed, lineage in of_seeds.items()}
        for arm, of_seeds in found.items()
        if all(v > 0 for lineage in of_seeds.values() for v in lineage.values())
    }
    logs = tendencies(sizes)
    for arm, one in told.items():
        if one.word == "levels off" and one.change.side < 0 and (arm not in logs or logs[arm].word != "levels off"):
            told[arm] = one._replace(word="falls on" if one.pace.side < 0 else "cannot tell")
    return told


# -- the sums ----------------------------------------------------------------------------------------------------------


def _arrays(lineage: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(list(lineage), np.float64), np.array(list(lineage.values()), np.float64)


def windows(time: np.ndarray) -> list[np.ndarray]:
    """The generations (k,) in each of the three windows that double, as masks (k,)."""
    end = time[-1]
    return [(time > end / start) & (time <= end / stop) for start, stop in ((8, 4), (4, 2), (2, 1))]


def _is_long(time: np.ndarray, values: np.ndarray) -> bool:
    if len(time) <= FEWEST_GENERATIONS:
        return False
    halves = (time <= time[-1] / 2, time >= time[-1] / 2)
    return all(mask.any() for mask in windows(time)) and all(mask.sum() > 1 for mask in halves)


def _change(time: np.ndarray, values: np.ndarray) -> float:
    return contrast(values[[0, -1]], np.array([-1.0, 1.0]))


def _pace(time: np.ndarray, values: np.ndarray) -> float:
    return contrast(values, _slope_weights(time, time >= time[-1] / 2))


def _bend(time: np.ndarray, values: np.ndarray) -> float:
    means = np.array([mask / mask.sum() for mask in windows(time)])
    places = means @ np.log(np.maximum(time, 1))
    early, late = np.diff(means, axis=0) / np.diff(places)[:, None]
    return contrast(values, late - early)


def _speed(time: np.ndarray, values: np.ndarray) -> float:
    halves = [_slope_weights(time, mask) for mask in (time <= time[-1] / 2, time >= time[-1] / 2)]
    return contrast(values, halves[1] - halves[0])


def _rest(time: np.ndarray, values: np.ndarray, part: float) -> float:
    """What the pace of the second half adds in as many generations again, and a part of the change so far."""
    weights = (time[-1] - time[0]) * _slope_weights(time, time >= time[-1] / 2)
    weights[[0, -1]] += part * np.array([-1, 1])
    return contrast(values, weights)


def _slope_weights(time: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The weights (k,) whose sum with values is the least-squares slope over the generations of a mask."""
    apart = np.where(there, time - time[there].mean(), 0.0)
    return apart / (apart @ apart)
