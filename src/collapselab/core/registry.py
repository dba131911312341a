"""A registry: names and what they stand for, as a literal dict, and what other packages add to it.

A package of somebody's own adds an entry by its metadata, and no line of this project changes::

    [project.entry-points."collapselab.metrics"]
    spread = "our_package.spread:SPREAD"

Looking for such packages costs some milliseconds, which only those pay who ask for a name that is not here, or for all
names.
"""

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args, get_origin

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

    An entry of this project cannot be replaced from outside: of two with one name it is the one that counts. kind: what
    entries are, as an annotation says it: ``Metric``, or ``type[Model]`` where they are classes.
    """

    def __init__(self, group: str, own: Mapping[str, Entry], kind: Any = object):
        super().__init__(own)
        self.group, self.kind = group, kind

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

        Raises KeyError for a name that nobody offers, ValueError for an entry that cannot be loaded, or is none.
        """
        if name not in self._offered:
            raise KeyError(name)
        offered = self._offered[name]
        said = f"{self.group}: {name!r} of the package {offered.dist.name if offered.dist else offered.value}"
        try:
            entry = offered.load()
        except Exception as error:  # whatever a stranger's module does
            raise ValueError(f"{said} cannot be loaded: {error}") from error
        if not _is_one(entry, self.kind):
            raise ValueError(f"{said}: found {_short(entry)} at {offered.value}; allowed is {_worded(self.kind)}")
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


def usable(
    entries: Mapping[str, Entry], tell: Callable[[str], object] = lambda fault: None
) -> Iterator[tuple[str, Entry]]:
    """The names and entries that can be loaded; a broken one is told of, and nobody who did not ask for it fails."""
    for name in entries:
        try:
            entry = entries[name]
        except ValueError as fault:
            tell(str(fault))
        else:
            yield name, entry


def _is_one(entry: Any, kind: Any) -> bool:
    """Whether an entry is of its registry's kind; a class is of a protocol that has all that its classes have."""
    if not (asked := get_args(kind)):
        return isinstance(entry, kind)
    if not isinstance(entry, type) or not getattr(asked[0], "_is_protocol", False):
        return isinstance(entry, type) and issubclass(entry, asked[0])
    said = [name for name, what in asked[0].__annotations__.items() if get_origin(what) is ClassVar]
    methods = [name for name, what in vars(asked[0]).items() if callable(what) or isinstance(what, classmethod)]
    return all(hasattr(entry, name) for name in (*said, *methods) if not name.startswith("_"))


def _worded(kind: Any) -> str:
    """What a registry asks for, in words."""
    asked = get_args(kind)
    one = asked[0] if asked else kind
    return f"{'a class that is a' if asked else 'an instance of'} {one.__name__} ({one.__module__})"


def _short(entry: Any) -> str:
    """What was found in an entry's place, cut short."""
    text = repr(entry)
    return text if len(text) <= 80 else text[:77] + "…"
