"""Adaptations as a reader sees them: their curves over the images that they have seen, and what they have found."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from markupsafe import Markup

from ..adapt.base import Step
from ..adapt.rewarding import MEASURED
from ..metrics import METRICS
from ..verdicts import StudyFacts
from .lines import Line, Stop, chart
from .numbers import some

SEEN = "images_seen"
WORDS = {"path_kl": "KL of paths (nats)"}
PALEST = 0.35  # of the first generation's lines


class Series(NamedTuple):
    """Numbers over the images that an adapter has seen."""

    name: str
    seen: list[float]
    values: list[float | None]


def series_of(facts: Mapping[str, Any]) -> list[Series]:
    """All series among the facts of an adapter: every list beside a list ``images_seen`` of equal length.

    Checks come before the curve of the training; a name that comes again says of which group it is.
    """
    found: dict[str, Series] = {}
    maps = {name: one for name, one in facts.items() if isinstance(one, Mapping)}
    groups = [(name, one) for name, one in maps.items() if isinstance(one.get(SEEN), list)]
    for group, numbers in sorted(groups, key=lambda one: one[0] == "training"):
        for name, values in numbers.items():
            if name != SEEN and _is_series(values, len(numbers[SEEN])):
                called = f"{name} ({group})" if name in found else name
                found[called] = Series(called, list(numbers[SEEN]), list(values))
    return sorted(found.values(), key=lambda one: MEASURED.index(one.name) if one.name in MEASURED else len(MEASURED))


def _is_series(values: Any, length: int) -> bool:
    numbers = isinstance(values, list) and all(one is None or isinstance(one, Real) for one in values)
    return numbers and len(values) == length > 0


def stop_of(facts: Mapping[str, Any]) -> tuple[float | None, str]:
    """After how many images an adapter has stopped by itself, and why in words; None and nothing where it has not."""
    stopped = facts.get("stopped")
    if not isinstance(stopped, Mapping):
        return None, str(stopped or "")
    words = ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in stopped.items() if _short(value))
    at = stopped.get(SEEN)
    return (float(at) if isinstance(at, Real) else None), words


def _short(value: Any) -> bool:
    return isinstance(value, str | Real) and value != ""


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, Real) and not isinstance(value, bool | int) else str(value)


def found_by(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What an adapter says beside its curves, as name and words: single numbers and words, also of small groups."""
    for name, value in facts.items():
        if name == "stopped":
            yield "stopped", stop_of(facts)[1]
        elif _short(value):
            yield name.replace("_", " "), _plain(value)
        elif isinstance(value, Mapping) and value and all(_short(one) for one in value.values()):
            told = ", ".join(f"{key} {_plain(one)}".replace("_", " ") for key, one in value.items())
            yield name.replace("_", " "), told


def drawn(facts: Mapping[str, Any]) -> list[Markup]:
    """The charts of one adaptation: one for every series, all over the same images."""
    at, words = stop_of(facts)
    lines = {one.name: [Line(one.seen, one.values)] for one in series_of(facts)}
    return _charts(lines, [] if at is None else [Stop(at, words)])


def _charts(lines: Mapping[str, Sequence[Line]], stops: Sequence[Stop]) -> list[Markup]:
    until = max((line.x[-1] for of in lines.values() for line in of), default=0)
    return [chart(_title(name), of, "images", stops, until) for name, of in lines.items()]


def _title(name: str) -> str:
    words = METRICS[name].label if name in METRICS else WORDS.get(name, name.replace("_", " "))
    return words[:1].upper() + words[1:]


# -- in a study --------------------------------------------------------------------------------------------------------


def of_study(facts: StudyFacts, colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """For each arm that adapts its adapters: their charts over all generations and seeds, and their ends in words."""
    return [
        {"arm": arm, "steps": [_step(steps, facts.generations, colours[arm]) for steps in _by_place(facts, arm)]}
        for arm in facts.arms
        if any(whose == arm for whose, _, _ in facts.adaptations)
    ]


def _by_place(facts: StudyFacts, arm: str) -> Iterator[dict[tuple[int, int], Step]]:
    """For each place in the arm's chain: (generation, seed) -> what was done there."""
    cells = {(t, seed): steps for (whose, seed, t), steps in facts.adaptations.items() if whose == arm}
    shown = set(some(sorted({seed for _, seed in cells})))
    for place in range(max(map(len, cells.values()))):
        yield {cell: cells[cell][place] for cell in sorted(cells) if cell[1] in shown and len(cells[cell]) > place}


def _step(steps: Mapping[tuple[int, int], Step], generations: int, colour: str) -> dict[str, Any]:
    lines: dict[str, list[Line]] = {}
    stops, ends = [], []
    for (generation, seed), step in steps.items():
        label = f"generation {generation}, seed {seed}"
        strength = PALEST + (1 - PALEST) * generation / max(generations, 1)
        for one in series_of(step.facts):
            lines.setdefault(one.name, []).append(Line(one.seen, one.values, label, colour, strength))
        at, words = stop_of(step.facts)
        stops += [] if at is None else [Stop(at, f"{label}: {words}", colour)]
        ends += [f"{label}: {words}"] if words else []
    name = next(iter(steps.values())).name
    return {"name": name, "charts": _charts(lines, stops), "ends": ends, "found": _found(steps)}


def _found(steps: Mapping[tuple[int, int], Step]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What is said beside curves and ends: (generation and seed, name and words)."""
    told = []
    for (generation, seed), step in steps.items():
        said = [(name, words) for name, words in found_by(step.facts) if name != "stopped" and words]
        told += [(f"generation {generation}, seed {seed}", said)] if said else []
    return told
