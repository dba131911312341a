"""What steers a sampler, as the command line says it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.choice import Choice
from ..engine.steering import Steering
from ..guides import GUIDES
from ..samplers import SAMPLERS
from ..samplers.base import TOLD, Sampling
from ..study.sampled import OWN, as_sampled
from ..verbs import sample as verb
from .inputs import model_in
from .options import chosen, parsed

PLENTY = 10**9  # images, with which a guide has all its roles

Guided = Annotated[str, typer.Option("--guide", help='what steers the sampler as JSON, as {"NAME": {OPTION: VALUE}}')]

Others = Annotated[
    list[str] | None, typer.Option("--auxiliary", help="ROLE=FILE of a further model that the guide steers by")
]

Sampled = Annotated[
    str,
    typer.Option("--sampler", help='a sampler instead of the model\'s own as JSON, as {"NAME": {OPTION: VALUE}}'),
]


def sampling(said: Mapping[str, Any]) -> Sampling | None:
    """The sampler that is said; None where none is. Raises BadParameter for one that there is not."""
    if not said:
        return None
    name, settings = _parsed(SAMPLERS, said, "--sampler")
    return verb.sampling(name, settings)


def sampled_as(said: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """What samples say of the sampler that took the place of their model's own; nothing where none did."""
    name = next(iter(said), "")
    return {"sampler": name, "steps": said[name].get("steps") or model.get("steps"), "sampled_by": said} if said else {}


def replaced(model: Mapping[str, Any], said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A model's options with those of the sampler that is said in the place of its own; its own has a name, too."""
    if said:
        return as_sampled(model, *_parsed(SAMPLERS, said, "--sampler"))
    return {"sampler": OWN} | dict(model) if set(TOLD) <= set(model) else model


def _parsed(registry: Mapping[str, Any], said: Mapping[str, Any], flag: str) -> tuple[str, Any]:
    """The name and the options of a choice of a registry."""
    try:
        choice = Choice.of(said)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=flag) from None
    entry = chosen(registry, choice.name, flag)
    return choice.name, parsed(entry.Options, json.dumps(dict(choice.options)), f"{flag} {choice.name}")


def steering(
    said: Mapping[str, Any], others: Mapping[str, str], model: Mapping[str, Any] | None = None, biased: bool = False
) -> tuple[Steering | None, Any]:
    """The guide that is said, with the further models; None where none is said. Beside it how one of them diverged.

    model: the options of the model that it steers, where nobody has looked whether it can; biased: with a sampling bias
    below 1. Raises BadParameter for more than one guide, for one that cannot steer the model, and for further models
    without one or without a role that it has.
    """
    if not said:
        if others:
            raise typer.BadParameter(
                f"found {', '.join(others)}; without a --guide there are none", param_hint="--auxiliary"
            )
        return None, None
    name, settings = _parsed(GUIDES, said, "--guide")
    entry = GUIDES[name]
    for fault in entry.unsuited(settings, model, biased) if model is not None else ():
        raise typer.BadParameter(f"{name} {fault.format('the model')}", param_hint="--guide")
    roles = list(entry.auxiliary(settings, PLENTY))
    if sorted(roles) != sorted(others):
        found, allowed = (", ".join(sorted(those)) or "none" for those in (others, roles))
        missing = " ".join(f"--auxiliary {role}=FILE" for role in roles if role not in others)
        cure = f"; say {missing}, a model of the same family" if missing else ""
        raise typer.BadParameter(f"found {found}; {name} steers by {allowed}{cure}", param_hint="--auxiliary")
    models, marks = {}, []
    for role, path in others.items():
        models[role], metadata = model_in(Path(path))
        marks += [metadata["lineage"]["diverged"]] if models[role] is None else []
    return verb.steering(name, settings, models), marks[0] if marks else None
