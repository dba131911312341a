"""The lineages of a study: its arms, resolved, with the controls and calibrations that it gets beside them."""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from ..compose.regimes import Regime, pooled, real_only
from ..core.choice import Choice
from .file import StudyFile


class Lineage(NamedTuple):
    """One arm of a study, resolved."""

    name: str
    base: str  # the arm under which its generation 0 is trained
    model: str
    regime: Regime
    sampling_bias: float | dict[int, float]
    stream: int
    about: str
    is_control: bool
    generations: int  # the last one
    calibrates: int | None = None  # real images, where it is one of the study's calibrations
    adapt: Choice | None = None
    guide: Choice | None = None
    transform: tuple[Choice, ...] = ()
    select: Choice = Choice("nobody")


def resolved(file: StudyFile, regimes: Mapping[str, Regime]) -> dict[str, Lineage]:
    """The arms in the file's order, the control first, the calibrations last."""
    arms = {}
    for name, arm in file.arms.items():
        regime = regimes[name]
        base = _base(file, arm.model, regime)
        shown = (arm.sampling_bias, arm.stream, arm.about, False)
        chosen = (arm.adapt, arm.guide, tuple(arm.transform), arm.select)
        arms[name] = Lineage(name, base, arm.model, regime, *shown, file.generations, None, *chosen)
    beside = [*_controls(file, list(arms.values())), *_calibrations(file, list(arms.values()))]
    controls = {one.name: one for one in beside if one.is_control}
    return controls | arms | {one.name: one for one in beside if not one.is_control}


def _base(file: StudyFile, model: str, regime: Regime) -> str:
    """The arm under which generation 0 is trained: one for each model, and for each other start that arms name."""
    start, usual = _base_init(regime.init), _base_init(file.init)
    other = [f"n{regime.initial.real}"] if regime.initial != file.initial else []
    if start != usual:
        other.append(start if start == "scratch" else hashlib.sha256(start.encode()).hexdigest()[:8])
    return "-".join([f"base_{model}", *other])  # a hyphen stands in no model's name


def _controls(file: StudyFile, arms: list[Lineage]) -> Iterator[Lineage]:
    """The real-only control at the arms' total size, one for each model."""
    if file.control == "none":
        return
    models = list(dict.fromkeys(arm.model for arm in arms))
    for model in models:
        name = "control" if len(models) == 1 else f"control_{model}"
        first = next(arm for arm in arms if arm.model == model)
        grown = enumerate(pooled(first.regime, first.name, file.generations))
        sizes = {t: one.size for t, one in grown if t}
        n = _shortest(sizes) if sizes else file.initial.real
        regime = real_only(n=n, initial=file.initial.real).model_copy(update={"init": file.init})
        about = "real data only, at the arms' total size"
        yield Lineage(name, f"base_{model}", model, regime, 1.0, 0, about, True, file.generations)


def _calibrations(file: StudyFile, arms: list[Lineage]) -> Iterator[Lineage]:
    """Models of generation 0 alone, each of another number of real images, for every model of the arms."""
    models = list(dict.fromkeys(arm.model for arm in arms))
    for model, n in product(models, file.calibration):
        name = f"real_n{n}" if len(models) == 1 else f"real_{model}_n{n}"
        regime = real_only(n=n, initial=n).model_copy(update={"init": file.init})
        about = f"{n} real images alone, to compare limits with"
        base = _base(file, model, regime)
        yield Lineage(name, base, model, regime, 1.0, 0, about, False, 0, n)


def _base_init(init: Any) -> str:
    """What generation 0 starts from: only a file of weights exists before it."""
    return getattr(init, "weights", "scratch")


def _shortest(sizes: dict[int, int]) -> int | dict[int, int]:
    """The same schedule with only the generations at which it changes."""
    changes = {t: n for t, n in sizes.items() if n != sizes.get(t - 1)}
    return changes if len(changes) > 1 else next(iter(changes.values()))
