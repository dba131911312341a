"""The lineages of a study: its arms, resolved."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..adapt import ADAPTERS
from ..compose.regimes import Regime, Synthetic
from ..core.choice import Choice
from ..marks import MARKS
from .file import StudyFile


class Lineage(NamedTuple):
    """One arm of a study, resolved.

    adapt: its adapters, each of what the one before has made of the model. select: its selectors, each of what the one
    before has kept. yoked_to: the arm of whose selectors it is the control.
    sampler: which samples it, if not its model's own. converges: the arms beside which it takes enough of their steps.
    stands_beside: of a control, its kind -> the arms that it is a control of. epochs_of: the training-set sizes that
    its epochs count, generation by generation, where not its own. drawn_by: of a model of labels, the arm whose model
    makes a sample of each; empty for a model of the samples themselves.
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
    adapt: tuple[Choice, ...] = ()
    guide: Choice | None = None
    transform: tuple[Choice, ...] = ()
    mark: Choice | None = None
    select: tuple[Choice, ...] = ()
    yoked_to: str = ""
    sampler: Choice | None = None
    converges: tuple[str, ...] = ()
    stands_beside: Mapping[str, tuple[str, ...]] = {}
    epochs_of: tuple[int, ...] = ()
    drawn_by: str = ""

    @property
    def replaced(self) -> bool:
        """Whether one of its adapters takes the place of its trainings, all but that of generation 0."""
        return any(ADAPTERS[one.name].instead for one in self.adapt)

    def adapters(self, generation: int) -> tuple[Choice, ...]:
        """The adapters of a generation: at 0 there is no model before, and a training that none of them replaces."""
        return tuple(one for one in self.adapt if generation or not ADAPTERS[one.name].instead)

    @property
    def marks(self) -> str:
        """What its mark acts on: noise, or pixels; empty if it has none."""
        return MARKS[self.mark.name].acts if self.mark else ""

    @property
    def made(self) -> str:
        """The noun of its samples as they are made: with a mark of their noise beside those without."""
        return "marked" if self.marks == "noise" else "samples"

    @property
    def released(self) -> str:
        """The noun of its samples as others see them: with its mark, and after its transforms."""
        return "released" if self.transform or self.marks == "pixels" else self.made

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
        selectors = tuple(one for one in arm.select if one.name != "nobody")
        chosen = (tuple(arm.adapt), arm.guide, tuple(arm.transform), arm.mark, selectors)
        told = {"sampler": arm.sampler, "drawn_by": arm.drawn_by or ""}
        arms.append(Lineage(name, base, arm.model, regime, *shown, file.generations, None, *chosen, **told))
    return arms


def yoked(file: StudyFile, arms: Iterable[Lineage], kept: Mapping[str, int]) -> list[Lineage]:
    """The controls of selectors: beside each arm in which somebody selects one in which chance keeps as many.

    kept: arm -> samples of a generation that it keeps. Chance itself, and what is not selected at all, has none.
    """
    found = []
    for arm in arms if file.yoked else ():
        if all(one.name == "random" for one in arm.select):
            continue
        about = f"of the samples chance keeps as many as are kept in {arm.name}"
        chance = (Choice("yoked", {"count": kept[arm.name]}),)
        found.append(own_samples(arm, f"yoked_{arm.name}")._replace(about=about, select=chance, yoked_to=arm.name))
    return found


def own_samples(arm: Lineage, name: str) -> Lineage:
    """An arm under another name, which eats its own samples where the first ate its own."""
    regime = arm.regime.model_copy(update={"synthetic": [_own(part, arm.name) for part in arm.regime.synthetic]})
    return arm._replace(name=name, regime=regime)


def _own(part: Synthetic, arm: str) -> Synthetic:
    """What an arm eats, as a control of it does: its own samples are the control's."""
    return part.model_copy(update={"of": "self"}) if part.of == arm else part


def of_labels(lineages: Iterable[Lineage]) -> set[str]:
    """The models that are of labels alone, since another arm's model makes a sample of each."""
    return {one.model for one in lineages if one.drawn_by}


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
