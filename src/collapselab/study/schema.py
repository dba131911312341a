"""The JSON schema of a study's file, for editors."""

from collections.abc import Callable
from typing import Any

from ..compose.regimes import REGIMES, Regime
from .file import StudyFile
from .presets import arguments


def schema() -> dict[str, Any]:
    """The JSON schema of a study's file, for editors: names are those in the registries."""
    shape = StudyFile.model_json_schema()
    algebra = Regime.model_json_schema(ref_template="#/$defs/{model}")
    shape["$defs"].update(algebra.pop("$defs"))
    algebra["required"] = []  # an arm's initial is the study's where it names none
    shape["$defs"]["Regime"] = algebra
    regime = shape["$defs"]["Arm"]["properties"]["regime"]
    presets = [_preset_schema(name, preset, algebra["properties"]["init"]) for name, preset in REGIMES.items()]
    regime["anyOf"] = [{"enum": list(REGIMES)}, *presets, {"$ref": "#/$defs/Regime"}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **shape, "title": "A collapselab study"}


def _preset_schema(name: str, preset: Callable[..., Regime], init: Any) -> dict[str, Any]:
    shape = arguments(preset).model_json_schema()
    shape["properties"] = {"preset": {"const": name}, **shape["properties"], "init": init}
    shape["required"] = ["preset", *(key for key in shape["required"] if key not in ("n", "initial"))]
    return shape
