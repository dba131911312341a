"""Samples of a model, each from its own random numbers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..core.ask import Ask
from ..core.seeds import seed_of
from ..core.sets import SampleSet
from ..engine.steering import Steering
from ..guides import GUIDES
from ..marks import Mark
from ..samplers import SAMPLERS
from ..samplers.base import Sampling

Stage = Literal["sample", "grid"]
PIECE = 4  # batches that are sampled between two reports of progress


def sample_seed(study_seed: int, replicate: int, generation: int, stage: Stage, stream: int) -> int:
    """The seed of a set of samples: pictures start from the same latents in every generation and in every arm."""
    where = (None, "grid") if stage == "grid" else (generation, f"sample/{stream}")
    return seed_of(study_seed, replicate, *where)


def piece_size(model: Any, count: int, processes: int) -> int:
    """How many samples are made at once: whole batches, of which several processes take one each in turn."""
    return (model.options.at_once or count) * (PIECE if processes == 1 else 1)


def sample(
    model: Any,
    count: int,
    seed: int,
    sampling_bias: float,
    starts: Iterable[int],
    size: int,
    done: Callable[[int], None],
    guide: Any | None = None,
    mark: Callable[[np.ndarray, int], np.ndarray] | None = None,
    sampler: Sampling | None = None,
) -> list[SampleSet]:
    """The samples of ``count`` that begin at ``starts``, in pieces of ``size``: none depends on the others.

    done: called with the start of each piece that is made. guide: what steers the sampler (``Ask.guide``). mark: what
    is done to its noise (``Ask.mark``). sampler: which one, if not the model's own (``Ask.sampler``).
    """
    parts = []
    for start in starts:
        number = min(size, count - start)
        parts.append(model.sample(Ask(number, seed, start, sampling_bias, guide=guide, mark=mark, sampler=sampler)))
        done(start)
    return parts


def steering(name: str, options: Any, others: Mapping[str, Any]) -> Steering:
    """What steers a sampler: a guide with its options, and the further models that it steers by, by role."""
    entry = GUIDES[name]
    told = entry.told(options)
    return Steering(entry.rule, options, entry.reads, others, name, told, entry.wants, entry.changes)


def sampling(name: str, options: Any) -> Sampling:
    """A sampler with its options."""
    return Sampling(SAMPLERS[name], options.at(0), name)


def marking(mark: Mark, options: Any, key: bytes) -> Callable[[np.ndarray, int], np.ndarray]:
    """What a mark with a key does to the initial noise of a sampler (``Ask.mark``)."""
    return lambda noise, start: mark.mark(noise, options, key, start)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Two models that sample as one: labels, and of each label a sample by the model that draws it.

    words: a model of categories. painter: one that can be told the label of every sample.
    """

    words: Any
    painter: Any

    @property
    def options(self) -> Any:
        """Those of the model that draws, which say how many samples are made at once."""
        return self.painter.options

    @property
    def uses_torch(self) -> bool:
        """Whether either of them does."""
        return self.words.uses_torch or self.painter.uses_torch

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, with their labels: the bias is of the labels, and the noise of the samples
        comes from a seed of its own."""
        labels = self.words.sample(Ask(ask.count, ask.seed, ask.start, ask.bias)).data
        own = seed_of(ask.seed, None, None, "drawn")
        made = self.painter.sample(Ask(ask.count, own, ask.start, condition=labels))
        return replace(made, labels=labels)


def joined(parts: list[SampleSet], lineage: Mapping[str, Any]) -> SampleSet:
    """Sample sets one after the other: labels and columns are those that all of them have."""
    labelled = all(part.labels is not None for part in parts)
    labels = np.concatenate([part.labels for part in parts]) if labelled else None
    shared = set.intersection(*(set(part.aux) for part in parts))
    aux = {name: np.concatenate([part.aux[name] for part in parts]) for name in sorted(shared)}
    return SampleSet(np.concatenate([part.data for part in parts]), labels, aux, lineage)
