"""Which rows make a training set: the counts of the regime, the dice of the replicate.

The real rows that are ``fixed`` are the first ones of an order that belongs to the replicate, so that fewer fixed rows
are a part of more; ``fresh`` rows walk through the order of the fresh split without returning. A pool that replaces
takes other rows of a sample set in every generation; a pool that accumulates keeps the rows that once entered.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..core import seeds
from .regimes import Draw, Recipe

Available = Mapping[tuple[str, int], int | None]
"""Rows to choose from, by (arm, generation); ``("fixed", 0)`` and ``("redrawn", t)`` share the train split. None where
the rows are made for this training set (draws from a population, new samples of a model): exactly ``count`` of them."""


class Chosen(NamedTuple):
    """Rows of one draw that take part: positions among the rows that were available."""

    draw: Draw
    rows: np.ndarray


def choose(recipe: Recipe, available: Available, study_seed: int, replicate: int) -> list[Chosen]:
    """The rows of a training set, draw by draw, in the order of :func:`regimes.draws`.

    Raises ValueError when a draw asks for more rows than there are, with both numbers.
    """
    chosen = [
        Chosen(draw, _rows(recipe, draw, available[draw.arm, draw.generation], study_seed, replicate))
        for draw in recipe.draws
    ]
    if recipe.budget is None:
        return chosen
    return _subsample(chosen, recipe.budget, subsample_seed(study_seed, replicate, recipe))


def _rows(recipe: Recipe, draw: Draw, available: int | None, study_seed: int, replicate: int) -> np.ndarray:
    if available is None:
        return np.arange(draw.count)
    start = recipe.fresh_before[draw.generation] if draw.arm == "fresh" else 0
    if start + draw.count > available:
        already = f" after {start} in earlier generations" if start else ""
        found = f"{draw.count} rows of '{draw.arm}' at generation {draw.generation} were asked for{already}"
        raise ValueError(f"{found}; there are {available}")
    seed = order_seed(study_seed, replicate, recipe, draw)
    return seeds.generator(seed).permutation(available)[start : start + draw.count]


def _subsample(chosen: list[Chosen], budget: int, seed: int) -> list[Chosen]:
    """``budget`` rows of all that were chosen, without replacement; all of them where there are no more."""
    total = sum(len(part.rows) for part in chosen)
    stays = np.zeros(total, bool)
    stays[seeds.generator(seed).permutation(total)[:budget]] = True
    kept = np.split(stays, np.cumsum([len(part.rows) for part in chosen])[:-1])
    parts = [Chosen(part.draw, part.rows[mask]) for part, mask in zip(chosen, kept, strict=True)]
    return [part for part in parts if len(part.rows)]


def order_seed(study_seed: int, replicate: int, recipe: Recipe, draw: Draw) -> int:
    """The seed of the order in which the rows of a stored sample set are taken."""
    if draw.arm in ("fixed", "fresh"):
        return seeds.seed_of(study_seed, replicate, None, f"compose/{draw.arm}")
    if draw.arm == "redrawn":
        return seeds.seed_of(study_seed, replicate, draw.generation, "compose/redrawn")
    when = None if recipe.keeps_rows else recipe.generation
    return seeds.seed_of(study_seed, replicate, when, "compose/synthetic", draw.generation)


def subsample_seed(study_seed: int, replicate: int, recipe: Recipe) -> int:
    """The seed of the order of which the first rows, as many as the budget has, stay."""
    return seeds.seed_of(study_seed, replicate, recipe.generation, "compose/subsample")


def real_seed(study_seed: int, replicate: int, draw: Draw) -> int:
    """The seed with which a population is asked for real rows: fixed rows are the same in every generation."""
    generation = None if draw.arm == "fixed" else draw.generation
    return seeds.seed_of(study_seed, replicate, generation, f"compose/population/{draw.arm}")


def resample_seed(study_seed: int, replicate: int, generation: int, draw: Draw, stream: int) -> int:
    """The seed with which an ancestor's model is asked for new rows at ``generation``.

    stream: the random stream of the arm that is eaten: arms that feed one another must not share their noise.
    """
    return seeds.seed_of(study_seed, replicate, generation, f"compose/resample/{stream}", draw.generation)
