"""What somebody's pictures are, before a study of them is written: every one is decoded once."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from .pictures import Pictures, said_of


class Surveyed(NamedTuple):
    """Pictures as a study has to know them.

    count: how many there are. channels: 1 where all show greys alone, however they are stored; else 3. side, longest:
    the shortest and the longest side of any, in pixels. square: whether all are of one size, whose sides are equal.
    labels: how many images have each label, from 0 on; none where there are no labels, or none are read. ignored:
    whether labels are not to be read. copies: images whose pixels are those of one before. passed: what was passed
    over, and why.
    """

    count: int
    channels: int
    side: int
    longest: int
    square: bool
    labels: Sequence[int] = ()
    ignored: bool = False
    copies: int = 0
    passed: str = ""


def survey(pictures: Pictures) -> Surveyed:
    """What the pictures of a folder or a zip are.

    Raises ValueError where there are none, and one that names each that cannot be read.
    """
    pictures.require()
    found = pictures.listing()
    shapes: set[tuple[int, ...]] = set()
    seen: set[bytes] = set()
    faults, grey = [], True
    in_colour = pictures.model_copy(update={"channels": 3})
    for image in in_colour.decoded(found.names):
        if isinstance(image, ValueError):
            faults.append(image)
            continue
        shapes.add(image.shape[1:])
        seen.add(hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).digest())
        grey = grey and bool((image[0] == image[1]).all() and (image[0] == image[2]).all())
    if faults:
        raise ValueError(f"path: {str(pictures.path)!r}: {said_of(faults, len(found.names))}")
    sides = [side for shape in shapes for side in shape]
    counts = Counter(found.labels or ())
    return Surveyed(
        count=len(found.names),
        channels=1 if grey else 3,
        side=min(sides),
        longest=max(sides),
        square=len(set(sides)) == 1,
        labels=[counts[label] for label in range(max(counts) + 1)] if counts else [],
        ignored=pictures.labels == "ignore",
        copies=len(found.names) - len(seen),
        passed=found.passed,
    )
