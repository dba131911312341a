"""A study at a size of minutes: ``NAME-toy``, which lies in no file, is ``NAME`` with its ``toy`` put over it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .faults import BadStudy, Fault, mapping, unknown
from .reading import TOY as SUFFIX
from .reading import parse

Lines = dict[tuple[str | int, ...], int]


def base(path: Path) -> Path:
    """The file of a study that may be a toy: of one that lies in no file itself that which it is derived from."""
    of = path.with_stem(path.stem.removesuffix(SUFFIX))
    return of if path.stem.endswith(SUFFIX) and not path.exists() and of.exists() else path


def read(path: Path) -> tuple[dict[str, Any], Lines, list[Fault]]:
    """What a study says, as :func:`reading.parse` gives it, toys included. Raises BadStudy where there is no study."""
    of = base(path)
    raw, lines, faults = parse(of)
    if of == path:
        return raw, lines, faults
    if not isinstance(raw.get("toy"), dict):
        cure = "say in it what a small one has instead, such as toy: {seeds: 3, generations: 2}"
        what = f"the key toy of {of} says nothing" if "toy" in raw else f"found no key toy in {of}"
        raise BadStudy(path, [Fault((), f"{what}, of which it would be made; {cure}")])
    inside = {key[1:]: line for key, line in lines.items() if key[:1] == ("toy",)}
    return toy(raw, path.stem), lines | inside, [*faults, *idle(raw)]


def toy(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a toy says: the study with the changes under its ``toy``."""
    plain = {key: value for key, value in raw.items() if key != "toy"}
    return merged(plain, mapping(raw.get("toy"))) | {"name": name}


OWN = {"name": "is that of the study with -toy behind it; leave it out", "toy": "is of the study alone; leave it out"}


def idle(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """The changes under a study's ``toy`` that change nothing, by which something else must have been meant."""
    changes = raw.get("toy")
    if not isinstance(changes, Mapping):
        return
    yield from (Fault(("toy", key), message) for key, message in OWN.items() if key in changes)
    rest = {key: change for key, change in changes.items() if key not in OWN}
    found = list(_idle(raw, rest, ("toy",)))
    plain = {key: value for key, value in raw.items() if key != "toy"}
    if not found and merged(plain, rest) == plain:
        found = [
            Fault(("toy",), "changes nothing of the study; say what is smaller, such as seeds: 3, or leave it out")
        ]
    yield from found


def _idle(said: Any, changes: Mapping[Any, Any], where: tuple[str | int, ...]) -> Iterator[Fault]:
    """Keys that null would take away, and that are not there; and mappings that say nothing."""
    there = mapping(said)
    for key, change in changes.items():
        if change is None and key not in there:
            allowed = [one for one in there if len(where) > 1 or one not in OWN]
            yield Fault((*where, key), f"null takes a key away that is not there: {unknown(key, allowed, 'key')}")
        elif isinstance(change, Mapping) and not change and isinstance(there.get(key), Mapping):
            yield Fault((*where, key), f"changes nothing of the study's {key}; say what is other, or leave it out")
        elif isinstance(change, Mapping):
            yield from _idle(there.get(key), change, (*where, key))


def merged(said: Any, changes: Any) -> Any:
    """A value with changes put over it: mappings key by key, where null takes a key away, anything else as a whole.

    A merge patch (RFC 7396, https://www.rfc-editor.org/rfc/rfc7396).
    """
    if not isinstance(changes, Mapping):
        return changes
    found = dict(said) if isinstance(said, Mapping) else {}
    for key, change in changes.items():
        if change is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), change)
    return found
