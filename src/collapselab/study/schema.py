"""The JSON schema of a study's file, for editors: complete to the options of every name."""

from collections.abc import Callable, Iterator
from typing import Any

from ..compose.regimes import REGIMES, Regime
from ..core.choice import CHOICE, NAMES
from ..core.registry import usable
from .choices import CHOICES, Kind, arguments
from .file import StudyFile


def schema() -> dict[str, Any]:
    """The JSON schema of a study's file: what is chosen by name is one of its registry, with just its options."""
    shape = StudyFile.model_json_schema()
    definitions = shape["$defs"]
    for registry, kind in CHOICES.items():
        definitions[registry] = _regimes(definitions) if registry == "regimes" else _choice(registry, kind, definitions)
    for part in list(_parts(shape)):
        if CHOICE in part:
            part["$ref"] = f"#/$defs/{part.pop(CHOICE)}"
        if NAMES in part:
            part |= {"type": "string", "enum": sorted(name for name, _ in usable(CHOICES[part.pop(NAMES)].entries))}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **shape, "title": "A collapselab study"}


def _choice(registry: str, kind: Kind, definitions: dict[str, Any]) -> dict[str, Any]:
    """One of the names, or one of them with its options."""
    entries = {name: kind.options(entry) for name, entry in usable(kind.entries)}
    forms = {name: _options(f"{registry}.{name}", options, definitions) for name, options in entries.items()}
    # A name is enough where no option has to be said.
    names = [name for name, options in forms.items() if not options.get("required")]
    return _forms(names, forms)


def _forms(names: list[str], forms: dict[str, Any]) -> dict[str, Any]:
    each = [
        {"type": "object", "properties": {name: form}, "required": [name], "additionalProperties": False}
        for name, form in forms.items()
    ]
    return {"anyOf": [{"enum": names}, *each] if names else each} if each else {"not": {}}


def _options(place: str, options: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model of options; what it refers to is kept apart under the place's name."""
    found = options.model_json_schema(ref_template=f"#/$defs/{place}.{{model}}")
    for name, part in found.pop("$defs", {}).items():
        definitions[f"{place}.{name}"] = part
    return found


def _regimes(definitions: dict[str, Any]) -> dict[str, Any]:
    """The presets with their numbers, and the algebra; an arm's initial is the study's where it names none."""
    algebra = Regime.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(algebra.pop("$defs"))
    algebra["required"] = []
    init = algebra["properties"]["init"]
    forms = {name: _preset(preset, init) for name, preset in REGIMES.items()}
    names = [name for name, form in forms.items() if not form["required"]]
    return _forms(names, forms | {"algebra": algebra})


def _preset(preset: Callable[..., Regime], init: Any) -> dict[str, Any]:
    shape = arguments(preset).model_json_schema()
    shape["properties"] = {**shape["properties"], "init": init}
    shape["required"] = [key for key in shape.get("required", []) if key not in ("n", "initial")]
    return shape


def _parts(shape: Any) -> Iterator[dict[str, Any]]:
    """All mappings inside a schema, itself included."""
    if isinstance(shape, dict):
        yield shape
    for part in shape.values() if isinstance(shape, dict) else shape if isinstance(shape, list) else ():
        yield from _parts(part)
