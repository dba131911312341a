"""Where a guide is searched: a range for each of its options that changes how strongly, or where, it steers."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from ..guides.base import Guide

DIGITS = 4  # of a number that is tried: what is printed is what was measured


class Span(NamedTuple):
    """Numbers from ``low`` to ``high``, all alike or, where ``log``, all factors alike. when: other options that have
    to be so, or the option is left out.
    """

    low: float
    high: float
    log: bool = True
    when: Mapping[str, Any] = {}


class Among(NamedTuple):
    """One of some values."""

    values: tuple[Any, ...]
    when: Mapping[str, Any] = {}


Space = Mapping[str, Span | Among]
"""option -> what is tried of it, those first on which others depend."""

WEIGHT = Span(0.05, 8)  # 0 is no guidance, which is measured beside all that is tried
INTERVAL = {"schedule": "interval"}

SPACES: Mapping[str, Space] = {
    "cfg": {
        "schedule": Among(("constant", "interval")),
        "w": WEIGHT,
        "low": Span(0.01, 0.5, when=INTERVAL),
        "high": Span(1, 20, when=INTERVAL),
    },
    "cfgpp": {"strength": Span(0.05, 1, log=False)},
    "apg": {"w": WEIGHT, "eta": Span(0, 1, log=False), "momentum": Span(-0.9, 0.5, log=False)},
    "rescale": {"w": WEIGHT, "phi": Span(0, 1, log=False)},
    "cads": {
        "w": WEIGHT,
        "s": Span(0.02, 0.5),
        "tau1": Span(0.2, 0.6, log=False),
        "tau2": Span(0.6, 1, log=False),
    },
    "feedback": {"pi": Span(0.9, 0.9999, log=False)},
    "dynamic_negative": {"prior": Span(0.01, 0.5)},
    "deletion": {"prior": Span(0.01, 0.5)},
    "mambog": {"w": Span(0.5, 20), "alpha": Span(0.5, 16)},
    "adaptive": {"w": WEIGHT, "threshold": Span(0.9, 0.999, log=False)},
    "perp_neg": {"w": WEIGHT, "negative_weight": Span(0.1, 4)},
    "fair": {"w": WEIGHT},
    "autoguidance": {"w": WEIGHT},
    "sims": {"w": WEIGHT},
}
"""guide -> its space. What it leaves out stays as the guide's options have it, or as the user says."""

Draw = Callable[[str, Span | Among], Any]
"""``f(name, what)``: a value of an option, by the name of guide and option."""


class Searched(NamedTuple):
    """A guide whose options are searched. fixed: those that are said, and so are not."""

    name: str
    entry: Guide
    space: Space
    fixed: Mapping[str, Any]

    def drawn(self, draw: Draw) -> dict[str, Any]:
        """Options, of which each that is searched is drawn, where it is of use."""
        found = dict(self.fixed)
        for option, what in self.space.items():
            value = draw(f"{self.name}.{option}", what)
            if all(found.get(other) == wanted for other, wanted in what.when.items()):
                found[option] = float(f"{value:.{DIGITS}g}") if isinstance(what, Span) else value
        return found

    def options(self, said: Mapping[str, Any]) -> Any:
        """The guide's options, checked."""
        return self.entry.Options.model_validate(dict(said))


def unsaid(options: type[BaseModel], space: Space, fixed: Mapping[str, Any]) -> list[str]:
    """Options without which a guide is none, and that are neither searched nor said: which class, for one."""
    needed = [name for name, one in options.model_fields.items() if one.is_required()]
    return [name for name in needed if name not in space and name not in fixed]


def searched(name: str, entry: Guide, fixed: Mapping[str, Any], ranges: Mapping[str, Any]) -> Searched:
    """A guide with its space: without the options that are said, and with the ranges that are said for others.

    ranges: option -> [low, high]; by factors where low is above 0. Raises ValueError for a guide without a space, for
    options that it does not have, for what is no range, and for options that somebody has to say.
    """
    if name not in SPACES and not ranges:
        raise ValueError(f"{name}: nobody has said where it is searched; say a range for each option, as of its weight")
    known = entry.Options.model_fields
    if strange := [one for one in (*fixed, *ranges) if one not in known]:
        raise ValueError(f"{name}: found the option {strange[0]!r}; allowed: {', '.join(known)}")
    if both := [one for one in fixed if one in ranges]:
        raise ValueError(f"{name}.{both[0]}: found a value and a range; allowed is one of them")
    spans = {option: _span(f"{name}.{option}", said) for option, said in ranges.items()}
    space = {option: what for option, what in (SPACES.get(name, {}) | spans).items() if option not in fixed}
    if missing := unsaid(entry.Options, space, fixed):
        values = json.dumps({name: dict.fromkeys(missing, "…")}, ensure_ascii=False)
        cure = f"--options '{values}'"
        raise ValueError(f"{name}: needs {' and '.join(missing)}, which is a question and no strength; say it: {cure}")
    return Searched(name, entry, space, dict(fixed))


def _span(name: str, said: Any) -> Span:
    numbers = isinstance(said, list) and len(said) == 2 and all(type(one) in (int, float) for one in said)
    if not numbers or not said[0] < said[1]:
        raise ValueError(f"{name}: found {said!r}; allowed are two numbers, [low, high], the lower one first")
    return Span(said[0], said[1], log=said[0] > 0)
