"""An arm as far as a law depends on it, and what a law says of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from ..compose.regimes import Regime, recipe
from ..core.choice import Choice


class Setting(NamedTuple):
    """One arm of a study, as far as a law depends on it.

    options: of the model, resolved. population: the name of the known truth, None for other data; truth: its object.
    generations: the last one. samples: how many each model gives, before a selector keeps some of them. sampler: with
    all its options, of an arm that is sampled step by step. guide: with all its options, where something steers.
    """

    family: str
    options: Mapping[str, Any]
    population: str | None
    truth: Any
    regime: Regime
    generations: int
    sampling_bias: float | dict[int, float]
    selector: str
    select_options: Mapping[str, Any]
    samples: int
    sampler: Choice | None = None
    guide: Choice | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """A law, as the curve of one endpoint of one arm.

    law: the function of ``theory`` that it is. metric, extractor: the endpoint. mean: (generations + 1,) expectation
    over replicates. sd: the standard deviation of one replicate, (generations + 1,), or None where no closed form
    gives it. bound: whether the mean is the value itself, only an upper bound of it, or that of infinitely
    many rows (large), which is drawn, and never tested. note: the law in words. limit:
    what the mean tends to with ever more generations, infinite where it grows without bound, None where not known.
    """

    law: str
    metric: str
    extractor: str
    mean: np.ndarray
    sd: np.ndarray | None
    bound: Literal["equal", "upper", "large"]
    note: str
    limit: float | None = None


def unequal_weights(setting: Setting) -> bool:
    """Whether real and synthetic rows of some training set count unlike."""
    recipes = (recipe(setting.regime, "self", generation) for generation in range(setting.generations + 1))
    return any(len(set(one.weights.values())) > 1 for one in recipes)
