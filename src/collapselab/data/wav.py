"""How much sound a WAV file has, by its header alone."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

FORMS = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}  # the order of a number's bytes
RATES = (2_000, 768_000)  # samples a second that recorders have
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
KINDS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM", 49: "GSM 6.10", 80: "MPEG", 85: "MP3", 255: "AAC"}


class Heading(NamedTuple):
    """What a file says of its sound: samples a second, and of each channel how many there are at most."""

    rate: int
    samples: int


def heading(file: Path) -> Heading:
    """The header of a WAV file, of which nothing else is read.

    A file that ends too early has as many samples as are there. Raises ValueError for what is no WAV file, has its
    sound in another form than plain numbers, or has none.
    """
    rest = file.stat().st_size
    with file.open("rb") as stream:
        begin = stream.read(12)
        if begin[:4] not in FORMS or begin[8:] != b"WAVE":
            raise ValueError(f"is no WAV file that can be read: it begins with {begin[:4]!r}")
        order, form, samples = FORMS[begin[:4]], None, 0
        for name, size in _chunks(stream, order):
            if name == b"fmt ":
                form = _form(stream.read(min(size, 40)), order)
            elif name == b"data":
                if form is None:
                    raise ValueError("is no WAV file that can be read: its sound comes before its form")
                samples = max(samples, min(size, rest - stream.tell()) // form[1])
    if form is None or not samples or form[0] < 1:
        raise ValueError("has no sound")
    if not RATES[0] <= form[0] <= RATES[1]:
        raise ValueError(f"says {form[0]:,} samples a second; allowed are {RATES[0]:,} to {RATES[1]:,}")
    return Heading(form[0], samples)


def _chunks(stream: IO[bytes], order: str) -> Iterator[tuple[bytes, int]]:
    """The name and the bytes of each chunk, at which the stream stands then."""
    while len(head := stream.read(8)) == 8:
        size, begin = struct.unpack(f"{order}I", head[4:])[0], stream.tell()
        yield head[:4], size
        stream.seek(begin + size + size % 2)


def _form(said: bytes, order: str) -> tuple[int, int]:
    """Samples a second, and the bytes of all channels' numbers at one time."""
    if len(said) < 16:
        raise ValueError("is no WAV file that can be read: the form of its sound is cut off")
    kind, channels, rate, _, width, _ = struct.unpack(f"{order}HHIIHH", said[:16])
    if kind == EXTENSIBLE and len(said) >= 26:
        kind = struct.unpack(f"{order}H", said[24:26])[0]
    if kind not in (PCM, FLOAT):
        raise ValueError(f"has sound in the form {KINDS.get(kind, kind)}; allowed are plain numbers (PCM)")
    if channels < 1 or width < channels:
        raise ValueError("is no WAV file that can be read: it says no channels")
    return rate, width
