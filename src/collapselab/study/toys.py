"""A study at a size of minutes: ``NAME-toy``, which lies in no file, is ``NAME`` with its ``toy`` put over it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .faults import BadStudy, Fault, mapping
from .reading import parse

SUFFIX = "-toy"
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
        raise BadStudy(path, [Fault((), f"found no key toy in {of}, of which it would be made; {cure}")])
    inside = {key[1:]: line for key, line in lines.items() if key[:1] == ("toy",)}
    return toy(raw, path.stem), lines | inside, faults


def toy(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a toy says: the study with the changes under its ``toy``."""
    plain = {key: value for key, value in raw.items() if key != "toy"}
    return merged(plain, mapping(raw.get("toy"))) | {"name": name}


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
