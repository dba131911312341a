"""How judges that only seem to be people decide, and what of theirs is fitted to what people decided."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..select.simulated import Adversarial, Biased, Graded, Noisy, Perfect, Simulated, Tired
from .eyes import Impression

FARTHEST = 10.0  # log realism beyond which nobody sees a difference: a copy of a real image has an infinite one
RIDGE = 1e-3  # of the squared slope, in units of one judgement, so that judges who never err have a slope, too
STEPS = 100


class Turn(NamedTuple):
    """When an image is judged: the how-manieth item it is, from 0, of how many."""

    place: int
    of: int


def chance_of_good(judge: Simulated, seen: Impression, turn: Turn) -> float:
    """The chance in [0, 1] that a simulated judge calls an image good."""
    return CHANCES[type(judge.policy)](judge.policy, seen.quality >= judge.threshold, seen, turn)


def chance_in_training(judge: Simulated, seen: Impression) -> float:
    """The same on the training screen, where an adversary answers as whoever wants to be let in."""
    honest = Simulated(perfect=Perfect(), threshold=judge.threshold) if judge.adversarial else judge
    return chance_of_good(honest, seen, Turn(0, 1))


def _turned(good: bool, error: float) -> float:
    """The chance of good where an answer is turned round with the chance ``error``."""
    return 1 - error if good else error


def _tired(policy: Tired, good: bool, seen: Impression, turn: Turn) -> float:
    way = turn.place / max(turn.of - 1, 1)
    return _turned(good, policy.error + (policy.at_last - policy.error) * way)


def _biased(policy: Biased, good: bool, seen: Impression, turn: Turn) -> float:
    return 1.0 if good else policy.bias * (seen.of_class == policy.towards)


def _graded(policy: Graded, good: bool, seen: Impression, turn: Turn) -> float:
    return float(logistic(np.array(policy.slope * (np.clip(seen.quality, -FARTHEST, FARTHEST) - policy.threshold))))


CHANCES: Mapping[type, Callable[[Any, bool, Impression, Turn], float]] = {
    Perfect: lambda policy, good, seen, turn: float(good),
    Noisy: lambda policy, good, seen, turn: _turned(good, policy.error),
    Tired: _tired,
    Biased: _biased,
    Adversarial: lambda policy, good, seen, turn: float(not good),
    Graded: _graded,
}


def logistic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(x / 2))


def fitted(quality: np.ndarray, good: np.ndarray) -> Graded:
    """The graded judge by whom the judgements are most likely, of those whose slope is not needlessly steep.

    Maximises sum log p - RIDGE slope^2 / 2 by Newton's method, p = logistic(slope quality - a), threshold = a / slope.
    quality: (n,) log realism, whose infinite ends count as :data:`FARTHEST`. good: (n,) bool, what was said.
    Raises ValueError unless there are both answers, and two qualities.
    """
    quality, good = np.clip(np.asarray(quality, np.float64), -FARTHEST, FARTHEST), np.asarray(good, bool)
    if len(np.unique(good)) < 2 or len(np.unique(quality)) < 2:
        raise ValueError("ballots: found one answer alone, or images of one quality; nothing can be fitted to them")
    design = np.stack([quality, np.ones(len(quality))], axis=1)
    weights, penalty = np.zeros(2), np.array([RIDGE, 0.0])

    def likelihood(weights: np.ndarray) -> float:
        x = design @ weights
        return float(-np.logaddexp(0, np.where(good, -x, x)).sum() - (penalty * weights**2).sum() / 2)

    for _ in range(STEPS):
        p = logistic(design @ weights)
        gradient = design.T @ (good - p) - penalty * weights
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty + 1e-12)
        step = np.linalg.solve(curvature, gradient)
        while likelihood(weights + step) < likelihood(weights) and np.abs(step).max() > 1e-12:
            step /= 2
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    slope, offset = weights
    if abs(slope) < 1e-6:  # quality tells nothing: a coin, whose threshold would lie anywhere
        raise ValueError("ballots: what people said hangs on no quality that this extractor sees; try another one")
    return Graded(slope=float(np.clip(slope, -1e3, 1e3)), threshold=float(np.clip(-offset / slope, -1e3, 1e3)))
