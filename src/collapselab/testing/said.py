"""How a law is held, and what is said where it is broken: an AssertionError with what was found and what is asked."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel


def law(holds: Any, said: str) -> None:
    """Raise AssertionError with the sentence ``said`` unless a law holds.

    It is no ``assert``: what these laws say has to be said under ``python -O``, and without pytest, too.
    """
    if not holds:
        raise AssertionError(said)


def refused(call: Callable[[], Any], words: str, what: str, error: type[Exception] = ValueError) -> None:
    """Hold that ``call`` raises an ``error`` whose message has the ``words``; ``what`` says what it was given."""
    asked = f"asked is a {error.__name__}" + (f" that names {words!r}" if words else "")
    try:
        call()
    except error as found:
        law(words in str(found), f"{what}: found the message {str(found)!r}, {asked}")
    except Exception as found:
        raise AssertionError(f"{what}: found {type(found).__name__}: {found}; {asked}") from found
    else:
        raise AssertionError(f"{what}: it was taken; {asked}")


def same(one: Any, other: Any) -> bool:
    """Whether two arrays, or two Nones, have the same type, shape and bits; nan is nan."""
    if one is None or other is None:
        return one is other
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first name under which two mappings of arrays do not have the same bits; None where all are alike."""
    names = dict.fromkeys([*one, *other])
    return next(
        (name for name in names if name not in one or name not in other or not same(one[name], other[name])), None
    )


def survives(value: Any) -> bool:
    """Whether a value is the same after it has been JSON."""
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False


def described(name: str, options: type[BaseModel]) -> None:
    """Hold that every option has a description, which editors show."""
    unsaid = [option for option, field in options.model_fields.items() if not field.description]
    law(not unsaid, f"{name}: the options {named(unsaid)} have no description")


def named(things: Iterable[Any]) -> str:
    """Several things in words: ``a, b``; ``none``."""
    return ", ".join(map(str, things)) or "none"


def entry_of(thing: Any, registry: dict[str, Any]) -> tuple[str, Any]:
    """The name and the entry of what is given: a name in a registry, an entry of it, or what stands in none yet."""
    if isinstance(thing, str):
        return thing, registry[thing]
    for name, entry in dict.items(registry):  # without those of other packages, which need not load
        if entry is thing:
            return name, thing
    return getattr(thing, "__name__", type(thing).__name__).lower(), thing
