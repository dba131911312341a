"""What a guide is: a rule that steers a sampler, and the further models that it steers by."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ..core.choice import Options
from ..core.kinds import KindName
from ..engine.steering import Change, Level, Reads, Rule, Wants, always


class Auxiliary(NamedTuple):
    """A further model that a guide steers by, of the arm's own family, trained for it.

    on: the rows of the generation's own training set, from scratch; or ``own`` samples of the model, from the model.
    images_seen: its budget, which counts as the arm's. samples: how many own samples it is trained on. changed: options
    of the family that are others than the model's, of one that is trained from scratch.
    """

    on: Literal["training", "own"]
    images_seen: int
    samples: int = 0
    changed: Mapping[str, Any] | None = None


def alone(options: Any, images_seen: int) -> Mapping[str, Auxiliary]:
    """Of a guide that steers by the model's own predictions: no further model."""
    return {}


def weighted(at: Level, state: Any, options: Any) -> bool:
    """Of a rule whose unconditional prediction is of use where its weight ``w`` is not 0."""
    return options.w != 0


def nothing_told(options: Any) -> Mapping[str, int]:
    """Of a guide under which the model is told nothing but the samples' own conditions."""
    return {}


def nothing_left(options: Any, model: Mapping[str, Any]) -> str:
    """Of a guide that steers every sample."""
    return ""


@dataclass(frozen=True)
class Guide:
    """A way to steer a model that is sampled by denoising (``models.capabilities.Denoises``).

    rule: ``f(seen, at, state, draws, options) -> (denoised, state)``, a pure function at one noise level
    (:data:`engine.steering.Rule`); torch stays inside it. reads: which predictions of the model it is shown: the
    one with the sample's condition, and the one without. auxiliary: ``f(options, images_seen) -> {role: Auxiliary}``,
    the further models, given the budget of the arm's training; roles are lower-case words. takes: the kinds of data.

    told: ``f(options) -> {role: class}``, further classes under which the model's predictions are shown. changes: what
    is made of the samples' own conditions before the model is told (:data:`engine.steering.Change`). wants: at which
    levels, and in which rows, the prediction without a condition is of use (:data:`engine.steering.Wants`). among:
    options of the model with the only values with which the rule is defined. neutral: options by which it changes no
    sample, beside those that have to be said; None where there are none. leaves: ``f(options, those of the model) ->
    str``, which samples of a study it leaves as they are, in words that ``validate`` tells; empty if none.
    """

    Options: type[Options]
    rule: Rule
    reads: Reads = ("conditional",)
    auxiliary: Callable[[Any, int], Mapping[str, Auxiliary]] = alone
    takes: tuple[KindName, ...] = ("images", "vectors")
    told: Callable[[Any], Mapping[str, int]] = nothing_told
    changes: Change | None = None
    wants: Wants = always
    among: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    neutral: Mapping[str, Any] | None = None
    leaves: Callable[[Any, Mapping[str, Any]], str] = nothing_left

    def evaluations(self, options: Any, images_seen: int = 1) -> int:
        """Networks that are evaluated for one at a level, at most: the model's predictions, and the further models."""
        return 1 + ("unconditional" in self.reads) + len(self.told(options)) + len(self.auxiliary(options, images_seen))

    def unsuited(self, options: Any, model: Mapping[str, Any], biased: bool = False) -> Iterator[str]:
        """What keeps it from steering a model with such options, in words; biased: with a sampling bias below 1."""
        classes = model.get("classes", 0)
        needed = ("between",) if "between" in model else ("classes", "label_dropout")  # a normal law has no labels
        needed = ("label_dropout",) if "prompts" in model else needed  # one prompt may be told, or none
        lacking = " and ".join(f"{key}: 0" for key in needed if not model.get(key, 0))
        if lacking and "unconditional" in self.reads:
            yield f"reads what the model makes without a class, but {{}} has {lacking}"
        for role, one in self.told(options).items():
            if not classes or one >= classes:
                allowed = f"0 to {classes - 1}" if classes else "none: it knows no classes"
                yield f"tells {{}} the class {one} as {role}, allowed is {allowed}"
        if self.changes and biased:
            yield "changes what {} is told, and cannot beside a sampling_bias; allowed is 1"
        if self.changes and (scale := model.get("guidance_scale", 1)) != 1:
            yield f"changes what {{}} is told, and cannot beside guidance_scale {scale:g}; allowed is 1"
        if self.changes and "between" in model:
            yield "changes what a model is told of a sample's class, but {} is told none"
        for key, allowed in self.among.items():
            if (found := model.get(key, allowed[0])) not in allowed:
                yield f"is not defined for {key} {found!r} of {{}}; allowed: {', '.join(map(str, allowed))}"
