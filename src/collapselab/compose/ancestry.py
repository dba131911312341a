"""How far the rows that models are trained on are from real data: the direct share of real rows, and the mean depth."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .regimes import REAL

Place = tuple[str, int]
"""An arm, or a kind of real data, and a generation."""


class Ancestry(NamedTuple):
    """Of a training set. real: the share of its rows that are real. depth: how many models stand between one of its
    rows and real data, on average over its rows.
    """

    real: float
    depth: float


def ancestry(eaten: Mapping[Place, Iterable[tuple[str, int, float]]]) -> dict[Place, Ancestry]:
    """The real ancestry of training sets, each by the arm and generation whose model is trained on it.

    depth(real row) = 0, and depth(row that the model of a training set S made) = 1 + mean depth of the rows of S, so
    that D(S) = sum_i p_i [i is synthetic] (1 + D(S_i)) over the parts i of S with their shares p_i of its rows. Fully
    synthetic, D_t = t; of n rows more in each generation, all kept, D_t = (t + sum_{i<t} D_i) / (t + 1), which is the
    harmonic number H_{t+1} - 1; of real data alone 0. Rows count alike, whatever their weight in the loss, and a model
    that starts from another's weights does not inherit that one's rows.

    eaten: for each training set its parts as (arm or kind of real data, generation, rows). A set without rows, or with
    a part whose own training set is not among them, has no ancestry, and nor has what descends from it.
    """
    found: dict[Place, Ancestry] = {}
    for place in sorted(eaten, key=lambda place: place[1]):
        parts = [(arm, generation, rows) for arm, generation, rows in eaten[place] if rows]
        total = sum(rows for *_, rows in parts)
        whose = {(arm, generation) for arm, generation, _ in parts if arm not in REAL}
        if not total or not whose <= found.keys():
            continue
        real = sum(rows for arm, _, rows in parts if arm in REAL)
        deep = sum(rows * (1 + found[arm, generation].depth) for arm, generation, rows in parts if arm not in REAL)
        found[place] = Ancestry(real / total, deep / total)
    return found
