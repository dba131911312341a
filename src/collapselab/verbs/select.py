"""Which samples are kept for the next generation."""

from typing import Any

from ..core.seeds import seed_of
from ..core.sets import SampleSet
from ..features import Extractor
from ..select.base import Seen, Selection, Selector


def look(extractor: Extractor, weights: Any, pool: SampleSet, train: SampleSet) -> Seen:
    """The samples and the training split through the eyes of a selector."""
    return Seen(*(extractor.extract(samples.data, weights) for samples in (pool, train)))


def select(
    name: str,
    selector: Selector,
    options: Any,
    pool: SampleSet,
    seen: Seen | None,
    study_seed: int,
    replicate: int,
    generation: int,
) -> Selection:
    """The rows of a pool that a selector keeps.

    Raises ValueError where it alters samples, for which there is no place.
    """
    seed = seed_of(study_seed, replicate, generation, f"select/{name}")
    selection = selector.select(pool, seen, options, seed)
    if selection.altered is not None:
        raise ValueError(f"selector {name!r} alters samples, which kept tables have no place for; it may only choose")
    return selection
