"""What a transform is: what is done to samples between their making and the world."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..core.choice import Options
from ..core.facts import Facts, no_fault
from ..core.kinds import KindName, Part
from ..core.needs import NOTHING, Needs
from ..core.sets import SampleSet, Seen


class Given(NamedTuple):
    """What is changed, and what a transform is handed beside it: whatever its ``needs`` name, and nothing else.

    samples: as the model made them, or as the transform before left them. seen: by extractor, these samples and the
    training split. train: the training split. key: 32 bytes of the lineage, the same in all its generations.
    """

    samples: SampleSet
    seen: Mapping[str, Seen] = {}
    train: SampleSet | None = None
    key: bytes | None = None


@dataclass(frozen=True)
class Transform:
    """A change of samples: a mark in them, a correction, a compression.

    transform: ``f(given, options, seed) -> SampleSet``, of the same rows in the same order, as many as there were, of
    the same kind and shape, with their labels unless it ``relabels``. needs: what it is handed. takes: the kinds of
    data that it can change. reads: the part of the features that it looks at, of an extractor that its options name.
    fault: ``f(facts, options) -> str``: what keeps it from working on data of which so much is known; empty if nothing.
    """

    Options: type[Options]
    transform: Callable[[Given, Any, int], SampleSet]
    needs: Needs = NOTHING
    takes: tuple[KindName, ...] = ("images", "vectors", "categories")
    relabels: bool = False
    reads: Part = "values"
    fault: Callable[[Facts, Any], str] = no_fault
