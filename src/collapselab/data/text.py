"""Text as sequences of characters: what Python itself carries, or the user's own."""

import sys
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..core.sequences import Vocabulary, windows
from ..core.sets import SampleSet
from .base import Dataset, fingerprint
from .listing import Listing, Skipped
from .rights import Rights

SUFFIX = ".txt"
MOST_BYTES = 2**28  # of a text: a quarter of a gigabyte, of which the tokens are four times as many bytes
SHORT_BYTES = 2**21  # a text that is read to count its sequences: as many bytes take a twentieth of a second
TOLD = 10  # characters that a message names
Stamps = tuple[tuple[str, int, int], ...]
ALPHABETS: Mapping[str, str] = {
    "letters": " abcdefghijklmnopqrstuvwxyz",
    "printable": "\n" + "".join(map(chr, range(32, 127))),
}


class Text(Dataset):
    """A text, cut into sequences of equal length: the reference of the Python language, or a file of one's own.

    Without a ``path`` it is ``pydoc_data.topics``, which every Python carries: about 460,000 characters of English on
    its language, other ones with another version. A file is read as UTF-8; of a folder all its .txt files are, in the
    order of their names.
    """

    citation: ClassVar[str] = "The Python Language Reference, Python Software Foundation; or the study's own text."
    source: ClassVar[str] = "text"
    gives: ClassVar[Literal["sequences"]] = "sequences"
    resolution: ClassVar[None] = None  # of images
    resize: ClassVar[str] = "area"
    expansion: ClassVar[int] = 16  # bytes in memory for one in a file, while it is read: characters and tokens

    path: Path | None = Field(None, description="a text file, or a folder of .txt files; null: what Python carries")
    alphabet: Annotated[
        Literal["letters", "printable"],
        Field(description="letters: a to z and space, all else becomes a space; printable: 95 characters and new line"),
    ] = "letters"
    length: int = Field(64, ge=2, le=65536, description="characters of a sequence")

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters that its tokens stand for."""
        letters = ALPHABETS[self.alphabet]
        return Vocabulary(len(letters), letters)

    def check(self) -> list[str]:
        if self.path is None:
            return []
        if not (self.path.is_file() or self.path.is_dir()):
            return [f"path: there is no file or folder {str(self.path)!r}"]
        if not self.files():
            return [f"path: the folder {str(self.path)!r} has no {SUFFIX} file"]
        large = sum(file.stat().st_size for file in self.files())
        return [f"path: found {large} bytes, allowed are {MOST_BYTES}"] if large > MOST_BYTES else []

    def files(self) -> list[Path]:
        if self.path is None:
            return []
        if self.path.is_dir():
            return sorted(file for file in self.path.glob(f"*{SUFFIX}") if file.is_file() and file.name[0] != ".")
        return [self.path]

    def count(self) -> int:
        self.require()
        return len(self._tokens()) // self.length

    def at_most(self) -> int:
        """Of a long text by its bytes, of which a character has one or more; a short one is read."""
        self.require()
        files = self.files()
        large = sum(file.stat().st_size for file in files) + len(files) - 1  # with a line feed between two
        return self.count() if large <= SHORT_BYTES else large // self.length

    def summary(self) -> str:
        """What is read, what is passed over, and which characters are none of the alphabet's."""
        lost = Counter(_strangers(self._stamps(), self.alphabet))
        many, fate = sum(lost.values()), "became spaces" if self.alphabet == "letters" else "were left out"
        most = ", ".join(f"{_shown(one)} {count:,}" for one, count in lost.most_common(TOLD))
        most += f", and {len(lost) - TOLD} others" if len(lost) > TOLD else ""
        left = f"; {many:,} characters that are none of {self.alphabet!r} {fate}: {most}" if lost else ""
        passed = self._passed()
        over = f"; passed over: {passed}" if passed else ""
        rest = len(self._tokens()) % self.length
        return f"{self.count():,} sequences of {self.length}, and a rest of {rest}{left}{over}"

    def _passed(self) -> str:
        """What a folder has beside its texts, in words."""
        if self.path is None or not self.path.is_dir():
            return ""
        skipped = Skipped()
        for entry in self.path.iterdir():
            if entry.is_dir():
                skipped[f"in {entry.name}/"] += sum(1 for one in entry.rglob("*") if one.is_file())
            elif entry.suffix != SUFFIX or entry.name[0] == ".":
                skipped.file(entry.name)
        return Listing([], None, (), +skipped).passed

    def stored_shape(self) -> tuple[int, ...]:
        return (self.length,)

    def shape(self) -> tuple[int, ...]:
        return self.stored_shape()

    def labelled(self) -> int:
        return 0

    def read(self) -> tuple[np.ndarray, None]:
        """Sequences that follow one another in the text, (N, length) int32; what is left at its end is left out."""
        return windows(self._tokens(), self.length), None

    def load(self) -> SampleSet:
        """The sequences, with source, options and vocabulary as lineage.

        Raises ValueError for anything that ``check`` lists, and for files that are no UTF-8 text.
        """
        self.require()
        data, _ = self.read()
        lineage = {"source": self.source, "options": self.model_dump(mode="json"), **self.vocabulary.told}
        return SampleSet(data, lineage=lineage)

    def fingerprint(self) -> str:
        if self.path is None:
            return f"in Python {sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
        return fingerprint(self.path, self.files)

    def rights(self) -> Rights:
        if self.path is not None:
            return Rights()
        return Rights(
            licence="PSF-2.0",
            owner="Python Software Foundation",
            collected="with the version of Python that is in use",
            people="none",
            address="https://docs.python.org/3/reference/",
            note="the help topics of the language, as the standard library carries them",
        )

    def _tokens(self) -> np.ndarray:
        return _tokens_of(self._stamps(), self.alphabet)

    def _stamps(self) -> Stamps:
        return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files())


@cache
def _tokens_of(stamps: Stamps, alphabet: str) -> np.ndarray:
    """The tokens of files, or of what Python carries where there are none; read once, since a plan counts them."""
    return normalised(_whole(stamps), alphabet)


def _whole(stamps: Stamps) -> str:
    return "\n".join([_read(Path(name)) for name, _, _ in stamps] if stamps else _carried())


def _strangers(stamps: Stamps, alphabet: str) -> dict[str, int]:
    """The characters of files that are none of an alphabet's, and how many there are of each.

    To letters whatever is no letter is a space: of these the other alphabets' letters and the digits are told.
    """
    letters = set(ALPHABETS[alphabet]) | set(ALPHABETS[alphabet].upper() if alphabet == "letters" else "")
    lost = {one: many for one, many in Counter(_whole(stamps)).items() if one not in letters}
    return {one: many for one, many in lost.items() if one.isalnum()} if alphabet == "letters" else lost


def _shown(character: str) -> str:
    """A character, or its number where it would not be seen."""
    return character if character.isprintable() and not character.isspace() else f"U+{ord(character):04X}"


def normalised(text: str, alphabet: str) -> np.ndarray:
    """A text as tokens of an alphabet: (n,) int32.

    letters: small letters; every run of other characters is one space, as in text8 (Mahoney 2011, "Large text
    compression benchmark"). printable: other characters than ASCII's and the line feed are left out.
    """
    letters = ALPHABETS[alphabet]
    place = np.full(0x110000, -1, np.int32)
    place[[ord(letter) for letter in letters]] = np.arange(len(letters), dtype=np.int32)
    if alphabet == "letters":
        place[[ord(letter.upper()) for letter in letters[1:]]] = np.arange(1, len(letters), dtype=np.int32)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    found = place[points]
    if alphabet != "letters":
        return found[found >= 0]
    found = np.maximum(found, 0)  # the space
    again = np.zeros(len(found), bool)
    again[1:] = (found[1:] == 0) & (found[:-1] == 0)
    return found[~again]


def _carried() -> list[str]:
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"path: {str(file)!r} is no UTF-8 text: byte {error.start} is {error.reason}") from None
