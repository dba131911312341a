"""Axes of a study: the arms that its ``sweep`` makes, one for each point of the product of its values.

A file says ``sweep: {initial.real: [100, 1000], models.tiny.blocks: [1, 2]}``. Each arm, or each of those under
``sweep.arms``, is copied for every point of the axes that it has: ``replace`` becomes ``replace_real100_blocks1``,
and so on. What comes out is a file as one could have typed it, which is read and checked as any other, so that every
arm has its control; a fault of a copy is told where its arm or its value was typed.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, NamedTuple

from pydantic_core import to_json

from ..core.choice import Choice
from ..core.naming import meant
from .choices import ARM, SEVERAL, Path
from .faults import Fault, mapping, quoted, unknown
from .file import Arm, StudyFile

ARMS_MAX = 400  # that a sweep makes; each has its seeds, its generations and its control
EACH = "arms"  # the key of a sweep that names arms, where not all are copied
FORMS = "initial.real, models.MODEL.OPTION, arms.ARM.KEY or arms.ARM.KEY.OPTION"
Value = int | float | str | bool


class Point(NamedTuple):
    """Where an arm stands in a sweep. arm: what it is a copy of. at: axis, as it was typed -> value."""

    arm: str
    at: Mapping[str, Value]

    def agrees(self, other: "Point") -> bool:
        """Whether it has the other's values on the axes that both have."""
        return all(self.at[axis] == value for axis, value in other.at.items() if axis in self.at)

    @property
    def said(self) -> str:
        """``initial.real 100, models.tiny.blocks 2``."""
        return ", ".join(f"{axis} {_word(value)}" for axis, value in self.at.items())


@dataclass(frozen=True)
class Sweep:
    """What a file with a sweep comes to; without one, what it says.

    raw: the file with all arms. typed: its parts that were changed, as they were typed. points: arm -> its point, of
    all arms in the file's order. places: where a part of the file stands -> where it was typed.
    """

    raw: Mapping[str, Any]
    typed: Mapping[str, Any] = field(default_factory=dict)
    points: Mapping[str, Point] = field(default_factory=dict)
    places: Mapping[Path, Path] = field(default_factory=dict)
    faults: Sequence[Fault] = ()

    def plan(self, file: StudyFile) -> str:
        """What the file says as JSON, with the arms and models that were copied as they were typed."""
        if not self.typed:
            return file.model_dump_json(by_alias=True, exclude_unset=True, exclude={"keep", "toy"})
        said = file.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"keep", "toy"})
        return to_json({**said, **self.typed}).decode()

    def as_typed(self, fault: Fault) -> Fault:
        """A fault of a copy, where it was typed."""
        for length in range(len(fault.path), 0, -1):
            if (place := self.places.get(fault.path[:length])) is not None:
                rest = () if place[0] == "sweep" else fault.path[length:]
                return fault._replace(path=(*place, *rest))
        return fault


UNSWEPT = Sweep({})
"""Of a study whose file says none."""


class _Axis(NamedTuple):
    """key: as it was typed. keys: its words. values: what it takes. short: what it is called in names of arms."""

    key: str
    keys: tuple[str, ...]
    values: list[Value]
    short: str

    def name(self, value: Value) -> str:
        """``real100``; a word stands apart from what it is a value of: ``draw_stored``."""
        apart = "_" if isinstance(value, bool | str) else ""
        return f"{self.short}{apart}{_letters(value)}"


def expanded(raw: Mapping[str, Any]) -> Sweep:
    """The file with an arm for each point. Whatever has not the right shape is left to the file's own checks."""
    said = raw.get("sweep")
    if not isinstance(said, Mapping) or not said or not isinstance(raw.get("arms"), Mapping):
        return Sweep(raw)
    faults: list[Fault] = []
    axes = _axes(said, raw, faults)
    chosen = _chosen(said, raw, faults)
    own = {arm: [axis for axis in axes if _concerns(axis, arm, raw)] for arm in chosen}
    for axis in axes:
        if not faults and not any(axis in of for of in own.values()):
            message = "concerns none of the arms that are copied"
            message += ", each of which says its own" if axis.keys[0] == "initial" else f": {', '.join(chosen)}"
            faults.append(Fault(("sweep", axis.key), message))
    many = sum(prod(len(axis.values) for axis in of) for of in own.values() if of)
    if many > ARMS_MAX:
        product_of = " x ".join(str(len(axis.values)) for axis in axes)
        message = f"comes to {many:,} arms (values of its axes: {product_of}); allowed are {ARMS_MAX}"
        faults.append(Fault(("sweep",), f"{message}: take fewer values, or name fewer arms under sweep.arms"))
    if faults:
        return Sweep(raw, faults=faults)
    return _Builder(raw, own).build()


# -- what is typed -----------------------------------------------------------------------------------------------------


def _axes(said: Mapping[str, Any], raw: Mapping[str, Any], faults: list[Fault]) -> list[_Axis]:
    """The axes that can be read; faults of the others are added."""
    keys = [key for key in said if key != EACH]
    if not keys:
        faults.append(Fault(("sweep",), f"has no axis; allowed: {FORMS}, each with a list of values"))
    found = []
    for key in keys:
        where, values = ("sweep", key), said[key]
        if message := _no_place(key, raw):
            faults.append(Fault(where, message))
        elif not isinstance(values, list) or not values:
            faults.append(Fault(where, f"found {quoted(values)}; allowed is a list of values, such as [1, 2, 4]"))
        else:
            wrong = [i for i, value in enumerate(values) if not isinstance(value, int | float | str | bool)]
            faults += [
                Fault((*where, i), f"found {quoted(values[i])}; allowed are numbers, words, true and false")
                for i in wrong
            ]
            words = [] if wrong else [_letters(value) for value in values]
            again = [i for i, word in enumerate(words) if word in words[:i] or not word]
            faults += [
                Fault((*where, i), f"{quoted(values[i])} has the name of another value, or none: say each once")
                for i in again
            ]
            found += [] if wrong or again else [_Axis(key, tuple(key.split(".")), values, _short(key, keys))]
    return found


def _no_place(key: Any, raw: Mapping[str, Any]) -> str:
    """Why nothing of an arm's own stands where a key points; empty if something may."""
    if not isinstance(key, str):
        return f"is no place in a study's file; allowed: {FORMS}"
    first, *rest = key.split(".")
    if key == "initial.real":
        return ""
    if first == "models" and len(rest) >= 2 and all(rest):
        models = mapping(raw.get("models"))
        return "" if rest[0] in models else unknown(rest[0], models, "model")
    if first == EACH and len(rest) >= 2 and all(rest):
        arms = mapping(raw.get("arms"))
        if rest[0] not in arms:
            return unknown(rest[0], arms, "arm")
        return "" if rest[1] in Arm.model_fields else unknown(rest[1], Arm.model_fields, "key of an arm")
    whole = first in raw and first not in ("models", EACH, "initial")
    said = "is one for all arms of a study" if whole else "is no place of an arm's own"
    return f"{said}{meant(key, ['initial.real'])}; allowed: {FORMS}"


def _chosen(said: Mapping[str, Any], raw: Mapping[str, Any], faults: list[Fault]) -> list[str]:
    """The arms that are copied: those that are named, else all."""
    arms, named = raw["arms"], said.get(EACH)
    if EACH not in said:
        return list(arms)
    if not isinstance(named, list) or not named:
        faults.append(Fault(("sweep", EACH), f"found {quoted(named)}; allowed is a list of arms"))
        return []
    for index, arm in enumerate(named):
        if not isinstance(arm, str) or arm not in arms:
            faults.append(Fault(("sweep", EACH, index), unknown(arm, arms, "arm")))
        elif arm in named[:index]:
            faults.append(Fault(("sweep", EACH, index), f"{arm!r} is said twice"))
    return [arm for arm in arms if arm in named]


def _concerns(axis: _Axis, arm: str, raw: Mapping[str, Any]) -> bool:
    """Whether an arm has another value at each point of an axis: what it says itself stands above the study's."""
    said = mapping(raw["arms"][arm])
    if axis.keys[0] == "models":
        return said.get("model") == axis.keys[1]
    if axis.keys[0] == EACH:
        return arm == axis.keys[1]
    regime = _choice(said.get("regime"))
    return regime is not None and not set(_of_initial(regime, 0)) <= set(regime.options)


def _choice(said: Any) -> Choice | None:
    try:
        return Choice.of(said)
    except ValueError:
        return None


def _of_initial(regime: Choice, real: Value) -> dict[str, Any]:
    """What an arm's regime takes over from the study's ``initial: {real}`` where it says nothing else."""
    return {"initial": {"real": real}} if regime.name == "algebra" else {"initial": real, "n": real}


# -- names -------------------------------------------------------------------------------------------------------------


def _short(key: str, keys: Sequence[Any]) -> str:
    """The last words of a key that no other ends with."""
    words, others = key.split("."), [other.split(".") for other in keys if isinstance(other, str) and other != key]
    for length in range(1, len(words) + 1):
        if all(other[-length:] != words[-length:] for other in others):
            return _letters("_".join(words[-length:]))
    return _letters("_".join(words))


def _word(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _letters(value: Value) -> str:
    """A value in the letters of names: 0.5 is 0p5, -1 is m1, 1e-05 is 1em05."""
    text = _word(value)
    if not isinstance(value, str):
        text = text.replace("+", "").replace("-", "m").removesuffix(".0").replace(".", "p")
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")


# -- what it comes to --------------------------------------------------------------------------------------------------


class _Builder:
    """Puts the arms of all points together."""

    def __init__(self, raw: Mapping[str, Any], own: Mapping[str, list[_Axis]]) -> None:
        self.raw, self.own = raw, own
        self.arms: dict[str, Any] = {}
        self.models: dict[str, Any] = dict(mapping(raw.get("models")))
        self.points: dict[str, Point] = {}
        self.places: dict[Path, Path] = {}
        self.faults: list[Fault] = []

    def build(self) -> Sweep:
        """What the file comes to."""
        typed = self.raw["arms"]
        for arm, said in typed.items():
            if not self.own.get(arm):
                self._add(arm, said, Point(arm, {}))
                continue
            axes = self.own[arm]
            for values in product(*(range(len(axis.values)) for axis in axes)):
                self._copy(arm, said, list(zip(axes, values, strict=True)))
        for name, arm in self.arms.items():
            self._eats(name, arm)
        before, now = ({str(mapping(arm).get("model")) for arm in arms.values()} for arms in (typed, self.arms))
        kept = {name: said for name, said in self.models.items() if name in now or name not in before}
        raw = {**self.raw, "arms": self.arms} | ({"models": kept} if "models" in self.raw else {})
        parts = {key: self.raw[key] for key in ("models", "arms") if key in self.raw}
        return Sweep(raw, parts, self.points, self.places, self.faults)

    def _add(self, name: str, said: Any, point: Point) -> None:
        if name in self.arms:
            message = f"comes to two arms that are called {name!r}: {self.points[name].arm!r} has one already"
            self.faults.append(Fault(("arms", point.arm), f"{message}; give one of them another name"))
            return
        self.arms[name], self.points[name] = said, point
        if name != point.arm:
            self.places[("arms", name)] = ("arms", point.arm)

    def _copy(self, arm: str, typed: Any, values: Sequence[tuple[_Axis, int]]) -> None:
        """One arm at one point."""
        said = copy.deepcopy(typed)
        name = "_".join([str(arm), *(axis.name(axis.values[index]) for axis, index in values)])
        taken: dict[Path, str] = {}
        for axis, index in values:
            value, where = axis.values[index], ("sweep", axis.key, index)
            if axis.keys[0] == EACH:
                inside = self._put(said, axis.keys[2:], value, where)
                self.places[("arms", name, *inside)] = where
                self._take(taken, inside, axis)
            elif axis.keys[0] == "initial":
                self._initial(said, name, value, where)
        of_model = [(axis, index) for axis, index in values if axis.keys[0] == "models"]
        for axis, _ in of_model:  # of an arm whose model is an axis, too, nobody could say whose option that is
            self._take(taken, ("model",), axis)
        if of_model and said["model"] == of_model[0][0].keys[1]:
            said["model"] = self._model(said["model"], of_model)
        self._add(name, said, Point(arm, {axis.key: axis.values[index] for axis, index in values}))

    def _initial(self, said: dict[str, Any], arm: str, value: Value, where: Path) -> None:
        """The real rows of generation 0 as an arm's own, and those that follow from them where it says no others."""
        regime = Choice.of(said["regime"])
        options = _of_initial(regime, value)
        said["regime"] = {regime.name: options | dict(regime.options)}
        for option in options:
            if option not in regime.options:
                self.places[("arms", arm, "regime", regime.name, option)] = where

    def _model(self, model: str, values: Sequence[tuple[_Axis, int]]) -> str:
        """The name of a model at a point, which is added."""
        name = "_".join([model, *(axis.name(axis.values[index]) for axis, index in values)])
        if ("models", name) not in self.places and name in self.models:
            message = f"comes to a model {name!r}, which the study has already; give that another name"
            self.faults.append(Fault(("models", name), message))
        said, taken = {"model": copy.deepcopy(self.raw["models"][model])}, dict[Path, str]()
        self.places[("models", name)] = ("models", model)
        for axis, index in values:
            where = ("sweep", axis.key, index)
            inside = self._put(said, ("model", *axis.keys[2:]), axis.values[index], where)
            self.places[("models", name, *inside[1:])] = where
            self._take(taken, inside, axis)
        self.models[name] = said["model"]
        return name

    def _take(self, taken: dict[Path, str], place: Path, axis: _Axis) -> None:
        """Keeps a place for an axis: two that speak of one would leave a point with the value of the last."""
        for other, key in taken.items():
            shared = min(len(other), len(place))
            if other[:shared] == place[:shared] and not (key.startswith("models.") and place == ("model",)):
                self.faults.append(Fault(("sweep", axis.key), f"speaks of the same place as {key!r}; leave out one"))
                return
        taken.setdefault(place, axis.key)

    def _put(self, said: Any, keys: Sequence[str], value: Value, where: Path, before: Path = ()) -> Path:
        """Puts a value where the keys point, and gives the place: the name of a choice may stand among them, or not.

        before: the keys that led there.
        """
        key, *rest = keys
        key = int(key) if isinstance(said, list) and key.isdecimal() else key
        if isinstance(said, list) and (not isinstance(key, int) or key >= len(said)):
            found = f"{key!r} is no number of a list of {len(said)}, which are counted from 0"
            self.faults.append(Fault(where[:2], found))
            return (key,)
        if not isinstance(said, dict | list):
            self.faults.append(Fault(where[:2], f"{key!r} is no part of {quoted(said)}, which has none"))
            return (key,)
        if not rest:
            said[key] = value
            return (key,)
        inside = said[key] if isinstance(said, list) or key in said else None
        choice = _choice(inside) if _chooses((*before, key)) else None
        if choice is not None:
            rest = rest[1:] if rest[0] == choice.name and len(rest) > 1 else rest
            options = copy.deepcopy(dict(choice.options))
            said[key] = {choice.name: options}
            return (key, choice.name, *self._put(options, rest, value, where, (*before, key, choice.name)))
        if inside is None:
            said[key] = inside = {}
        return (key, *self._put(inside, rest, value, where, (*before, key)))

    def _eats(self, name: str, arm: Any) -> None:
        """Lets an arm eat, of arms that were copied, those that stand at its own point, and one of them draw for it."""
        regime = _choice(mapping(arm).get("regime"))
        parts = regime.options.get("synthetic") if regime else None
        own = self.points[name].arm
        for index, part in enumerate(parts if isinstance(parts, list) else []):
            self._stands(name, part, "of", ("arms", own, "regime", regime.name, "synthetic", index, "of"))
        self._stands(name, arm, "drawn_by", ("arms", own, "drawn_by"))

    def _stands(self, name: str, said: Any, key: str, where: Path) -> None:
        """Puts the copy of an arm at a point in the place of that arm, where it is named."""
        other, own = mapping(said).get(key), self.points[name]
        if not isinstance(other, str) or not self.own.get(other):
            return
        there = [one for one, point in self.points.items() if point.arm == other and point.agrees(own)]
        if len(there) == 1:
            said[key] = there[0]
        else:
            message = f"{other!r} is copied along axes that {own.arm!r} has not: name both in the sweep"
            self.faults.append(Fault(where, message))


def _chooses(keys: Path) -> bool:
    """Whether a name with options stands there: a model, or what an arm chooses."""
    several = len(keys) == 2 and keys[0] in SEVERAL and isinstance(keys[1], int)
    return several or (len(keys) == 1 and (keys[0] == "model" or keys[0] in ARM))


def described(points: Mapping[str, Point]) -> dict[str, str]:
    """What a sweep comes to: the points of each arm that it has copied, in words."""
    found = {}
    for arm in dict.fromkeys(point.arm for point in points.values() if point.at):
        own = [point.at for point in points.values() if point.arm == arm]
        axes = {axis: list(dict.fromkeys(_word(at[axis]) for at in own)) for axis in own[0]}
        said = " x ".join(f"{axis} {', '.join(values)}" for axis, values in axes.items())
        found[arm] = f"{len(own)} points: {said}"
    return found
