"""How far a piece of work is: its loops say so, and who shows it listens. Nobody who works prints.

Where nobody listens, a loop over ``counted(items, ...)`` is the loop over ``items``. What is said here changes no
number, and so no job runs again for it (``store.provenance``).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(eq=False)
class Part:
    """A loop at work. done, of: how many ``unit``, of None where nobody knows; at: what is at work now, in a word.

    what: the work that the loop is, where it has a name of its own.
    """

    unit: str
    of: int | None = None
    done: int = 0
    at: str = ""
    loss: float | None = None
    what: str = ""


_heard: ContextVar[list[Part] | None] = ContextVar("parts at work, the outermost first", default=None)


@contextmanager
def listening() -> Iterator[list[Part]]:
    """Within it the loops at work are in the list that it gives: the outermost first, each with how far it is."""
    parts: list[Part] = []
    token = _heard.set(parts)
    try:
        yield parts
    finally:
        _heard.reset(token)


def heard() -> list[Part] | None:
    """The loops at work; None where nobody listens."""
    return _heard.get()


def counted(items: Iterable[Item], unit: str, of: int | None = None) -> Iterable[Item]:
    """The same items, counted while they are worked at: a slice counts as its rows, all else as one.

    unit: what they are, in the plural. of: how many there are; None for the length of ``items``, if it has one. Items
    that are words, or begin with some, are told by these.
    """
    parts = _heard.get()
    if parts is None:
        return items
    if of is None and hasattr(items, "__len__"):
        of = len(items)
    return _counted(items, Part(unit, of), parts)


def _counted(items: Iterable[Item], part: Part, parts: list[Part]) -> Iterator[Item]:
    parts.append(part)
    try:
        for item in items:
            part.at = _word(item)
            yield item
            part.done += item.stop - item.start if isinstance(item, slice) else 1
    finally:
        parts.remove(part)


def _word(item: object) -> str:
    """What an item is called; empty for one without a name."""
    if isinstance(item, tuple) and item:
        return " ".join(filter(None, map(_word, item[0]))) if isinstance(item[0], tuple) else _word(item[0])
    return item if isinstance(item, str) else ""


def share(parts: Iterable[Part]) -> float | None:
    """Which share of the whole is done, from 0 to 1, if all steps of a loop take as long; None where none is known.

    Of the outermost loop d of n steps are done, and a share s of the next, as the loops within tell: (d + s) / n.
    """
    known = [part for part in parts if part.of]
    found = 0.0
    for part in reversed(known):
        found = (min(part.done, part.of) + found * (part.done < part.of)) / part.of
    return min(found, 1.0) if known else None
