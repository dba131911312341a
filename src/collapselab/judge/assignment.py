"""Who judges what, and in which order: the whole table of a round, before anybody has seen an image.

No item is leased or locked while people judge, so that nothing can be given out twice or be lost.
"""

from typing import Literal, NamedTuple

import numpy as np

from ..core import seeds
from ..select.judging import Judging

Kind = Literal["study", "gold", "repeat"]

APART = 20  # items that lie between a sample and its repeat, where there are that many


class Item(NamedTuple):
    """One place in a judge's order. row: of the pool, or of the gold images."""

    kind: Kind
    row: int


def assigned(count: int, gold: int, options: Judging, seed: int) -> list[list[Item]]:
    """The items of each of ``options.judges`` people in their private order.

    count: samples in the pool. gold: images whose answer is known. Every sample that is judged has ``overlap`` judges,
    and the numbers of two people's samples differ by one at most; which samples are judged where there are too many,
    and by whom, is drawn. Beside them a person has the share ``gold`` of images whose answer is known, at any place,
    and the share ``repeats`` of the own samples once more, :data:`APART` items later at least, or a quarter of all.
    Raises ValueError where there are no samples, or no gold images for a share of them.
    """
    if count < 1:
        raise ValueError("pool: found no samples; there is nothing to judge")
    draws = seeds.generator(seed)
    shares = _dealt(draws.permutation(count)[: options.judged(count)], options, draws)
    return [_ordered(np.array(rows, np.int64), gold, options, draws) for rows in shares]


def _dealt(rows: np.ndarray, options: Judging, draws: np.random.Generator) -> list[list[int]]:
    """Each row to the ``overlap`` people who have fewest, by lot among equals: nobody ever is two rows ahead."""
    hands: list[list[int]] = [[] for _ in range(options.judges)]
    loads = np.zeros(options.judges, np.int64)
    for row in rows.tolist():
        for judge in np.argsort(loads + draws.random(options.judges), kind="stable")[: options.overlap].tolist():
            hands[judge].append(row)
            loads[judge] += 1
    return hands


def _ordered(rows: np.ndarray, gold: int, options: Judging, draws: np.random.Generator) -> list[Item]:
    """One person's order."""
    known = round(options.gold * len(rows))
    if known and gold < 1:
        raise ValueError(f"gold: found no image whose answer is known; {known} are needed a judge")
    again = round(options.repeats * len(rows))
    items = [Item("study", row) for row in rows.tolist()]
    items += [Item("gold", row) for row in _spread(known, gold, draws)]
    items = [items[place] for place in draws.permutation(len(items)).tolist()]
    apart = min(APART, len(items) // 4)
    places = [place for place, item in enumerate(items[: len(items) - apart]) if item.kind == "study"]
    shown = sorted(draws.permutation(places)[:again].tolist())
    keyed = [(float(place), item) for place, item in enumerate(items)]
    keyed += [(draws.uniform(place + apart, len(items)), Item("repeat", items[place].row)) for place in shown]
    return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]


def _spread(wanted: int, there: int, draws: np.random.Generator) -> list[int]:
    """So many of the gold images by lot, none again before all were drawn."""
    rounds = -(-wanted // there) if there else 0
    return [row for _ in range(rounds) for row in draws.permutation(there).tolist()][:wanted]
