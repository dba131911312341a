"""The regime of an arm: a preset with its numbers, or the algebra itself."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..compose.regimes import REGIMES, Init, Regime
from ..core.choice import Choice
from .choices import arguments, found, is_known
from .faults import Fault, faults_of, mapping, validated
from .file import Part


def regimes(raw: dict[str, Any], faults: list[Fault]) -> dict[str, Regime]:
    """The regime of every arm whose regime can be read."""
    initial = mapping(raw.get("initial")).get("real")
    n = initial if isinstance(initial, int) and initial > 0 else 1
    usual = validated(_Init, {"init": raw.get("init", "scratch")}, (), [])
    read = {}
    for one in found(raw):
        if one.registry != "regimes" or not is_known(one, faults):
            continue
        regime = _regime(one.choice, n, one.inside, faults)
        if regime is not None:
            own = "init" in one.choice.options or usual is None
            read[one.path[1]] = regime if own else regime.model_copy(update={"init": usual.init})
    return read


class _Init(Part):
    init: Init


def _regime(choice: Choice, n: int, where: tuple[str | int, ...], faults: list[Fault]) -> Regime | None:
    options = choice.options
    if choice.name == "algebra":
        return validated(Regime, {"initial": {"real": n}} | options, where, faults)
    init = validated(_Init, {"init": options["init"]}, where, faults) if "init" in options else None
    said = validated(arguments(REGIMES[choice.name]), _given(options, n), where, faults)
    if said is None:
        return None
    try:
        regime = REGIMES[choice.name](**dict(said))
    except ValidationError as error:
        faults += faults_of(error, Regime, where)
    except ValueError as error:
        faults.append(Fault(where, str(error)))
    else:
        return regime if init is None else regime.model_copy(update={"init": init.init})
    return None


def _given(options: Mapping[str, Any], n: int) -> dict[str, Any]:
    """The numbers of a preset: those that are not said are those of generation 0."""
    return {"n": n, "initial": n} | {key: value for key, value in options.items() if key != "init"}
