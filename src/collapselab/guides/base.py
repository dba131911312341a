"""What a guide is: a rule that steers a sampler, and the further models that it steers by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ..core.choice import Options
from ..core.kinds import KindName
from ..engine.steering import Reads, Rule


class Auxiliary(NamedTuple):
    """A further model that a guide steers by, of the arm's own family and options, trained for it.

    on: the rows of the generation's own training set, from scratch; or ``own`` samples of the model, from the model.
    images_seen: its budget, which counts as the arm's. samples: how many own samples it is trained on.
    """

    on: Literal["training", "own"]
    images_seen: int
    samples: int = 0


def alone(options: Any, images_seen: int) -> Mapping[str, Auxiliary]:
    """Of a guide that steers by the model's own predictions: no further model."""
    return {}


@dataclass(frozen=True)
class Guide:
    """A way to steer a model that is sampled by denoising (``models.capabilities.Denoises``).

    rule: ``f(seen, at, state, draws, options) -> (denoised, state)``, a pure function at one noise level
    (:data:`engine.steering.Rule`); torch stays inside it. reads: which predictions of the model it is shown: the
    one with the sample's condition, and the one without. auxiliary: ``f(options, images_seen) -> {role: Auxiliary}``,
    the further models, given the budget of the arm's training; roles are lower-case words. takes: the kinds of data.
    """

    Options: type[Options]
    rule: Rule
    reads: Reads = ("conditional",)
    auxiliary: Callable[[Any, int], Mapping[str, Auxiliary]] = alone
    takes: tuple[KindName, ...] = ("images", "vectors")
