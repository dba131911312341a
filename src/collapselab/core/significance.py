"""What many tests at once may conclude: the correction that theory and verdicts share."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Holm's (1979) step-down p-values: the k-th smallest of m is multiplied by m - k + 1, kept rising, cut at 1."""
    adjusted, floor = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = floor
    return adjusted
