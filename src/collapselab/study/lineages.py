"""The lineages of a study: its arms, resolved."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..compose.regimes import Regime
from ..core.choice import Choice
from .file import StudyFile


class Lineage(NamedTuple):
    """One arm of a study, resolved.

    stands_beside: of a control, its kind -> the arms that it is a control of. epochs_of: the training-set sizes that
    its epochs count, generation by generation, where not its own.
    """

    name: str
    base: str  # the arm under which its generation 0 is trained
    model: str
    regime: Regime
    sampling_bias: float | dict[int, float]
    stream: int
    about: str
    generations: int  # the last one
    calibrates: int | None = None  # real images, where it is one of the study's calibrations
    adapt: Choice | None = None
    guide: Choice | None = None
    transform: tuple[Choice, ...] = ()
    mark: Choice | None = None
    select: Choice = Choice("nobody")
    stands_beside: Mapping[str, tuple[str, ...]] = {}
    epochs_of: tuple[int, ...] = ()

    @property
    def is_control(self) -> bool:
        """Whether it is one of the study's controls."""
        return bool(self.stands_beside)


def of_arms(file: StudyFile, regimes: Mapping[str, Regime]) -> list[Lineage]:
    """The arms in the file's order."""
    arms = []
    for name, arm in file.arms.items():
        regime = regimes[name]
        base = base_of(file, arm.model, regime)
        shown = (arm.sampling_bias, arm.stream, arm.about)
        chosen = (arm.adapt, arm.guide, tuple(arm.transform), arm.mark, arm.select)
        arms.append(Lineage(name, base, arm.model, regime, *shown, file.generations, None, *chosen))
    return arms


def base_of(file: StudyFile, model: str, regime: Regime) -> str:
    """The arm under which generation 0 is trained: one for each model, and for each other start that arms name."""
    start, usual = _base_init(regime.init), _base_init(file.init)
    other = [f"n{regime.initial.real}"] if regime.initial != file.initial else []
    if start != usual:
        other.append(start if start == "scratch" else hashlib.sha256(start.encode()).hexdigest()[:8])
    return "-".join([f"base_{model}", *other])  # a hyphen stands in no model's name


def _base_init(init: Any) -> str:
    """What generation 0 starts from: only a file of weights exists before it."""
    return getattr(init, "weights", "scratch")
