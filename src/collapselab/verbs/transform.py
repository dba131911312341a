"""Samples as they are released: what is done to them between their making and the world."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import blamed
from ..core.needs import Needs
from ..core.seeds import seed_of
from ..core.sets import SampleSet
from ..marks import Mark
from ..transforms.base import Transform


class Step(NamedTuple):
    """One of an arm's transforms, by its name, with its options."""

    name: str
    transform: Transform
    options: Any


def key_of(study_seed: int, replicate: int, stream: int, name: str) -> bytes:
    """The key of a transform in one lineage, the same in all its generations: 32 bytes.

    It stands for a secret, and is none: a study that others can reproduce says all that it knows.
    """
    words = (study_seed, replicate, None, f"key/{stream}/{name}")
    return b"".join(seed_of(*words, part).to_bytes(8, "big") for part in range(4))


def marking(name: str, mark: Mark, options: Any) -> Step:
    """The step that marks samples, as the last that is done to them: the one that needs the lineage's key."""

    def marked(samples: SampleSet, options: Any, seed: int, key: bytes | None) -> SampleSet:
        return replace(samples, data=mark.mark(samples.data, options, key, 0))

    return Step(name, Transform(mark.Options, marked, Needs(key=True), mark.takes), options)


def transform(
    steps: Sequence[Step], samples: SampleSet, study_seed: int, replicate: int, generation: int, stream: int
) -> SampleSet:
    """The samples after all steps, in order: the same rows with the same labels, as many and of the same kind.

    stream: of the arm's samples, since arms that feed one another share no random numbers. Raises ValueError for a
    transform that gives others.
    """
    for index, (name, entry, options) in enumerate(steps):
        seed = seed_of(study_seed, replicate, generation, f"transform/{stream}/{name}", index)
        key = key_of(study_seed, replicate, stream, name) if entry.needs.key else None
        with blamed("transform", name):
            changed = entry.transform(samples, options, seed, key)
            _check(changed, samples)
        samples = changed
    return samples


def _check(changed: Any, given: SampleSet) -> None:
    """Raise ValueError unless samples are rows like those that a transform was given."""
    if not isinstance(changed, SampleSet):
        raise ValueError(f"gave a {type(changed).__name__}, allowed is a SampleSet")
    found, allowed = (f"{one.kind} of shape {one.data.shape}" for one in (changed, given))
    if found != allowed:
        raise ValueError(f"gave {found}, allowed are {allowed}, as it was given")
    if given.kind == "vectors" and not np.isfinite(changed.data).all():
        raise ValueError("gave numbers that are not finite")
    labels = [None if one.labels is None else one.labels.tolist() for one in (changed, given)]
    if labels[0] != labels[1]:
        raise ValueError("gave other labels than it was given, allowed are the same")
