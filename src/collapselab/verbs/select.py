"""Which samples are kept for the next generation."""

from typing import Any

import numpy as np

from ..core.seeds import seed_of
from ..features import Extractor, Features
from ..select.base import Pool, Selection, Selector


def look(extractor: Extractor, weights: Any, data: np.ndarray) -> Features:
    """Samples through the eyes of a selector, or of the reward that it follows."""
    return extractor.extract(data, weights)


def select(name: str, selector: Selector, options: Any, pool: Pool, study_seed: int) -> Selection:
    """The rows of a pool that a selector keeps."""
    seed = seed_of(study_seed, pool.cell.seed, pool.cell.generation, f"select/{name}")
    return selector.select(pool, options, seed)
