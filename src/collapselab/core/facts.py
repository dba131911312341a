"""What is known of a study's data before any work, for entries that tell what they cannot do with them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Facts(NamedTuple):
    """What an entry of a registry may ask.

    shape: of one sample. rows: how many the training split has. classes: how many classes the labels are of, 0 where
    there are none, None where nobody knows before. columns: what the numbers of an extractor are called, or 0, 1, ...
    where they have no names; empty where nobody knows before.
    """

    shape: Sequence[int]
    rows: int
    classes: Callable[[], int | None]
    columns: Callable[[str], tuple[str, ...]]


def no_fault(facts: Facts, options: Any) -> str:
    """Of an entry that all data of its kinds suit."""
    return ""


def neighbours_fault(facts: Facts, k: int) -> str:
    """The fault of a neighbour that a split of so few rows has not; empty if it has."""
    return "" if k < facts.rows else f"k: found {k}, allowed are 1 to {facts.rows - 1} of {facts.rows} training rows"
