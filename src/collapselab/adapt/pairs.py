"""Pairs of samples of which one was preferred."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core import seeds
from ..core.sets import SampleSet
from ..select.people import tally_of
from ..store import read_ballots, read_samples, recorded_hash


class Pairs(NamedTuple):
    """samples: of which the pairs are. chosen, rejected: (m,) int64, their rows."""

    samples: SampleSet
    chosen: np.ndarray
    rejected: np.ndarray


def judged(ballots: str, pool: str) -> Pairs:
    """All pairs of a class of a sample that more people call good than bad, and one that more call bad.

    Raises ValueError for ballots of another sample set, and where there is no pair.
    """
    found, samples = read_ballots(Path(ballots)), read_samples(Path(pool))
    of, own = found.lineage.get("pool"), recorded_hash(Path(pool))
    if of not in (None, own):
        raise ValueError(f"pool: {pool} is not the sample set that {ballots} is about; allowed is that of {of[:12]}")
    tally = tally_of(found, len(samples))
    good, bad = np.flatnonzero(tally.good > tally.bad), np.flatnonzero(tally.bad > tally.good)
    chosen, rejected = np.repeat(good, len(bad)), np.tile(bad, len(good))
    same = classes_of(samples)[chosen] == classes_of(samples)[rejected]
    if not same.any():
        said = f"{len(good)} samples that more call good and {len(bad)} that more call bad, no two of one class"
        raise ValueError(f"ballots: found {said} in {ballots}; allowed are such as make a pair")
    return Pairs(samples, chosen[same], rejected[same])


def preferred_by(samples: SampleSet, rewards: np.ndarray, temperature: float, seed: int) -> Pairs:
    """Each sample beside another of its class, of which a reward prefers one by Bradley and Terry's law.

    rewards: (n,). Samples of a class that is alone are in no pair. Raises ValueError where there is none.
    """
    source, first, second = seeds.generator(seed), [], []
    for one in np.unique(classes_of(samples)).tolist():
        rows = source.permutation(np.flatnonzero(classes_of(samples) == one))
        if len(rows) > 1:
            first.append(rows)
            second.append(np.roll(rows, 1))
    if not first:
        raise ValueError(f"samples: found {len(samples)}, no two of one class; allowed are such as make a pair")
    one, other = np.concatenate(first), np.concatenate(second)
    with np.errstate(over="ignore"):
        chance = 1 / (1 + np.exp((rewards[other] - rewards[one]) / temperature))
    won = source.random(len(one)) < chance
    return Pairs(samples, np.where(won, one, other), np.where(won, other, one))


def classes_of(samples: SampleSet) -> np.ndarray:
    """The class of each sample, (n,) int64; all of one where there are none."""
    return np.zeros(len(samples), np.int64) if samples.labels is None else np.asarray(samples.labels)
