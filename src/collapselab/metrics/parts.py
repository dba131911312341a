"""What the numbers of a metric that gives several are called (``Roles.parts``), before anything is measured."""

import re
from collections.abc import Iterator, Sequence
from typing import get_origin, get_type_hints

from .base import Metric

NUMBERS = {"{class}": "the number of a class", "{region}": "the number of a region", "{level}": "a level"}
COLUMN = "{column}"


def several(metric: Metric) -> bool:
    """Whether it gives several numbers, each by a name."""
    return get_origin(get_type_hints(metric.function).get("return")) is dict


def is_part(metric: Metric, name: str, columns: Sequence[str] = (), classes: int | None = None) -> bool:
    """Whether one of its numbers may have a name; of a metric that does not say its names any may be.

    columns: the names of the features' columns, empty where nobody knows them. classes: how many there are, if known.
    """
    if not metric.roles.parts:
        return True
    for part in metric.roles.parts:
        if part == "{class}" and classes is not None:
            if re.fullmatch(r"0|[1-9]\d*", name) and int(name) < classes:
                return True
        elif re.fullmatch(_pattern(part, columns), name):
            return True
    return False


def in_words(metric: Metric, columns: Sequence[str] = (), classes: int | None = None) -> str:
    """The names that its numbers may have, for messages."""
    return ", ".join(_said(metric.roles.parts, columns, classes))


def _pattern(part: str, columns: Sequence[str]) -> str:
    found = re.escape(part)
    for place in NUMBERS:
        found = found.replace(re.escape(place), r"(0|[1-9]\d*)")
    return found.replace(re.escape(COLUMN), f"({'|'.join(map(re.escape, columns)) or '.+'})")


def _said(parts: Sequence[str], columns: Sequence[str], classes: int | None) -> Iterator[str]:
    for part in parts:
        if part == "{class}" and classes is not None:
            yield f"{NUMBERS[part]} from 0 to {classes - 1}"
        elif COLUMN in part:
            yield from (part.replace(COLUMN, column) for column in columns or ("the name of a column",))
        else:
            for place, words in NUMBERS.items():
                part = part.replace(place, words)
            yield part
