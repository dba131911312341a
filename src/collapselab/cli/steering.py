"""What steers a sampler, as the command line says it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..engine.steering import Steering
from ..guides import GUIDES
from .inputs import model_in
from .options import chosen, parsed

Guided = Annotated[str, typer.Option("--guide", help='what steers the sampler as JSON, as {"NAME": {OPTION: VALUE}}')]

Others = Annotated[
    list[str] | None, typer.Option("--auxiliary", help="ROLE=FILE of a further model that the guide steers by")
]


def steering(said: Mapping[str, Mapping[str, Any]], others: Mapping[str, str]) -> tuple[Steering | None, Any]:
    """The guide that is said, with the further models; None where none is said. Beside it how one of them diverged.

    Raises BadParameter for a guide with other roles.
    """
    if not said:
        return None, None
    name, options = next(iter(said.items()))
    entry = chosen(GUIDES, name, "--guide")
    settings = parsed(entry.Options, json.dumps(options), f"--guide {name}")
    roles = list(entry.auxiliary(settings, 1))
    if sorted(roles) != sorted(others):
        found, allowed = (", ".join(sorted(those)) or "none" for those in (others, roles))
        raise typer.BadParameter(f"found {found}; {name} steers by {allowed}", param_hint="--auxiliary")
    models, marks = {}, []
    for role, path in others.items():
        models[role], metadata = model_in(Path(path))
        marks += [metadata["lineage"]["diverged"]] if models[role] is None else []
    return Steering(entry.rule, settings, entry.reads, models), marks[0] if marks else None
