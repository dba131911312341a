"""Rewards that the options of a selector or of an adapter name."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.choice import nested
from ..core.errors import blamed
from ..core.sets import SampleSet
from . import REWARDS
from .base import Reward, Scored

if TYPE_CHECKING:
    from ..features import Features


def looked_through(entry: Any, options: Any) -> tuple[str, ...]:
    """The extractors through which an entry looks, itself or by the rewards that its options name."""
    named = [REWARDS[choice.name] for choice in nested(options, "rewards").values()]
    return tuple(dict.fromkeys([*entry.needs.features, *(one for reward in named for one in reward.needs.features)]))


def rewards_of(options: Any, look: "Mapping[str, Callable[[np.ndarray], Features]]") -> dict[str, Scored]:
    """The rewards that options name, by option, as functions of samples. look: what makes features of data."""
    found = {}
    for option, choice in nested(options, "rewards").items():
        entry = REWARDS[choice.name]
        found[option] = _scored(choice.name, entry, entry.Options.model_validate(dict(choice.options)), look)
    return found


def _scored(name: str, entry: Reward, options: Any, look: "Mapping[str, Callable[[np.ndarray], Features]]") -> Scored:
    def score(samples: SampleSet) -> np.ndarray:
        with blamed("reward", name):
            seen = {one: look[one](samples.data) for one in entry.needs.features}
            found = np.asarray(entry.reward(samples, seen, options), np.float64)
            if found.shape != (len(samples),):
                raise ValueError(
                    f"gave numbers of shape {found.shape}, allowed is one for each of {len(samples)} samples"
                )
        return found

    return score
