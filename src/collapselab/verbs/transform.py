"""Samples as they are released: what is done to them between their making and the world."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import blamed
from ..core.kinds import check_taken
from ..core.needs import Needs
from ..core.seeds import seed_of
from ..core.sets import SampleSet, Seen
from ..marks import Mark
from ..rewards.asking import looked_through
from ..transforms.base import Given, Transform
from .extract import Look
from .select import looked_at


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

    def marked(given: Given, options: Any, seed: int) -> SampleSet:
        return replace(given.samples, data=mark.mark(given.samples.data, options, given.key, 0))

    return Step(name, Transform(mark.Options, marked, Needs(key=True), mark.takes), options)


class Where(NamedTuple):
    """Whose samples are changed: from this follow seeds and keys.

    stream: of the arm's samples, since arms that feed one another share no random numbers.
    """

    study_seed: int
    replicate: int
    generation: int
    stream: int


def transform(
    steps: Sequence[Step],
    samples: SampleSet,
    where: Where,
    looks: Mapping[str, Look] | None = None,
    train: SampleSet | None = None,
) -> SampleSet:
    """The samples after all steps, in order: the same rows, as many and of the same kind, with their labels unless a
    step relabels them. A column ``altered``, (n,) bool, says which rows are others than the model made.

    looks: the extractors that steps look through, each at what the step before has left. Raises ValueError for samples
    of a kind that a step or an extractor does not take, and for a transform that gives others.
    """
    made, looks = samples, looks or {}
    takers = [(f"transform {name!r}", entry.takes) for name, entry, _ in steps]
    takers += [(f"extractor {name!r}", look.extractor.takes) for name, look in looks.items()]
    for what, takes in takers:
        check_taken(what, takes, samples.kind, "samples")
    seen_train = {name: looked_at(look, train.data) for name, look in looks.items()}
    for index, (name, entry, options) in enumerate(steps):
        seed = seed_of(where.study_seed, where.replicate, where.generation, f"transform/{where.stream}/{name}", index)
        key = key_of(where.study_seed, where.replicate, where.stream, name) if entry.needs.key else None
        through = looked_through(entry, options)
        seen = {one: Seen(looked_at(looks[one], samples.data), seen_train[one]) for one in through}
        with blamed("transform", name):
            changed = entry.transform(Given(samples, seen, train, key), options, seed)
            _check(changed, samples, entry.relabels)
        samples = changed
    return replace(samples, aux={**samples.aux, "altered": altered(made, samples)})


def altered(made: SampleSet, released: SampleSet) -> np.ndarray:
    """Which rows are others than they were, in their data or their labels: (n,) bool."""
    differ = (np.asarray(made.data) != np.asarray(released.data)).reshape(len(made), -1).any(axis=1)
    if made.labels is None and released.labels is None:
        return differ
    if made.labels is None or released.labels is None:
        return np.ones(len(made), bool)
    return differ | (made.labels != released.labels)


def _check(changed: Any, given: SampleSet, relabels: bool) -> None:
    """Raise ValueError unless samples are rows like those that a transform was given."""
    if not isinstance(changed, SampleSet):
        raise ValueError(f"gave a {type(changed).__name__}, allowed is a SampleSet")
    found, allowed = (f"{one.kind} of shape {one.data.shape}" for one in (changed, given))
    if found != allowed:
        raise ValueError(f"gave {found}, allowed are {allowed}, as it was given")
    if given.kind == "vectors" and not np.isfinite(changed.data).all():
        raise ValueError("gave numbers that are not finite")
    labels = [None if one.labels is None else one.labels.tolist() for one in (changed, given)]
    if relabels and changed.labels is not None and changed.labels.shape == (len(given),):
        return
    if labels[0] != labels[1]:
        raise ValueError("gave other labels than it was given, allowed are the same")
