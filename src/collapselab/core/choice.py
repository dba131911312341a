"""A name with options: the one way in which a study, and options inside options, name an entry of a registry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self, get_args

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.fields import FieldInfo
    from pydantic_core import CoreSchema


class Options(BaseModel):
    """Options of one entry of a registry."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoOptions(Options):
    """Nothing to choose."""


@dataclass(frozen=True)
class Choice:
    """An entry by its name, with the options that are said of it: ``name``, or ``{name: {option: value}}``."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Any) -> Self:
        """What stands in a file. Raises ValueError for anything but the two forms."""
        if isinstance(said, cls):
            return said
        if isinstance(said, str):
            return cls(said)
        if isinstance(said, Mapping) and len(said) == 1:
            name, options = next(iter(said.items()))
            if isinstance(name, str) and isinstance(options, Mapping):
                return cls(name, dict(options))
        raise ValueError(f"found {repr(said)[:80]}; should be a name, or {{name: {{option: value}}}}")

    @property
    def said(self) -> str | dict[str, dict[str, Any]]:
        """The shorter of the two forms."""
        return {self.name: dict(self.options)} if self.options else self.name

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        back = core_schema.plain_serializer_function_ser_schema(lambda choice: choice.said)
        return core_schema.no_info_plain_validator_function(cls.of, serialization=back)


def nested(options: BaseModel, registry: str) -> dict[str, Choice]:
    """The choices from a registry among options, by the option that makes them, which may go without, or name several:
    ``rewards.0``, ``rewards.1``.
    """
    return _marked(options, From(registry), Choice)


def marks(about: "FieldInfo") -> list[Any]:
    """What an option is marked with, itself or its parts."""
    return [*about.metadata, *_marks(about.annotation)]


def _marks(annotation: Any) -> list[Any]:
    found = list(getattr(annotation, "__metadata__", ()))
    return found + [mark for part in get_args(annotation) for mark in _marks(part)]


class From(NamedTuple):
    """Says from which registry a :class:`Choice` comes: ``Annotated[Choice, From("metrics")]``."""

    registry: str

    def __get_pydantic_json_schema__(self, schema: "CoreSchema", handler: "GetJsonSchemaHandler") -> dict[str, Any]:
        """A mark, in whose place :func:`study.schema.schema` puts the names of the registry and their options."""
        return {CHOICE: self.registry}


CHOICE = "x-choice"


class Names(NamedTuple):
    """Says that a word is a registry's name, whose options stand elsewhere: ``Annotated[str, Names("extractors")]``."""

    registry: str

    def __get_pydantic_json_schema__(self, schema: "CoreSchema", handler: "GetJsonSchemaHandler") -> dict[str, Any]:
        """A mark, in whose place :func:`study.schema.schema` puts the names of the registry."""
        return {NAMES: self.registry}


NAMES = "x-names"


def named(options: BaseModel, registry: str) -> dict[str, str]:
    """The names from a registry among options, by the option that says them; several are ``extractors.0``, …``.1``."""
    return _marked(options, Names(registry), str)


class File(NamedTuple):
    """Says that a word is the path of a file or folder of the user's, whose bytes count like an option."""


FileName = Annotated[str, File()]


def files(options: BaseModel) -> dict[str, str]:
    """The paths of files among options, by the option that says them."""
    return _marked(options, File(), str)


def _marked(options: BaseModel, mark: Any, kind: type) -> dict[str, Any]:
    """The values of options that are marked so, and of such a kind; of several, each with its number, and of options
    that stand in an option, each behind its name: ``forget.images``, ``forget.earlier.0.images``."""
    found: dict[str, Any] = {}
    for name, about in type(options).model_fields.items():
        value = getattr(options, name)
        within = value if isinstance(value, tuple) else ()
        for place, part in ((name, value), *((f"{name}.{index}", one) for index, one in enumerate(within))):
            if isinstance(part, Options):
                found |= {f"{place}.{inside}": one for inside, one in _marked(part, mark, kind).items()}
        if mark not in marks(about):
            continue
        several = isinstance(value, list | tuple)
        found |= {f"{name}.{index}": one for index, one in enumerate(value)} if several else {name: value}
    return {name: one for name, one in found.items() if isinstance(one, kind)}
