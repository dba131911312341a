"""A registry: names and what they stand for, as a literal dict, and what other packages add to it.

A package of somebody's own adds an entry by its metadata, and no line of this project changes::

    [project.entry-points."collapselab.metrics"]
    spread = "our_package.spread:SPREAD"

Looking for such packages costs some milliseconds, which only those pay who ask for a name that is not here, or for all
names.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

Entry = TypeVar("Entry")


@cache
def installed() -> "EntryPoints":
    """What all installed packages offer, which is looked up once."""
    from importlib.metadata import entry_points

    return entry_points()


class Registry(dict[str, Entry]):
    """name -> entry: the ``own`` ones of this project, and those that installed packages name under ``group``.

    An entry of this project cannot be replaced from outside: of two with one name it is the one that counts.
    """

    def __init__(self, group: str, own: Mapping[str, Entry]):
        super().__init__(own)
        self.group = group

    @cached_property
    def _offered(self) -> "dict[str, EntryPoint]":
        """Entries of other packages, by name, in alphabetical order."""
        found = sorted(installed().select(group=self.group), key=lambda one: one.name)
        return {one.name: one for one in found if not dict.__contains__(self, one.name)}

    def origin(self, name: str) -> str | None:
        """Where the entry of another package stands, as ``module:name``; None for one of this project."""
        offered = self._offered.get(name)
        return None if offered is None else offered.value.partition(" ")[0]

    def __missing__(self, name: str) -> Entry:
        """The entry of another package.

        Raises KeyError for a name that nobody offers, ValueError for an entry that cannot be loaded.
        """
        if name not in self._offered:
            raise KeyError(name)
        offered = self._offered[name]
        try:
            entry = offered.load()
        except Exception as error:  # whatever a stranger's module does
            by = offered.dist.name if offered.dist else offered.value
            raise ValueError(f"{self.group}: {name!r} of the package {by} cannot be loaded: {error}") from error
        self[name] = entry
        return entry

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or name in self._offered

    def __iter__(self) -> Iterator[str]:
        yield from list(dict.__iter__(self))
        yield from (name for name in self._offered if not dict.__contains__(self, name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> KeysView[str]:
        """All names."""
        return dict.fromkeys(self).keys()

    def values(self) -> ValuesView[Entry]:
        """All entries, loaded."""
        return {name: self[name] for name in self}.values()

    def items(self) -> ItemsView[str, Entry]:
        """All names with their entries, loaded."""
        return {name: self[name] for name in self}.items()

    def get(self, name: str, default: Any = None) -> Any:
        """The entry, or the default where nobody has it."""
        try:
            return self[name]
        except KeyError:
            return default
