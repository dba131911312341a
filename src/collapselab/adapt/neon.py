"""Neon: a model moved away from what its own samples teach it."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from ..core.choice import Options
from ..core.run import Run
from ..features.base import ExtractorName, Features, taken
from ..metrics import frechet_distance, kernel_distance
from ..models.capabilities import Trainable, Varies
from ..models.tuning import taught
from .base import Adapted, Given

FEWEST = 3  # rows of a fold: the kernel distance needs as many
DISTANCES: Mapping[str, Callable[..., float]] = {
    "kernel_distance": kernel_distance,
    "frechet_distance": frechet_distance,
}


class NeonOptions(Options):
    """How the second model is trained, and how far the first is moved away from it."""

    samples: int = Field(1000, ge=2, description="own samples that the second model is trained on")
    images_seen: int = Field(
        0, ge=0, description="budget of that training, in images; 0 for a family that is fitted by a formula"
    )
    weight: float | None = Field(
        None, allow_inf_nan=False, description="w; null: its sign and its size are chosen on the validation rows"
    )
    weights: tuple[float, ...] = Field(
        (0.25, 0.5, 1.0, 1.5, 2.0), min_length=1, description="sizes of w to choose from; the smallest finds the sign"
    )
    extractor: ExtractorName | None = Field(
        None, description="through which validation rows are looked at; needed where w is chosen, and only there"
    )
    by: Literal["kernel_distance", "frechet_distance"] = Field(
        "kernel_distance",
        description="what is made small: kernel_distance has no bias; frechet_distance (the paper's) of few rows "
        "favours a model that varies less",
    )
    folds: int = Field(10, ge=5, description="parts of the validation rows that vote on the sign of w")
    level: float = Field(
        0.05, gt=0, le=1, description="largest p-value of that vote (sign test, two-sided) at which the model is moved"
    )
    scale: Literal["linear", "logarithm"] = Field(
        "linear", description="logarithm: variances and covariances among the weights are moved in their logarithm"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.weight is None and self.extractor is None:
            raise ValueError("extractor: found null; where weight is null it is chosen by samples: say through which")
        if self.weight is not None and self.extractor is not None:
            raise ValueError("extractor: nothing is looked at where weight is a number; leave one of them out")
        if not all(0 < one < math.inf for one in self.weights) or len(set(self.weights)) < len(self.weights):
            raise ValueError(f"weights: found {list(self.weights)}, allowed are numbers above 0, each once")
        if 2 * 0.5**self.folds > self.level:
            raise ValueError(
                f"folds: {self.folds} that all agree have a p-value of {2 * 0.5**self.folds:.2g}: say more"
            )
        return self


def neon(model: Any, given: Given, options: NeonOptions, run: Run) -> Adapted:
    """``theta + w (theta - theta_own)``: theta_own is the model after a short training on its own samples.

    Alemohammad, Wang and Baraniuk 2025 (Neon, https://arxiv.org/abs/2510.03597), equation 1 of the merge. A sampler
    that prefers what is likely makes own samples teach the wrong way, and the opposite way is better; one that does not
    makes w > 0 worse. So where w is open it is chosen on the validation rows, sign first (:func:`sign_of`). If a
    training on own samples multiplies a variance by lambda, and the model's is lambda v, then on the variance
    w = 1 / lambda gives v, and on its logarithm w = 1 does: what is right depends on the parameters.

    given.own: with the arm's sampling bias. facts, where w was chosen: ``chosen``, the vote, and as ``curve`` the
    distance to the validation rows at every w that was tried, null where there is no such model. Raises ValueError for
    a w of the user's with which there is no model.
    """
    second = taught(model, given.own(options.samples), run)
    moved = _Moved(model, second, options)
    if options.weight is not None:
        return Adapted(moved.by(options.weight))
    seen = _Validation(given, moved, options)
    vote = sign_of(seen, options)
    sizes = vote["sign"] * np.sort(options.weights)
    tried = {0.0: seen.distance(0.0)} | {float(w): seen.distance(w) for w in sizes if vote["sign"]}
    best = min(tried, key=lambda w: (tried[w], abs(w)))
    curve = [[w, tried[w] if math.isfinite(tried[w]) else None] for w in sorted(tried)]
    facts = {"chosen": {"weight": best}, "vote": vote, "curve": curve, "validation_rows": len(given.validation)}
    return Adapted(moved.by(best) if best else model, facts)


def sign_of(seen: "_Validation", options: NeonOptions) -> dict[str, Any]:
    """A vote of the folds on the sign of w: in how many the smallest size is better above 0 than below.

    sign: 1 or -1; 0 where the two-sided sign test has a p-value above ``level``, so that the model stays as it is.
    A fold in which both are as good does not vote.
    """
    size = min(options.weights)
    above, below = seen.by_fold(size), seen.by_fold(-size)
    better, worse = int(np.sum(above < below)), int(np.sum(above > below))
    p = sign_test(better, better + worse)
    sign = (1 if better > worse else -1) if p <= options.level and better != worse else 0
    return {"sign": sign, "at": size, "better_above": better, "voted": better + worse, "p_value": p}


def sign_test(better: int, voted: int) -> float:
    """The two-sided p-value of ``better`` heads of ``voted`` tosses of a fair coin; 1 where nobody voted."""
    tail = sum(math.comb(voted, k) for k in range(max(better, voted - better), voted + 1)) / 2**voted
    return min(1.0, 2 * tail)


class _Moved(NamedTuple):
    """A model and what it is moved away from."""

    model: Any
    second: Any
    options: NeonOptions

    def by(self, weight: float) -> Any:
        """The first model, moved. Raises ValueError where it is none."""
        own, other, moved = self.model.weights(), self.second.weights(), {}
        logarithms = self.model.variance_weights() if self.options.scale == "logarithm" else ()
        for name, array in own.items():
            step = _in_logarithm if name in logarithms else _linear
            moved[name] = step(np.asarray(array, np.float64), np.asarray(other[name], np.float64), weight).astype(
                array.dtype
            )
        return self.model.with_weights(moved)


def _linear(own: np.ndarray, other: np.ndarray, weight: float) -> np.ndarray:
    return own + weight * (own - other)


def _in_logarithm(own: np.ndarray, other: np.ndarray, weight: float) -> np.ndarray:
    """exp(log a + w (log a - log b)), of matrices by their eigenvalues. Raises ValueError for what has no logarithm."""
    if own.ndim < 2:
        if not (own.min() > 0 and other.min() > 0):
            raise ValueError("scale: found a variance of 0, which has no logarithm; allowed is linear")
        return own * (own / other) ** weight
    logarithms = []
    for matrix in (own, other):
        values, vectors = np.linalg.eigh(matrix)
        if values[0] <= 0:
            raise ValueError("scale: found a singular covariance, which has no logarithm; allowed is linear")
        logarithms.append((vectors * np.log(values)) @ vectors.T)
    values, vectors = np.linalg.eigh(_linear(*logarithms, weight))
    return (vectors * np.exp(values)) @ vectors.T


class _Validation:
    """How far models are from the validation rows, all with the same random numbers."""

    def __init__(self, given: Given, moved: _Moved, options: NeonOptions):
        self.given, self.moved, self.options = given, moved, options
        self.look = given.look[options.extractor]
        self.real: Features = self.look(given.validation.data)
        self.fakes: dict[float, Features | None] = {}

    def by_fold(self, weight: float) -> np.ndarray:
        """The distance in each fold, of every so many-th row: (folds,), infinite where there is no such model."""
        folds = [slice(first, None, self.options.folds) for first in range(self.options.folds)]
        fakes = self._fakes(weight)
        if fakes is None:
            return np.full(len(folds), math.inf)
        return np.array([self._between(taken(self.real, rows), taken(fakes, rows)) for rows in folds])

    def distance(self, weight: float) -> float:
        """The distance of as many samples as there are validation rows; infinite where there is no such model."""
        fakes = self._fakes(weight)
        return math.inf if fakes is None else self._between(self.real, fakes)

    def _between(self, real: Features, fake: Features) -> float:
        return float(DISTANCES[self.options.by](real, fake))

    def _fakes(self, weight: float) -> Features | None:
        weight = float(weight)
        if weight not in self.fakes:
            try:
                model = self.moved.by(weight)
            except ValueError:  # linearly moved, a covariance may be none any more
                if self.options.scale != "linear":
                    raise
                self.fakes[weight] = None
            else:
                count = len(self.given.validation)
                self.fakes[weight] = self.look(self.given.own(count, self.options.samples, model).data)
        return self.fakes[weight]


def own_images(options: NeonOptions) -> int:
    """The images that the second model sees."""
    return options.images_seen


def folded(options: NeonOptions) -> int:
    """Validation rows for every fold to be a distance, where w is chosen."""
    return FEWEST * options.folds if options.weight is None else 0


def unsuited(family: type, options: NeonOptions) -> str:
    """A budget for a formula or none for a network, and a logarithm of weights that are no variances."""
    if issubclass(family, Trainable) and not options.images_seen:
        return "images_seen: found 0; a network learns its own samples in steps: say how many images it sees"
    if not issubclass(family, Trainable) and options.images_seen:
        return f"images_seen: found {options.images_seen}; its family is fitted by a formula, which has no budget: 0"
    if options.scale == "logarithm" and not issubclass(family, Varies):
        return "scale: found logarithm; none of the weights of its family is a variance; allowed: linear"
    return ""
