"""The JSON schema of a study's file, for editors: complete to the options of every name."""

import sys
from collections.abc import Callable, Iterator, Mapping
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
        if isinstance(part.get("title"), str):
            del part["title"]  # the key once more, in capitals: an eighth of the whole
        if CHOICE in part:
            part["$ref"] = f"#/$defs/{part.pop(CHOICE)}"
        if NAMES in part:
            part |= {"type": "string", "enum": sorted(name for name, _ in usable(CHOICES[part.pop(NAMES)].entries))}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **shape, "title": "A collapselab study"}


def _choice(registry: str, kind: Kind, definitions: dict[str, Any]) -> dict[str, Any]:
    """One of the names, or one of them with its options."""
    entries = {name: kind.options(entry) for name, entry in usable(kind.entries)}
    forms = {name: _options(registry, name, options, definitions) for name, options in entries.items()}
    # A name is enough where no option has to be said.
    names = [name for name, options in forms.items() if not options.get("required")]
    return _forms(names, forms)


def _forms(names: list[str], forms: dict[str, Any]) -> dict[str, Any]:
    """A name, or a mapping of one: an editor that knows which of the two it is has the options of that name alone."""
    if not forms:
        return {"not": {}}
    one = {"type": "object", "properties": forms, "minProperties": 1, "maxProperties": 1, "additionalProperties": False}
    return {"anyOf": [{"enum": names}, one]} if names else one


def _options(registry: str, entry: str, options: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model of options.

    What it refers to is kept apart under the registry's name, since many entries refer to the same; where another has
    the name already, under the entry's.
    """
    for place in (registry, f"{registry}.{entry}"):
        found = options.model_json_schema(ref_template=f"#/$defs/{place}.{{model}}")
        parts = {f"{place}.{name}": part for name, part in found.pop("$defs", {}).items()}
        if all(definitions.get(name, part) == part for name, part in parts.items()):
            break
    definitions.update(parts)
    return _of_presets(found, presets_of(options))


def presets_of(options: type) -> Mapping[str, Mapping[str, Any]]:
    """The presets of a family by its options, beside which they stand: what each fills in; none where it has none."""
    return getattr(sys.modules[options.__module__], "PRESETS", {})


def _of_presets(form: dict[str, Any], presets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The options of a family with presets: their names, and no default where it is one preset's and not another's."""
    if not presets:
        return form
    filled = {option for preset in presets.values() for option in preset}
    shown = {
        option: {key: one for key, one in about.items() if key != "default" or option not in filled}
        for option, about in form["properties"].items()
    }
    return form | {"properties": shown | {"preset": shown["preset"] | {"enum": list(presets)}}}


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
