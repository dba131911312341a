"""What a reward is: a number that says how much somebody likes a sample."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.choice import Options
from ..core.facts import Facts, no_fault
from ..core.kinds import KindName, Part
from ..core.needs import NOTHING, Needs
from ..core.sets import SampleSet

if TYPE_CHECKING:
    from ..features import Features

Scored = Callable[[SampleSet], np.ndarray]
"""A reward with its options, of any samples: (n,) float64."""


@dataclass(frozen=True)
class Reward:
    """A liking, for selectors that keep what is liked, and for adapters that make more of it.

    reward: ``f(samples, seen, options) -> (n,) float64``, more is better; a sample's is its own, whatever stands beside
    it. seen: the features of the samples, by extractor, through which it looks: ``needs.features``, and those that its
    options name. takes: the kinds of data that it can judge. reads: the part of the features that it reads, which an
    extractor of the user's choice has to give.
    fault: ``f(facts, options) -> str``: what keeps it from working on data of which so much is known; empty if nothing.

    A selector or an adapter takes one by an option ``Annotated[Choice, From("rewards")]``, and is handed it by that
    option's name.
    """

    Options: type[Options]
    reward: Callable[[SampleSet, "Mapping[str, Features]", Any], np.ndarray]
    needs: Needs = NOTHING
    takes: tuple[KindName, ...] = ("images", "vectors", "categories", "sequences")
    reads: Part = "values"
    fault: Callable[[Facts, Any], str] = no_fault
