"""Which samples are kept for the next generation."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.errors import blamed
from ..core.seeds import seed_of
from ..core.sets import Ballots, SampleSet
from ..features import Features
from ..rewards.asking import rewards_of
from ..select.base import Pool, Seen, Selection, Selector, check_selection
from ..store.cells import Cell
from .extract import Look


def looked_at(look: Look, data: np.ndarray) -> Features:
    """Samples through the eyes of a selector, of an adapter, or of the reward that one follows."""
    return look.extractor.extract(data, look.weights, **look.settings)


def pool_of(
    samples: SampleSet,
    cell: Cell,
    options: Any,
    looks: Mapping[str, Look],
    train: SampleSet | None,
    model: Any | None,
    ballots: Ballots | None,
) -> Pool:
    """What a selector is handed: the samples, seen through what it looks through, and scored by what it follows."""
    if not len(samples):
        return Pool(samples, cell, {}, {}, model, ballots)
    seen = {name: Seen(looked_at(look, samples.data), looked_at(look, train.data)) for name, look in looks.items()}

    def of_data(name: str, data: np.ndarray) -> Features:
        return seen[name].samples if data is samples.data else looked_at(looks[name], data)

    rewards = rewards_of(options, {name: lambda data, name=name: of_data(name, data) for name in looks})
    return Pool(samples, cell, seen, {option: score(samples) for option, score in rewards.items()}, model, ballots)


def select(name: str, selector: Selector, options: Any, pool: Pool, study_seed: int) -> Selection:
    """The rows of a pool that a selector keeps. Raises ValueError for what is no selection of it."""
    seed = seed_of(study_seed, pool.cell.seed, pool.cell.generation, f"select/{name}")
    with blamed("selector", name):
        selection = selector.select(pool, options, seed)
        check_selection(selection, len(pool), options.keeps(len(pool)))
    return selection
