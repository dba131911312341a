"""The regime of an arm: a preset's name, a preset with numbers, or the algebra itself."""

import inspect
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from ..compose.regimes import REGIMES, Init, Regime
from .faults import Fault, faults_of, known, mapping, quoted, validated
from .file import Part


def regimes(raw: dict[str, Any], faults: list[Fault]) -> dict[str, Regime]:
    """The regime of every arm whose regime can be read."""
    initial = mapping(raw.get("initial")).get("real")
    n = initial if isinstance(initial, int) and initial > 0 else 1
    found = {}
    for name, arm in mapping(raw.get("arms")).items():
        spec = mapping(arm).get("regime")
        regime = _regime(spec, n, ("arms", name, "regime"), faults)
        if regime is not None:
            said_init = isinstance(spec, dict) and "init" in spec
            study_init = validated(_Init, {"init": raw.get("init", "scratch")}, (), [])
            found[name] = (
                regime if said_init or study_init is None else regime.model_copy(update={"init": study_init.init})
            )
    return found


class _Init(Part):
    init: Init


def _regime(spec: Any, n: int, where: tuple[str | int, ...], faults: list[Fault]) -> Regime | None:
    if isinstance(spec, str):
        spec = {"preset": spec}
    if not isinstance(spec, dict):
        return None  # StudyFile has said so
    if "preset" not in spec:
        return validated(Regime, {"initial": {"real": n}} | spec, where, faults)
    if not isinstance(spec["preset"], str):
        faults.append(Fault((*where, "preset"), f"found {quoted(spec['preset'])}; should be a name"))
        return None
    if not known(spec["preset"], REGIMES, (*where, "preset") if len(spec) > 1 else where, faults):
        return None
    preset = REGIMES[spec["preset"]]
    given = {"n": n, "initial": n} | {key: value for key, value in spec.items() if key not in ("preset", "init")}
    init = validated(_Init, {"init": spec["init"]}, where, faults) if "init" in spec else None
    said = validated(arguments(preset), given, where, faults)
    if said is None:
        return None
    try:
        regime = preset(**dict(said))
    except ValidationError as error:
        faults += faults_of(error, Regime, where)
    except ValueError as error:
        faults.append(Fault(where, str(error)))
    else:
        return regime if init is None else regime.model_copy(update={"init": init.init})
    return None


def arguments(function: Callable[..., Any]) -> type[BaseModel]:
    """What a study may give to a function, as a model: its annotations say what is allowed."""
    fields: dict[str, Any] = {
        name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    }
    return create_model(function.__name__, __base__=Part, __doc__=inspect.getdoc(function), **fields)
