"""Rewards that the options of a selector or of an adapter name."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.choice import Choice, files, named, nested
from ..core.errors import blamed
from ..core.kinds import check_taken
from ..core.sets import SampleSet
from . import REWARDS
from .base import Reward, Scored

if TYPE_CHECKING:
    from ..features import Features


def looked_through(entry: Any, options: Any) -> tuple[str, ...]:
    """The extractors through which an entry looks: those that it always needs, those that its options name, and those
    of the rewards that its options name.
    """
    own = [*entry.needs.features, *named(options, "extractors").values()]
    liked = [one for choice in nested(options, "rewards").values() for one in looked_through(*_entry_of(choice))]
    return tuple(dict.fromkeys([*own, *liked]))


def files_of(entries: Iterable[tuple[Any, Any]]) -> tuple[str, ...]:
    """The files of the user's that the options of entries name, and those of the rewards that they name."""
    found: list[str] = []
    for _, options in entries:
        found += files(options).values()
        found += files_of(_entry_of(choice) for choice in nested(options, "rewards").values())
    return tuple(dict.fromkeys(found))


def rewards_of(options: Any, look: "Mapping[str, Callable[[np.ndarray], Features]]") -> dict[str, Scored]:
    """The rewards that options name, by option, as functions of samples. look: what makes features of data."""
    found = {}
    for option, choice in nested(options, "rewards").items():
        found[option] = _scored(choice.name, *_entry_of(choice), look)
    return found


def _entry_of(choice: Choice) -> tuple[Reward, Any]:
    """A reward, and its options."""
    entry = REWARDS[choice.name]
    return entry, entry.Options.model_validate(dict(choice.options))


def _scored(name: str, entry: Reward, options: Any, look: "Mapping[str, Callable[[np.ndarray], Features]]") -> Scored:
    def score(samples: SampleSet) -> np.ndarray:
        check_taken(f"reward {name!r}", entry.takes, samples.kind, "samples")
        with blamed("reward", name):
            seen = {one: look[one](samples.data) for one in looked_through(entry, options)}
            found = np.asarray(entry.reward(samples, seen, options), np.float64)
            if found.shape != (len(samples),):
                raise ValueError(
                    f"gave numbers of shape {found.shape}, allowed is one for each of {len(samples)} samples"
                )
            if bad := np.isnan(found).sum():
                raise ValueError(f"gave {bad} of {len(samples)} samples what is no number (nan), allowed are numbers")
        return found

    return score
