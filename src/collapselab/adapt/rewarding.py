"""What adapters that follow a reward have in common, beside their losses."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ..core.choice import Choice, From
from ..core.facts import Facts
from ..features.base import ExtractorName
from .tuning import TuningOptions

MEASURED = ("reward", "recall", "precision", "frechet_distance", "path_kl")
"""What is told at each check, in the order in which it is looked at."""


class RewardedOptions(TuningOptions):
    """A reward, and how its price is watched."""

    learning_rate: float = Field(3e-5, gt=0, allow_inf_nan=False, description="of Adam, the same all the time")
    gradient_norm: float = Field(1.0, gt=0, description="largest norm of a step's gradient: a longer one is shortened")
    steps: int = Field(16, ge=2, description="ancestral steps of a rollout, the last of which only denoises")
    lowest: float = Field(
        0.1,
        ge=0,
        description="noise level of a rollout before its last step, if above the model's lowest",
    )
    classes_left_out: tuple[int, ...] = Field(
        (), description="classes that are not tuned on: what becomes of their reward is what transfers"
    )
    extractor: ExtractorName | None = Field(
        None, description="through which samples are compared with validation rows as the reward rises; null: not"
    )
    k: int = Field(5, ge=1, description="neighbours of precision and recall")
    checks: int = Field(10, ge=1, description="how often all that is measured on the way, beside the start")
    stop: Literal["budget", "knee"] = Field(
        "budget",
        description="when it ends: where the budget does, or at the first check at which recall on the validation rows "
        "is below its start r by 2 sqrt(r (1 - r) / n), with the model of the check before",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.stop == "knee" and self.extractor is None:
            raise ValueError("stop: found knee; recall is seen on validation rows through an extractor: say which")
        if min(self.classes_left_out, default=0) < 0 or len(set(self.classes_left_out)) < len(self.classes_left_out):
            raise ValueError(f"classes_left_out: found {list(self.classes_left_out)}, allowed are classes, each once")
        return self


class LikedOptions(RewardedOptions):
    """Of those that cannot do without a reward."""

    reward: Annotated[Choice, From("rewards")] = Field(description="what is liked")


NONE = -1
"""The label of a row that is told no class."""


def tuned_on(classes: int, left_out: Sequence[int]) -> list[int]:
    """The classes that are tuned on; :data:`NONE` alone for a model without any.

    Raises ValueError for left out ones that are none of the model's, and where none is left.
    """
    if unknown := [one for one in left_out if one >= classes]:
        allowed = f"0 to {classes - 1}, the model's" if classes else "none: the model knows no classes"
        raise ValueError(f"classes_left_out: found {unknown[0]}, allowed are {allowed}")
    if not classes:
        return [NONE]
    found = [one for one in range(classes) if one not in left_out]
    if not found:
        raise ValueError(f"classes_left_out: found all {classes} classes; allowed are some of them")
    return found


def unfit(facts: Facts, of: Any, options: RewardedOptions) -> str:
    """Classes that the model has not."""
    try:
        tuned_on(getattr(of, "classes", 0), options.classes_left_out)
    except ValueError as error:
        return str(error)
    return ""


def unguided(of: Any, guidance: float) -> str:
    """Guidance by a model that never learnt without a class."""
    classes, dropped = getattr(of, "classes", 0), getattr(of, "label_dropout", 0)
    if not guidance or (classes and dropped):
        return ""
    return (
        f"guidance: found {guidance:g}, allowed is 0: guidance needs training with classes > 0 and "
        f"label_dropout > 0, found {classes} and {dropped}"
    )


def without_a_step(of: Any, options: RewardedOptions, rounds: int) -> str:
    """More rounds than the budget has steps, by the batch of a model with the options ``of`` where none is said."""
    batch = options.batch or of.batch
    steps = -(-options.images_seen // batch)
    if rounds <= steps:
        return ""
    return f"rounds: found {rounds}, allowed are at most {steps}, the steps of {batch} images each"


def watched_rows(options: RewardedOptions) -> int:
    """Validation rows by which it is watched: as many as have a neighbourhood, where there is an extractor."""
    return options.k + 1 if options.extractor else 0
