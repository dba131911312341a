"""What a transform is: what is done to samples between their making and the world."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.choice import Options
from ..core.kinds import KindName
from ..core.needs import NOTHING, Needs
from ..core.sets import SampleSet


@dataclass(frozen=True)
class Transform:
    """A change of samples: a mark in them, a correction, a compression.

    transform: ``f(samples, options, seed, key) -> SampleSet``, of the same rows in the same order, as many as there
    were, of the same kind and shape, with their labels. key: 32 bytes of the lineage, the same in all its generations,
    for one that ``needs`` it; else None. takes: the kinds of data that it can change.
    """

    Options: type[Options]
    transform: Callable[[SampleSet, Any, int, bytes | None], SampleSet]
    needs: Needs = NOTHING
    takes: tuple[KindName, ...] = ("images", "vectors", "categories")
