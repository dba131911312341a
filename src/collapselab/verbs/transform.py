"""Samples as they are released: what is done to them between their making and the world."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..core.seeds import seed_of
from ..core.sets import SampleSet
from ..transforms.base import Transform


class Step(NamedTuple):
    """One of an arm's transforms, by its name, with its options."""

    name: str
    transform: Transform
    options: Any


def key_of(study_seed: int, replicate: int, name: str) -> bytes:
    """The secret of a transform in one lineage, the same in all its generations: 32 bytes."""
    return b"".join(seed_of(study_seed, replicate, None, f"key/{name}", part).to_bytes(8, "big") for part in range(4))


def transform(steps: Sequence[Step], samples: SampleSet, study_seed: int, replicate: int, generation: int) -> SampleSet:
    """The samples after all steps, in order: the same rows, as many and of the same kind.

    Raises ValueError for a transform that gives others.
    """
    for index, (name, entry, options) in enumerate(steps):
        seed = seed_of(study_seed, replicate, generation, f"transform/{name}", index)
        changed = entry.transform(
            samples, options, seed, key_of(study_seed, replicate, name) if entry.needs.key else None
        )
        found, allowed = (changed.kind, changed.data.shape), (samples.kind, samples.data.shape)
        if found != allowed:
            said = (
                f"{found[0]} of shape {found[1]}; allowed are the {allowed[0]} of shape {allowed[1]} that it was given"
            )
            raise ValueError(f"transform {name!r}: gave {said}")
        samples = changed
    return samples
