"""Names with options in a study's file: from which registry each comes, and what is wrong with it."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from pydantic import BaseModel, create_model

from ..adapt import ADAPTERS
from ..compose.regimes import REGIMES, Regime
from ..core.choice import Choice, nested
from ..data import DATASETS
from ..features import FEATURES
from ..guides import GUIDES
from ..marks import MARKS
from ..metrics import METRICS
from ..models import MODELS
from ..populations import POPULATIONS
from ..rewards import REWARDS
from ..samplers import SAMPLERS
from ..select import SELECTORS
from ..transforms import TRANSFORMS
from .faults import Fault, flow, known, mapping, quoted, validated
from .file import Part

Path = tuple[str | int, ...]


class Kind(NamedTuple):
    """What a choice is made from. options: those of an entry, as a model. former: the key that once named the entry."""

    entries: Mapping[str, Any]
    options: Callable[[Any], type[BaseModel]]
    former: str = ""


def _dataset(entry: type[BaseModel]) -> type[BaseModel]:
    return entry


def arguments(preset: Any) -> type[BaseModel]:
    """What a study may give to a preset of a regime, as a model: its annotations say what is allowed."""
    if preset is Regime:
        return Regime
    fields: dict[str, Any] = {
        name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(preset).parameters.items()
    }
    return create_model(preset.__name__, __base__=Part, __doc__=inspect.getdoc(preset), **fields)


CHOICES: Mapping[str, Kind] = {
    "sources": Kind(DATASETS, _dataset),
    "populations": Kind(POPULATIONS, attrgetter("PopulationOptions")),
    "models": Kind(MODELS, attrgetter("Options"), "family"),
    "extractors": Kind(FEATURES, attrgetter("Options")),
    "metrics": Kind(METRICS, attrgetter("Options")),
    "regimes": Kind(REGIMES | {"algebra": Regime}, arguments, "preset"),
    "adapters": Kind(ADAPTERS, attrgetter("Options")),
    "guides": Kind(GUIDES, attrgetter("Options")),
    "samplers": Kind(SAMPLERS, attrgetter("Options")),
    "rewards": Kind(REWARDS, attrgetter("Options")),
    "transforms": Kind(TRANSFORMS, attrgetter("Options")),
    "marks": Kind(MARKS, attrgetter("Options")),
    "selectors": Kind(SELECTORS, attrgetter("Options"), "selector"),
}
"""registry -> what its choices are made from, by the words of :class:`core.choice.From`."""


class Found(NamedTuple):
    """A choice in a file: where it stands, from which registry it comes, and what is said there."""

    path: Path
    registry: str
    said: Any

    @property
    def choice(self) -> Choice | None:
        """What is said, if it has one of the two forms."""
        try:
            return Choice.of(self.said)
        except ValueError:
            return None

    @property
    def inside(self) -> Path:
        """Where its options stand."""
        return self.path if isinstance(self.said, str) or self.choice is None else (*self.path, self.choice.name)


def found(raw: Mapping[str, Any]) -> Iterator[Found]:
    """All choices of a file, in its order, whether they are right or not."""
    data = mapping(raw.get("data"))
    yield from (Found(("data", key), f"{key}s", data[key]) for key in ORIGINS if data.get(key) is not None)
    yield from (Found(("models", name), "models", said) for name, said in mapping(raw.get("models")).items())
    for key in ("extractors", "metrics"):
        yield from (Found((key, index), key, said) for index, said in enumerate(_list(raw.get(key))))
    for name, arm in mapping(raw.get("arms")).items():
        arm, where = mapping(arm), ("arms", name)
        for key, registry in ARM.items():
            said = arm.get(key)
            if key in SEVERAL and isinstance(said, list):
                yield from (Found((*where, key, index), registry, one) for index, one in enumerate(said))
            elif said is not None and key != "transform":  # which is always a list
                yield Found((*where, key), registry, said)


ORIGINS = ("source", "population")
ARM = {
    "regime": "regimes",
    "adapt": "adapters",
    "guide": "guides",
    "sampler": "samplers",
    "transform": "transforms",
    "mark": "marks",
    "select": "selectors",
}
"""key of an arm -> the registry of its choice."""
SEVERAL = ("adapt", "transform", "select")
"""Keys of an arm that may make several choices."""


def as_said(fault: Fault, raw: Mapping[str, Any]) -> Fault:
    """A fault where it stands in the file: one choice of a key that may make several has no number there."""
    path = fault.path
    numbered = len(path) > 3 and path[0] == "arms" and path[2] in SEVERAL and path[3] == 0
    if numbered and not isinstance(mapping(mapping(raw.get("arms")).get(path[1])).get(path[2]), list):
        return fault._replace(path=(*path[:3], *path[4:]))
    return fault


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def is_known(one: Found, faults: list[Fault]) -> bool:
    """Whether a choice names an entry of its registry; where it does not, its fault is added."""
    kind, choice = CHOICES[one.registry], one.choice
    if new := _new_form(one, kind):
        faults.append(Fault(one.path, f"found {quoted(one.said)}; the form of a name with options is now {new}"))
        return False
    return choice is not None and known(choice.name, kind.entries, one.path, faults)  # StudyFile tells of no choice


def checked(one: Found, faults: list[Fault]) -> BaseModel | None:
    """The options of a choice, or None with its faults added."""
    if not is_known(one, faults):
        return None
    kind, choice = CHOICES[one.registry], one.choice
    options = validated(kind.options(kind.entries[choice.name]), dict(choice.options), one.inside, faults)
    inside = {} if options is None else nested(options, "rewards")
    for option, reward in inside.items():
        checked(Found((*one.inside, option), "rewards", reward.said), faults)
    return options


def _new_form(one: Found, kind: Kind) -> str:
    """How a choice is written that is written as it once was; empty where it is not."""
    said = one.said
    if one.registry == "regimes" and isinstance(said, Mapping) and said and set(said) <= ALGEBRA:
        return flow({"algebra": said})
    if not kind.former or not isinstance(said, Mapping) or not isinstance(said.get(kind.former), str):
        return ""
    options = {key: value for key, value in said.items() if key != kind.former}
    return flow(Choice(said[kind.former], options).said)


ALGEBRA = {field.alias or name for name, field in Regime.model_fields.items()}
