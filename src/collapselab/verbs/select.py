"""Which samples are kept for the next generation."""

from typing import Any

from ..core.seeds import seed_of
from ..core.sets import SampleSet
from ..features import Extractor
from ..select.base import Pool, Seen, Selection, Selector


def look(extractor: Extractor, weights: Any, pool: SampleSet, train: SampleSet) -> Seen:
    """The samples and the training split through the eyes of a selector."""
    return Seen(*(extractor.extract(samples.data, weights) for samples in (pool, train)))


def select(name: str, selector: Selector, options: Any, pool: Pool, study_seed: int) -> Selection:
    """The rows of a pool that a selector keeps."""
    seed = seed_of(study_seed, pool.cell.seed, pool.cell.generation, f"select/{name}")
    return selector.select(pool, options, seed)
