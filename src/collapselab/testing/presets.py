"""The laws of regimes that have a name."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from ..compose.regimes import REGIMES, Recipe, Regime, ancestors, draws, recipe, size
from ..study.presets import arguments
from .said import entry_of, law

INITIAL, N, OTHER = 80, 100, 30
SCHEDULE = {1: 60, 3: 90}
GENERATIONS = range(6)


def check_preset(preset: Callable[..., Regime] | str, **numbers: Any) -> None:
    """Hold a preset, a function that writes a regime, to what all of them keep.

    Of every generation it comes to whole numbers of rows, one draw for each file and none of a model that is not there
    yet; it takes schedules; it survives JSON; generation 0 is ``initial`` real rows; it has a docstring, which names
    its paper or its role.

    preset: the function, or its name in the registry. numbers: what it needs beside ``n`` and ``initial``; what is not
    given is 30, where that is allowed. Raises AssertionError for the first law that is broken.
    """
    name, function = entry_of(preset, REGIMES)
    law(function.__doc__, f"{name}: its function has no docstring, which the schema of studies shows")
    said = arguments(function)
    missing = {"n", "initial"} - said.model_fields.keys()
    law(not missing, f"{name}: it has to take n, the size of a training set, and initial, that of generation 0")
    needed = {one for one, field in said.model_fields.items() if field.is_required()} - {"n", "initial"}
    for n in (N, SCHEDULE):
        given = {"n": n, "initial": INITIAL} | dict.fromkeys(needed, OTHER) | numbers
        try:
            regime = function(**dict(said.model_validate(given)))
        except (ValidationError, ValueError) as error:
            raise AssertionError(f"{name}: of {given} it says {error}") from error
        law(isinstance(regime, Regime), f"{name}: it gave a {type(regime).__name__}, asked is a Regime")
        again = Regime.model_validate(json.loads(json.dumps(regime.model_dump(mode="json", by_alias=True))))
        law(again == regime, f"{name}: a regime that went through JSON is another one")
        for generation in GENERATIONS:
            _check_generation(name, regime, generation)


def _check_generation(name: str, regime: Regime, t: int) -> None:
    drawn = draws(regime, "arm", t)
    files = [(draw.arm, draw.generation) for draw in drawn]
    law(len(files) == len(set(files)), f"{name}: generation {t} draws twice from one file: {files}")
    law(all(draw.count > 0 for draw in drawn), f"{name}: generation {t} has a draw of no rows")
    early = all(draw.generation < t or (draw.is_real and draw.generation == t) for draw in drawn)
    law(early, f"{name}: generation {t} eats samples of a model that is not there yet: {files}")
    eaten = [key for key, draw in zip(files, drawn, strict=True) if not draw.is_real]
    law(ancestors(regime, "arm", t) == eaten, f"{name}: the ancestors of generation {t} are not those that it eats")
    total = size(regime, "arm", t)
    law(total >= 1, f"{name}: the training set of generation {t} has no rows")
    law(t or total == INITIAL, f"{name}: generation 0 has {total} rows, initial says {INITIAL}")
    found = recipe(regime, "arm", t)
    law(Recipe.model_validate_json(found.model_dump_json()) == found, f"{name}: a recipe does not survive JSON")
