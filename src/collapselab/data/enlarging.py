"""What pictures' files say of their sizes: how many of them a resolution enlarges, and which cannot lie together."""

import io
import re
from collections.abc import Sequence
from typing import NamedTuple

from .headers import header
from .pictures import Pictures

HEADER_BYTES = 2**18  # of a file say how large the picture is, whatever a camera puts before that
TURNING = re.compile(b"exif|xmp|ns.adobe.com/xap", re.IGNORECASE)  # what may say that a picture lies on its side
SIDEWAYS = range(5, 9)  # EXIF's orientations whose rows are shown as columns


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


def unlike(pictures: Pictures, names: Sequence[str]) -> str | None:
    """What keeps the named pictures from being read as they are asked for, by the sizes that their files say.

    None where nothing does that is seen so far. Sizes are compared as far as they are sure: which side is the height is
    not, where what was not read of a file may say that the picture is to be turned, and files that do not say their
    size are left out.
    """
    cuts, sized = pictures.crop == "centre", pictures.resolution is not None
    if cuts and sized:
        return None
    first: dict[bool, tuple[str, tuple[int, int]]] = {}  # of those that may be turned, and of those that are not
    with pictures.opened() as content:
        for name in names:
            try:
                stored = content(name, HEADER_BYTES).content
            except (ValueError, OSError):  # where it is read that is told
                continue
            if (head := header(stored)) is None:
                continue
            size = (min(head.height, head.width),) * 2 if cuts else (head.height, head.width)
            if sized and size[0] != size[1]:
                said = f"{name!r} has {size[0]} x {size[1]} pixels, and only square pictures can be resized"
                return f"{said}: say crop: centre"
            if (turned := _sideways(stored)) is True:
                size = size[::-1]
            unsure = turned is None
            if not sized and (found := _other(first, size, unsure)):
                like, one = found
                said = f"{like!r} has {one[0]} x {one[1]} pixels, {name!r} has {size[0]} x {size[1]}"
                cure = "resolution: N" if cuts else "resolution: N, crop: centre"
                return f"{said}, and all must be of one size: say {cure}, where N is the side of all in pixels"
            first.setdefault(unsure, (name, size))
    return None


def _sideways(stored: bytes) -> bool | None:
    """Whether a file says that its picture lies on its side; None where its beginning does not tell it surely.

    A JPEG file says so before its pixels; a PNG file may say so behind them, and then what is read has no word of it.
    """
    from PIL import Image

    if len(stored) < HEADER_BYTES and TURNING.search(stored) is None:
        return False
    try:
        with Image.open(io.BytesIO(stored), formats=["JPEG"]) as image:
            return image.getexif().get(0x0112, 1) in SIDEWAYS
    except Exception:  # it is no JPEG, or its metadata are nothing that Pillow reads: of whatever kind
        return None


def _other(
    first: dict[bool, tuple[str, tuple[int, int]]], size: tuple[int, int], unsure: bool
) -> tuple[str, tuple[int, int]] | None:
    """The first picture whose size is surely another."""
    for also, (name, other) in first.items():
        sure = other != size if not (also or unsure) else sorted(other) != sorted(size)
        if sure:
            return name, other
    return None
