"""What the first bytes of PNG and JPEG files say, without decoding them."""

from collections.abc import Iterator
from typing import NamedTuple

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}  # by colour type; of a palette the colours count, transparency never
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of JPEG that begin a frame, and say its size
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
SCAN = 0xDA  # pixels begin

PNG_WORDS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
JPEG_WORDS = {0xFE, *range(0xE2, 0xEE), 0xEF}  # comments, profiles, previews
WHOLE = {0xE0: 14, 0xEE: 12}  # JFIF and Adobe, which say what the channels are, with the bytes that they need


class Header(NamedTuple):
    """A picture before it is decoded. kind: PNG or JPEG. channels: 1 of grey, 3 of RGB, 4 of what is neither."""

    kind: str
    width: int
    height: int
    channels: int


def kind_of(content: bytes) -> str | None:
    """PNG or JPEG, by the first bytes of a file; None for anything else."""
    return "PNG" if content.startswith(PNG) else "JPEG" if content.startswith(JPEG) else None


def header(content: bytes) -> Header | None:
    """What a file says of itself; None where it does not say it as PNG and JPEG do."""
    match kind_of(content):
        case "PNG" if len(content) > 25:
            width, height = (int.from_bytes(content[place : place + 4], "big") for place in (16, 20))
            return Header("PNG", width, height, PNG_CHANNELS.get(content[25], 4))
        case "JPEG":
            return _frame(content)
    return None


def _frame(content: bytes) -> Header | None:
    """The first frame of a JPEG file: its segments are walked up to there."""
    place = 2
    while place + 9 < len(content):
        if content[place] != 0xFF or content[place + 1] in (0x00, 0xFF):
            place += 1  # filled up, or damaged
            continue
        marker = content[place + 1]
        if marker == SCAN:
            return None
        if marker in FRAMES:
            height, width = (int.from_bytes(content[at : at + 2], "big") for at in (place + 5, place + 7))
            return Header("JPEG", width, height, content[place + 9])
        place += 2 if marker in ALONE else 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return None


def without_words(content: bytes) -> bytes:
    """A file without text, colour profiles and what programs leave in it.

    No pixel depends on them, nor how the picture is turned. Anything but PNG and JPEG stays as it is.
    """
    match kind_of(content):
        case "PNG":
            return b"".join(_chunks(content))
        case "JPEG":
            return b"".join(_segments(content))
    return content


def _chunks(content: bytes) -> Iterator[bytes]:
    yield PNG
    place = len(PNG)
    while place + 12 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] not in PNG_WORDS:
            yield content[place:end]
        place = end


def _segments(content: bytes) -> Iterator[bytes]:
    yield content[:2]
    place = 2
    while place + 4 < len(content) and content[place] == 0xFF and content[place + 1] not in (SCAN, *ALONE):
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        marker, said = content[place + 1], content[place + 4 : end]
        needed = WHOLE.get(marker)  # of what may say something of the pixels only what is whole is kept
        if marker not in JPEG_WORDS and (needed is None or len(said) >= needed):
            yield content[place:end]
        place = end
    yield content[place:]
