"""Whether what was measured agrees with a prediction: a test of the replicates, generation by generation."""

from dataclasses import dataclass

import numpy as np

from ..core.significance import holm
from ..measure.roles import roles_of
from .setting import Prediction

SIGNIFICANCE = 0.01  # the chance that an arm that follows its law is said to leave it at any generation
FEWEST = 3  # replicates from which their own spread can be told
SET_APART = 5  # replicates that must differ from the commonest value before their spread says something


@dataclass(frozen=True, eq=False)
class Agreement:
    """Whether replicates follow a prediction.

    replicates: (generations + 1,) how many have a value. measured: their mean. error: the standard error of that mean,
    from theory where it knows the spread, else from the replicates. z: (measured - predicted) / error, nan where
    nothing can be told. departs: the generations at which they differ, in ascending order. sentence: the same in words,
    to follow the name of an arm.
    """

    replicates: np.ndarray
    measured: np.ndarray
    error: np.ndarray
    z: np.ndarray
    departs: list[int]
    sentence: str


def agreement(prediction: Prediction, values: np.ndarray) -> Agreement:
    """Whether the replicates follow the law, at a level of 99 percent for the whole curve.

    At every generation the mean of R replicates is compared with the expectation. Its standard error is sd / sqrt(R)
    with the sd of the law, else s / sqrt(R) with that of the replicates. The p-values, two-sided (one-sided for an
    upper bound), are those of a normal or a t(R - 1) law. Means of few squares are far from normal, so where the
    endpoint cannot be negative, they are not below those of a gamma and of a lognormal law of the same mean and
    variation. Holm (1979) corrects them over the generations. By simulation, of loops that follow their law one in a
    hundred is rejected or fewer; but up to one in ten, where the spread of a skewed endpoint has to be estimated from 8
    to 30 replicates. A law of infinitely many rows is not tested.

    values: (replicates, generations + 1), NaN where there is none; those that are there are taken. A generation is not
    tested where the law gives no spread and fewer than three replicates have a value, or fewer than five of them differ
    from the commonest value: nothing can be told from them. Nor is one tested at which a log determinant lacks in some
    replicate: it is undetermined where it is least, and the mean of the others is too high. Raises ValueError when the
    generations are not those of the prediction.
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    expected = prediction.mean
    if values.shape[1] != len(expected):
        raise ValueError(f"values: found {values.shape[1]} generations, allowed are {len(expected)}")
    columns = [column[np.isfinite(column)] for column in values.T]
    replicates = np.array([len(column) for column in columns])
    measured = np.array([column.mean() if len(column) else np.nan for column in columns])
    if prediction.sd is not None:
        spread, freedom = np.where(replicates > 0, prediction.sd, np.nan), np.full(len(expected), np.inf)
    else:
        spread = np.array([column.std(ddof=1) if _varied(column) else np.nan for column in columns])
        freedom = replicates - 1.0
    if roles_of(prediction.metric).censored:
        spread = np.where(replicates == np.isfinite(values).any(axis=1).sum(), spread, np.nan)
    error = np.where(spread > 0, spread, np.nan) / np.sqrt(np.maximum(replicates, 1))
    z = (measured - expected) / error
    chances = _chances(prediction, measured, error, freedom)
    # What is the same in every replicate, and what the law says, follows it.
    exact = np.array(
        [len(column) > 0 and bool((column == mean).all()) for column, mean in zip(columns, expected, strict=True)]
    )
    z[exact], chances[exact] = 0.0, 1.0
    if prediction.bound == "large":
        z, chances = np.full_like(z, np.nan), np.full_like(chances, np.nan)
    departs = _rejected(chances)
    sentence = _sentence(prediction, measured, error, z, chances, departs)
    return Agreement(replicates, measured, error, z, departs, sentence)


def _varied(column: np.ndarray) -> bool:
    """Whether the spread of these values says something."""
    if len(column) < FEWEST:
        return False
    _, counts = np.unique(column, return_counts=True)
    return len(column) - counts.max() >= min(SET_APART, len(column) - 1)


def _chances(prediction: Prediction, measured: np.ndarray, error: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """The p-value of every generation, NaN where there is no error."""
    from scipy import special, stats

    def of_t(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return stats.t.cdf(z, freedom), stats.t.sf(z, freedom)  # normal, where the freedom is infinite

    expected = prediction.mean
    tails = [of_t((measured - expected) / error)]
    if roles_of(prediction.metric).squares and (expected > 0).all():
        ratio = np.maximum(measured / expected, np.finfo(float).tiny)
        # Replicates' own spread grows and falls with their mean, so it is taken in proportion.
        variation = error / (expected if prediction.sd is not None else np.maximum(measured, np.finfo(float).tiny))
        width = np.sqrt(np.log1p(variation**2))
        shape = variation**-2
        tails += [
            of_t((np.log(ratio) + width**2 / 2) / width),
            (special.gammainc(shape, shape * ratio), special.gammaincc(shape, shape * ratio)),
        ]
    below, above = np.max(tails, axis=0)
    return above if prediction.bound == "upper" else np.minimum(1.0, 2 * np.minimum(below, above))


def _rejected(chances: np.ndarray) -> list[int]:
    """The generations whose p-values Holm's step-down test rejects."""
    corrected = holm({int(t): chances[t] for t in np.flatnonzero(np.isfinite(chances))})
    return sorted(t for t, chance in corrected.items() if chance <= SIGNIFICANCE)


def _sentence(
    prediction: Prediction,
    measured: np.ndarray,
    error: np.ndarray,
    z: np.ndarray,
    chances: np.ndarray,
    departs: list[int],
) -> str:
    if prediction.bound == "large":
        return "stands beside a law of infinitely many rows, against which a loop of finite ones is not tested"
    tested = np.flatnonzero(np.isfinite(chances))
    if not len(tested):
        return f"cannot be held against the law: fewer than {FEWEST} replicates, or too few that differ"
    follows = "follows the law" if prediction.bound == "equal" else "stays under the bound"
    if not departs:
        where = f"all {len(tested)} generations" if len(tested) > 1 else f"generation {tested[0]}"
        untold = len(prediction.mean) - len(tested)
        return f"{follows} at {where}" + (f" that can be tested ({untold} cannot)" if untold else "")
    worst = max(departs, key=lambda t: abs(z[t]))
    leaves = "leaves it" if prediction.bound == "equal" else "exceeds the bound"
    if departs == [t for t in tested if t >= departs[0]] and len(departs) > 1:
        where = f"from generation {departs[0]} on"
    else:
        where = (
            f"at generation {departs[0]}" if len(departs) == 1 else f"at {len(departs)} of {len(tested)} generations"
        )
    numbers = f"measured {measured[worst]:.3g}, predicted {prediction.mean[worst]:.3g} +- {error[worst]:.2g}"
    at_worst = f"at generation {worst} " if len(departs) > 1 else ""
    return f"{leaves} {where}: {at_worst}{numbers} ({abs(z[worst]):.1f} standard errors)"
