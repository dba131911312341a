"""One split into disjoint parts, for the whole study: arrays in, arrays out."""

from collections.abc import Mapping

import numpy as np

from ..core import seeds
from ..core.kinds import NOUNS, kind_of
from ..core.sets import SampleSet
from .digest import digest

EATEN = ("train", "validation", "fresh")  # by trainings: cut from the front of the order, one behind the other
RESERVED = "reserved"  # rows behind the held-out ones, which nothing of a study sees: another reports on them
PARTS = (*EATEN, "held_out")  # what metrics compare with is cut from its end: another number moves no row of the others


def split(
    samples: SampleSet, sizes: Mapping[str, int], seed: int, rare: Mapping[int, float] | None = None
) -> dict[str, SampleSet]:
    """Disjoint parts of the samples, by name: rows of one permutation, cut from its front, held-out ones from its end.

    The permutation depends on ``seed`` and the number of samples alone, so that another size of a part moves at most
    the rows of the parts behind it, and more held-out rows move none. Rows between the two may be left over. Every part
    has its raw rows in ``aux["row"]``, and its lineage names the source, its options, the digest of all the samples,
    the part and the seed.

    sizes: number of rows of each part; any of ``PARTS``, the others are empty and left out; and of ``RESERVED`` rows,
    which lie at the very end and are no part.
    rare: the share that a label is thinned to before all parts are cut, see :func:`thin`.
    Raises ValueError for an unknown part, a negative size, more rows than there are, and as :func:`thin` does.
    """
    order = seeds.generator(seed).permutation(len(samples))
    lineage = {**samples.lineage, "digest": digest(samples), "split_seed": seed}  # not the sizes: other parts may grow
    if rare:
        order = order[thin(samples.labels, rare, seed)[order]]
        lineage["rare"] = {str(label): share for label, share in rare.items()}
    check_sizes(sizes, len(order), NOUNS[kind_of(samples.data) or "images"])
    parts, begins, reserved = {}, starts(sizes), sizes.get(RESERVED, 0)
    for part in PARTS:
        if part in sizes:
            from_end = order[::-1][reserved : reserved + sizes[part]]
            rows = order[begins[part] : begins[part] + sizes[part]] if part in EATEN else from_end
            labels = None if samples.labels is None else samples.labels[rows]
            aux = {name: column[rows] for name, column in samples.aux.items()} | {"row": rows}
            parts[part] = SampleSet(samples.data[rows], labels, aux, {**lineage, "part": part})
    return parts


def starts(sizes: Mapping[str, int]) -> dict[str, int]:
    """Where in the order the parts begin that trainings eat."""
    begins, begin = {}, 0
    for part in EATEN:
        begins[part] = begin
        begin += sizes.get(part, 0)
    return begins


def thin(labels: np.ndarray | None, rare: Mapping[int, float], seed: int) -> np.ndarray:
    """Which samples stay so that labels are as rare as asked for: (N,) bool.

    All samples of other labels stay, m of them. Of a label with share s, round(m s / (1 - sum of the shares)) stay,
    chosen by ``seed``: so it has the share s of what is left, and on average of every part that is cut from that.

    labels: (N,) whole numbers. rare: label -> share, each above 0, together below 1.
    Raises ValueError for other shares, without labels, and for a label with fewer samples than its share needs.
    """
    if labels is None:
        raise ValueError("rare: the samples have no labels, needed to know which ones are rare")
    wrong = [share for share in rare.values() if not share > 0]
    if wrong or sum(rare.values()) >= 1:
        raise ValueError(f"rare: found {dict(rare)}, allowed are shares above 0 which sum to less than 1")
    there = {label: np.flatnonzero(labels == label) for label in rare}
    stays = ~np.isin(labels, list(rare))
    left, faults = thinned({label: len(rows) for label, rows in there.items()}, np.count_nonzero(stays), rare)
    for message in faults.values():
        raise ValueError(f"rare: {message}")
    for label, count in left.items():
        chance = seeds.generator(seeds.seed_of(seed, None, None, "rare", label))
        stays[chance.choice(there[label], count, replace=False)] = True
    return stays


def thinned(there: Mapping[int, int], others: int, rare: Mapping[int, float]) -> tuple[dict[int, int], dict[int, str]]:
    """How many samples of each rare label stay, and what is wrong with those that have fewer, by label, in words.

    there: how many samples each rare label has. others: those of all other labels. rare: see :func:`thin`.
    """
    rest = 1 - sum(rare.values())
    left = {label: round(others * share / rest) for label, share in rare.items()}
    faults = {
        label: f"a share of {share:g} of label {label} beside {others} others is {left[label]} samples, "
        f"allowed are 1 to {there.get(label, 0)}, which it has"
        for label, share in rare.items()
        if not 0 < left[label] <= there.get(label, 0)
    }
    return left, faults


def check_sizes(sizes: Mapping[str, int], available: int, noun: str = "images") -> None:
    """Nothing, if ``available`` samples can be split into these sizes. Raises ValueError, as :func:`split` does.

    noun: what the samples are, as ``kinds.NOUNS`` has it.
    """
    for part, size in sizes.items():
        if part not in (*PARTS, RESERVED):
            raise ValueError(f"split: found the part {part!r}, allowed are {', '.join(PARTS)}")
        if size < 0:
            raise ValueError(f"split: found {part}: {size}, allowed is a number from 0")
    asked = sum(sizes.values())
    if asked > available:
        listed = ", ".join(f"{part} {sizes[part]}" for part in (*PARTS, RESERVED) if part in sizes)
        raise ValueError(f"split: {asked} {noun} were asked for ({listed}), but there are {available}")
