"""Pictures that are smaller than they are asked to be: how many of them a resolution enlarges."""

from collections.abc import Sequence
from typing import NamedTuple

from .headers import header
from .pictures import Pictures

HEADER_BYTES = 2**18  # of a file say how large the picture is, whatever a camera puts before that


class Enlarged(NamedTuple):
    """count: of so many pictures (of), how many are smaller; least: the shortest side of any, in pixels."""

    count: int
    of: int
    least: int

    def __str__(self) -> str:
        return f"{self.count:,} of {self.of:,} pictures"


def enlarged(pictures: Pictures, names: Sequence[str], resolution: int) -> Enlarged | None:
    """Which of the named pictures are smaller than ``resolution``, by what their files say; None where none is."""
    with pictures.opened() as content:
        heads = [header(content(name, HEADER_BYTES).content) for name in names]
    sides = [min(head.width, head.height) for head in heads if head is not None]
    small = sum(side < resolution for side in sides)
    return Enlarged(small, len(names), min(sides)) if small else None
