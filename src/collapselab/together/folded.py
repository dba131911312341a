"""An arm with all its seeds as its job is told of it: recipes of many generations as the regime that they come from.

What a generation eats can be all that came before it, so that recipes grow with the square of the generations.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ..compose.regimes import Regime, recipe
from .loop import Replicates

WHOLE = 100  # generations up to which recipes are told one by one


class _Fold(BaseModel, extra="forbid"):
    regime: Regime
    generations: int


def folded(arm: Replicates, regime: Regime) -> Replicates | dict[str, Any]:
    """What the arm's job is told; the arm itself up to a hundred generations. regime: what its recipes come from."""
    generations = len(arm.recipes) - 1
    if generations <= WHOLE:
        return arm
    fold = {"regime": regime.model_dump(mode="json", by_alias=True), "generations": generations}
    return arm.model_dump(mode="json", exclude={"recipes"}) | {"recipes": fold}


def unfolded(said: Mapping[str, Any]) -> dict[str, Any]:
    """The arm with its recipes one by one, as a :class:`Replicates` is read. Raises ValueError for no regime."""
    if not isinstance(said.get("recipes"), Mapping):
        return dict(said)
    fold = _Fold.model_validate(said["recipes"])
    generations = range(min(fold.generations, 100_000) + 1)
    recipes = (recipe(fold.regime, str(said.get("name")), t) for t in generations)
    return {**said, "recipes": [one.model_dump(mode="json") for one in recipes]}
