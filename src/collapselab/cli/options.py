"""What verbs are told: arguments that several share, and values read from them, with clear errors."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.choice import Choice, nested
from ..core.naming import meant
from ..core.registry import usable

if TYPE_CHECKING:
    from pydantic import BaseModel

Out = Annotated[Path, typer.Option(help="file to write; its hash is written beside it")]

StudySeed = Annotated[int, typer.Option(help="the study's seed")]

Replicate = Annotated[int, typer.Option("--seed", min=0, help="the replicate")]

Generation = Annotated[int, typer.Option(min=0, help="the generation")]

Options = Annotated[str, typer.Option(help="options as JSON")]

JSON_KINDS = {dict: "object", list: "array"}


NAMING = ("--guide", "--sampler", "--mark")
"""Options that name an entry of a registry with its options."""


def json_of(text: str, option: str, kind: type) -> Any:
    """The object or array that an option says as JSON."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        bare = option in NAMING and text.isidentifier()  # as a study may say it
        why = f"; allowed is JSON, as {option} '{{\"{text}\": {{}}}}'" if bare else f": {error}"
        raise typer.BadParameter(f"found {text!r}, which is not JSON{why}", param_hint=option) from None
    if not isinstance(value, kind):
        raise typer.BadParameter(f"found {text!r}; allowed is a JSON {JSON_KINDS[kind]}", param_hint=option)
    return value


def parsed(model: "type[BaseModel]", text: str, option: str) -> Any:
    """What an option says as JSON, as a model; a fault is told in the words in which a study's are, also of a reward
    that it names."""
    from pydantic import ValidationError

    try:
        found = model.model_validate_json(text)
    except ValidationError as error:
        faults = [_fault(fault, list(model.model_fields)) for fault in error.errors(include_url=False)]
        raise typer.BadParameter("; ".join(faults), param_hint=option) from None
    for place, said in nested(found, "rewards").items():
        from ..rewards import REWARDS  # those who name one pay for it

        reward = chosen(REWARDS, said.name, f"{option}: {place}")
        parsed(reward.Options, json.dumps(dict(said.options)), f"{option}: {place}: {said.name}")
    return found


def _fault(error: Mapping[str, Any], known: list[str]) -> str:
    """One fault of options in the words in which a study's are told."""
    where = ".".join(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    said = f"found {error['input']!r}; {message}"
    if error["type"] == "missing":
        said = "is missing"
    elif error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        said = f"unknown; allowed: {', '.join(known)}" if known else "unknown; there are no options"
    elif error["type"] == "value_error" and isinstance(error["input"], dict):
        said = message  # it says what it found
    return f"{where}: {said}" if where else said


def chosen(
    registry: Mapping[str, Any], name: str, option: str, suits: Callable[[Any], bool] = lambda entry: True
) -> Any:
    """The entry of a registry that an option names, where it suits."""
    if name not in registry or not suits(registry[name]):
        allowed = [one for one, entry in usable(registry) if suits(entry)]
        said = f"found {name!r}{meant(name, allowed)}; allowed: {', '.join(allowed)}"
        raise typer.BadParameter(said, param_hint=option)
    return registry[name]


def choices(registry: Mapping[str, Any], text: str, option: str) -> "list[tuple[str, Any, BaseModel]]":
    """Names, entries and options of what a JSON list says: ``["NAME", {"NAME": {"OPTION": ...}}]``."""
    found = []
    for said in json_of(text, option, list):
        try:
            choice = Choice.of(said)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=option) from None
        entry = chosen(registry, choice.name, option)
        found.append(
            (choice.name, entry, parsed(entry.Options, json.dumps(dict(choice.options)), f"{option} {choice.name}"))
        )
    return found


def metrics_of(text: str, option: str = "--metrics") -> dict[str, dict[str, Any]]:
    """Metrics with their options, all of which they know."""
    from ..metrics import METRICS

    wanted = json_of(text, option, dict)
    for name, options in wanted.items():
        parsed(chosen(METRICS, name, option).Options, json.dumps(options), f"{option} {name}")
    return {name: {**METRICS[name].options, **options} for name, options in wanted.items()}


def pairs(values: list[str], option: str, files: bool = False) -> dict[str, str]:
    """``name=value`` arguments as a mapping; a name alone has the value ``""``, and names no file."""
    pairs = [value.partition("=") for value in values]
    if empty := [
        value for value, (name, _, path) in zip(values, pairs, strict=True) if not name or (files and not path)
    ]:
        raise typer.BadParameter(f"found {empty[0]!r}; allowed is NAME=VALUE", param_hint=option)
    names = [name for name, _, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise typer.BadParameter(f"found {twice[0]!r} more than once; allowed is once", param_hint=option)
    return {name: value for name, _, value in pairs}
