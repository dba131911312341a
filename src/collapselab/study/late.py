"""Sequences over generations that go on after the last one of their study: what they say there would never hold."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from ..compose.regimes import BY_GENERATION
from ..core.choice import marks
from .choices import CHOICES, Path, found
from .faults import Fault
from .file import StudyFile


def late_faults(raw: Mapping[str, Any], generations: int) -> Iterator[Fault]:
    """What a file says of generations after the last, of whatever may be said by generation, itself or in a choice.

    The file is right but for that. generations: T, where generations are 0 .. T.
    """
    yield from _inside(StudyFile, raw, (), generations)
    for one in found(raw):
        kind, choice = CHOICES[one.registry], one.choice
        if choice is not None and choice.name in kind.entries:
            options = kind.options(kind.entries[choice.name])
            yield from _inside(options, choice.options, one.inside, generations)


def _inside(model: type[BaseModel], said: Mapping[str, Any], where: Path, last: int) -> Iterator[Fault]:
    """The faults of what is said of a model's fields."""
    for name, about in model.model_fields.items():
        for key in dict.fromkeys((name, about.alias or name)):
            if key in said and BY_GENERATION in marks(about):
                yield from _late(said[key], (*where, key), last)
            elif key in said:
                for part, inside, path in _models(about.annotation, said[key], (*where, key)):
                    yield from _inside(part, inside, path, last)


def _late(said: Any, where: Path, last: int) -> Iterator[Fault]:
    keys = [int(key) for key in said if str(key).isdecimal()] if isinstance(said, Mapping) else []
    if late := sorted(key for key in keys if key > last):
        several = len(late) > 1
        names = f"{'generations' if several else 'generation'} {', '.join(map(str, late))}"
        cure = f"leave {'them' if several else 'it'} out, or say generations: {late[-1]}"
        yield Fault(where, f"names {names}; the last of the study is {last}: {cure}")


def _models(annotation: Any, said: Any, where: Path) -> Iterator[tuple[type[BaseModel], Mapping[str, Any], Path]]:
    """What of a value is read as a model, by which, and where it stands."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if isinstance(said, Mapping):
            yield annotation, said, where
        return
    parts, names = get_args(annotation), [(None, said)]
    if get_origin(annotation) is dict and isinstance(said, Mapping):
        parts, names = parts[1:], list(said.items())
    elif get_origin(annotation) is list and isinstance(said, list):
        names = list(enumerate(said))
    for part in parts:
        for name, one in names:
            yield from _models(part, one, where if name is None else (*where, name))
