"""Which source code a job depends on, as one hash: the reason for Snakemake to run it again.

Snakemake does not see edits to an installed package. So every rule lists under ``params`` the hash of its source: of
the *definitions* (functions, classes, constants of modules) that are reached from those that the job calls, found by
reading the files and never by running them. What is not reached does not count, nor do comments, docstrings, the
descriptions of options, the names of definitions, and the modules in which they stand: a definition may be renamed or
moved, and no job runs again.

A registry is a boundary: who uses one names the entries that it uses, as ``collapselab.metrics:METRICS[recall]``. So is
what an entry says to few of its users (``ASIDE``), who name it: ``collapselab.metrics:METRICS[recall]/roles``.
"""

import atexit
import contextlib
import hashlib
import importlib
import json
import sys
from collections.abc import Iterable
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..bytes import FORMAT, write_atomically
from .source import APART as APART
from .source import FOLDERS as FOLDERS
from .source import PACKAGE as PACKAGE
from .source import Definition, home_of, literal_of, numbered, parts_of, reached_from, root_of

# -- hashes -----------------------------------------------------------------------------------------------------------


@cache
def source_hash(*roots: str) -> str:
    """A short hash of all definitions that are reached from ``roots``.

    A root is ``module:name``, ``module:REGISTRY[entry]``, a field of either (``/field``), or ``module:*`` for all of a
    module. Each gets a number when it is first reached, by which others know it. Raises LookupError for one not there.
    """
    memory = _memory()
    if memory and (known := memory.get(roots)):
        return known
    reached = reached_from(roots)
    text = "\n".join("".join(str(numbered(part, reached)) for part in parts_of(one)) for one in reached)
    first = [reached[root_of(root)] for root in roots]
    found = hashlib.sha256(f"{FORMAT} {first}\n{text}".encode()).hexdigest()[:12]
    if memory and all(one.module.partition(".")[0] == PACKAGE for one in reached):
        memory.keep(roots, found)
    return found


def sources(*roots: str) -> dict[str, str]:
    """Every definition that is reached from ``roots``, as ``module:name``, with a short hash of its own text alone."""
    return {str(one): _own_hash(one) for one in reached_from(roots)}


def named(thing: type | object) -> str:
    """The root that a function or a class is."""
    return f"{thing.__module__}:{thing.__qualname__.partition('.')[0]}"


def entries(registry: str, names: Iterable[str], field: str = "") -> list[str]:
    """The roots that entries of a registry of this package are, such as ``metrics:METRICS``; or one field of each.

    Raises LookupError for one that is not there, ValueError for one of another package whose source nobody can read.
    """
    return [root for name in dict.fromkeys(names) for root in _entry_roots(f"{PACKAGE}.{registry}", name, field)]


def _entry_roots(registry: str, name: str, field: str) -> list[str]:
    asked, memory = (registry, name, field), _memory()
    if memory and (known := memory.get(asked)):
        return [known]
    module, _, variable = registry.partition(":")
    home, behind = home_of(module, variable), f"/{field}" if field else ""
    if isinstance(home, Definition) and literal_of(home, name) is not None:
        root = f"{registry}[{name}]{behind}"
        if memory:
            memory.keep(asked, root)
        return [root]
    known = getattr(importlib.import_module(module), variable)
    if origin := known.origin(name):
        return _strangers_roots(origin, known[name], behind)
    return [] if field else list(map(named, _consists_of(known[name])))


def _strangers_roots(origin: str, entry: Any, behind: str) -> list[str]:
    """The roots that an entry of another package is: what its entry point names.

    Where that cannot be found by reading (it stands in a class, or is bound as the module runs) it is the functions and
    classes of that package that the entry consists of, and all of their modules and of the one that is named.
    """
    if _is_readable(f"{origin}{behind}"):
        return [f"{origin}{behind}"]
    module = origin.partition(":")[0]
    package = module.partition(".")[0]
    theirs = [part for part in _consists_of(entry) if part.__module__.partition(".")[0] == package]
    modules = dict.fromkeys([module, *(part.__module__ for part in theirs)])
    roots = [*(f"{one}:*{behind}" for one in modules), *map(named, theirs)]
    if found := [root for root in roots if _is_readable(root)]:
        return found
    remedy = "let the entry point name what a .py file of that package defines"
    raise ValueError(f"{origin}: its source cannot be read, and no job would see that it has changed; {remedy}")


def _consists_of(entry: Any) -> list[Any]:
    """The functions and classes that an entry consists of."""
    parts = [entry, *(vars(entry).values() if is_dataclass(entry) else ())]
    parts += entry if isinstance(entry, tuple) else []
    return [part for part in parts if hasattr(part, "__qualname__")]


def _is_readable(root: str) -> bool:
    """Whether there is source behind a root."""
    try:
        return bool(parts_of(root_of(root)))
    except (LookupError, SyntaxError):
        return False


@cache
def _own_hash(one: Definition) -> str:
    text = "".join(part.name if isinstance(part, Definition) else part for part in parts_of(one))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# -- memory -----------------------------------------------------------------------------------------------------------


class Memory:
    """Hashes that were found before, as long as no file of this package has changed.

    Finding them takes a second of every plan; to read all files of the package and see that they are the same takes a
    hundredth. What hangs on another package is not remembered.
    """

    def __init__(self, path: Path):
        self.path, self.source, self.changed = path, _digest(), False
        self.found = self._left()

    def _left(self) -> dict[str, str]:
        """What lies there of the same files; nothing where nobody has written it yet, or somebody else has."""
        try:
            said = json.loads(self.path.read_text(encoding="utf-8"))
            if said["source"] == self.source and all(isinstance(one, str) for one in said["found"].values()):
                return dict(said["found"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            pass
        return {}

    def get(self, asked: tuple[str, ...]) -> str | None:
        """What was found for these words; None for nothing."""
        return self.found.get("|".join(asked))

    def keep(self, asked: tuple[str, ...], found: str) -> None:
        """Remember it."""
        self.found["|".join(asked)] = found
        self.changed = True

    def write(self) -> None:
        """Leave it for the next process, if there is anything new and a place for it; beside what others have left."""
        if self.changed and self.path.parent.parent.is_dir():
            text = json.dumps({"source": self.source, "found": self._left() | self.found})
            with contextlib.suppress(OSError, ValueError):  # without it hashes are found anew, which takes a second
                self.path.parent.mkdir(exist_ok=True)
                write_atomically(self.path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


FOLDER = Path(".snakemake") / "collapselab"
"""Where a workflow keeps what it remembers of source code, in the folder in which it runs."""

_place: list[Path] = []


def remember_in(folder: Path) -> None:
    """From now on read hashes that earlier processes have left in a folder, and leave those that are new at the end."""
    _place[:] = [folder / "hashes.json"]
    _memory.cache_clear()


def leave() -> None:
    """Leave what is new now: for a process that ends without what Python does at its end."""
    if _memory.cache_info().currsize and (memory := _memory()):
        memory.write()


@cache
def _memory() -> Memory | None:
    """What is remembered, read when it is first asked for; None where nobody has said that anything is."""
    if not _place:
        return None
    memory = Memory(_place[0])
    atexit.register(memory.write)
    return memory


def _digest() -> str:
    """Of all files of this package, and of what else a hash depends on."""
    digest = hashlib.sha256(f"{FORMAT} {sys.version_info[:2]}".encode())
    folder = FOLDERS[PACKAGE]
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    for path in sorted(files):  # data and templates beside a module are read by it
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
