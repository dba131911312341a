"""A share of what is kept is chosen from groups that somebody favours, the rest by lot."""

from collections.abc import Mapping

import numpy as np

from ..core import seeds

ROUNDS = 1000  # until the numbers of rows settle; each round takes away from them


def wanted_rows(
    table: Mapping[int, float], shares: Mapping[int, float], truth: Mapping[int, float] | None, count: int
) -> dict[int, int]:
    """How many of ``count`` kept rows are chosen from each group of a ``table`` of shares; the others are drawn by lot.

    Of a group of which the lot gives the share p, and a share a is chosen, a + (1 - A) p is kept, A the sum of all a.
    Where its ``truth`` pi is known, a group is given no more than takes it to pi in expectation: p' = min(pi, ...), and
    nothing from p = pi on. Without, a share that is chosen in every generation goes beyond the truth: beside a share f
    of real rows it rests at (a + f pi) / (a + f). shares: of the groups among the samples.
    """
    exact = {group: share * count for group, share in table.items()}
    for _ in range(ROUNDS if truth is not None else 0):
        by_lot = count - sum(exact.values())
        less = {
            group: min(rows, max(0.0, truth.get(group, 0.0) * count - by_lot * shares.get(group, 0.0)))
            if shares.get(group, 0.0) < truth.get(group, 0.0)
            else 0.0
            for group, rows in exact.items()
        }
        if all(exact[group] - rows < 1e-9 for group, rows in less.items()):
            break
        exact = less
    whole = {group: int(rows + 1e-9) for group, rows in exact.items()}
    left = round(sum(exact.values())) - sum(whole.values())
    for group in sorted(exact, key=lambda group: whole[group] - exact[group])[:left]:  # the largest remainders
        whole[group] += 1
    return whole


def targeted(groups: np.ndarray, wanted: Mapping[int, int], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of (n,) ``groups`` that are kept, ascending, and whether each was chosen: two of at most ``count``.

    First the lot draws from all, then each group gives as many of the rest as are wanted, or all that it has.
    """
    order = seeds.generator(seed).permutation(len(groups))
    by_lot = order[: count - sum(wanted.values())]
    rest = order[len(by_lot) :]
    chosen = [rest[groups[rest] == group][:rows] for group, rows in wanted.items()]
    rows = np.concatenate([by_lot, *chosen]).astype(np.int64)
    is_chosen = np.arange(len(rows)) >= len(by_lot)
    ascending = np.argsort(rows)
    return rows[ascending], is_chosen[ascending]


def shares_of(groups: np.ndarray) -> dict[int, float]:
    """The share of each group: of (n,) whole numbers."""
    found, counts = np.unique(groups, return_counts=True)
    return {int(group): float(rows / len(groups)) for group, rows in zip(found, counts, strict=True)}
