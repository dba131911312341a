"""What a data set is, and what all of them share.

A data set is a small pydantic class: its fields are what a study writes under ``data``, and its methods read it.
Making one reads no file, so a study is validated anywhere; ``check`` and ``count`` are cheap, and ``load`` reads the
pixels. Files from outside are never trusted: images pass an allow-list of formats and a cap on their size, archives
are read member by member and never extracted, and pickles are read without numpy and without running anything.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.kinds import KindName
from ..core.sequences import Vocabulary
from ..core.sets import SampleSet
from .resize import Resize, resize
from .rights import Rights

FEW_FILES = 20  # of so many, the beginnings are looked at
BEGINNING_BYTES = 2**16

Subset = Literal["train", "test", "all"]


class Dataset(BaseModel):
    """Real images: the fields say where they are and what is made of them.

    ``source`` is the name by which a study calls it, and ``gives`` the kind of its samples. ``load`` reads. Whatever a
    plan asks is told without reading the samples, since every job asks it again: ``check`` lists what is missing, and
    ``at_most``, ``shape`` and ``labelled`` say how many samples there are, how large, and of how many classes.
    ``citation`` says whose data it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: ClassVar[str]
    citation: ClassVar[str]
    gives: ClassVar[KindName] = "images"

    resolution: int | None = Field(None, ge=1, le=4096, description="side of the images in pixels; None: as stored")
    resize: Resize = Field("area", description="how images come to that resolution")

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What the tokens of sequences stand for; None of other kinds."""
        return None

    @abstractmethod
    def check(self) -> list[str]:
        """What keeps the data from being read, as messages that begin with the field; empty if nothing does."""

    @abstractmethod
    def count(self) -> int:
        """How many samples ``load`` will return. Raises ValueError as ``load`` does."""

    def at_most(self) -> int:
        """How many samples ``load`` will return at most, as the files tell without being read through.

        Raises ValueError as ``check`` lists it.
        """
        return self.count()

    def label_counts(self) -> Mapping[int, int] | None:
        """label -> how many samples have it; None where the samples have none, or would have to be read.

        Raises ValueError as ``check`` lists it.
        """
        return None

    def summary(self) -> str:
        """What is read and what is left out, in a line; empty where all is read."""
        return ""

    @abstractmethod
    def stored_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of an image as stored, read from the first. Raises ValueError as ``load`` does."""

    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of an image as ``load`` returns it."""
        channels, height, width = self.stored_shape()
        return (channels, height, width) if self.resolution is None else (channels, self.resolution, self.resolution)

    def labelled(self) -> int:
        """How many classes the labels are of, from 0 up to the highest; 0 where the images have none.

        A study asks it where a part needs labels: say it without decoding pixels. Raises ValueError as ``load`` does.
        """
        self.require()
        _, labels = self.read()
        return 0 if labels is None else int(np.max(labels)) + 1

    @abstractmethod
    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Images (N, C, H, W) uint8 and labels (N,) or None, as stored."""

    def rights(self) -> Rights:
        """Whose data they are, and what may be done with them; empty of a user's own, who says it in an export."""
        return Rights()

    def load(self) -> SampleSet:
        """The images, (N, C, H, W) uint8, with labels (N,) int64 or None, and with source and options as lineage.

        Raises ValueError for anything that ``check`` lists, and for contents that cannot be read as images.
        """
        self.require()
        images, labels = self.read()
        if self.resolution is not None:
            images = resize(images, self.resolution, self.resize)
        options = self.model_dump(mode="json")
        labels = None if labels is None else np.asarray(labels, np.int64)
        return SampleSet(images, labels, lineage={"source": self.source, "options": options})

    def fingerprint(self) -> str:
        """What tells one version of the files from another, see :func:`fingerprint`: a reason to prepare them again."""
        place = getattr(self, "path", None)
        return "in the package" if place is None else fingerprint(place, self.files)

    def files(self) -> list[Path]:
        """The files under ``path`` that the data consist of, in order."""
        place = self.path
        return sorted(file for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file())

    def require(self) -> None:
        """Nothing. Raises ValueError with all faults that ``check`` lists."""
        if faults := self.check():
            raise ValueError("; ".join(faults))


def tally(labels: Sequence[int] | np.ndarray) -> dict[int, int]:
    """label -> how many there are of it, in ascending order."""
    return dict(zip(*(one.tolist() for one in np.unique(np.asarray(labels), return_counts=True)), strict=True))


def fingerprint(place: Path, files: Callable[[], list[Path]]) -> str:
    """What tells one version of the ``files`` at a place from another without reading all of them.

    DVC's own note of the content where there is one (``<place>.dvc``), else every file's name and size, and how it
    begins where files are few: those of other data may be as long. Dates do not count, a checkout touches them.
    """
    note = Path(f"{place}.dvc")
    if note.exists():
        return hashlib.sha256(note.read_bytes()).hexdigest()[:16]
    found = files()
    sha = hashlib.sha256()
    for file in found:
        sha.update(f"{file.relative_to(place)} {file.stat().st_size}\n".encode())
        if len(found) <= FEW_FILES:
            with file.open("rb") as stream:
                sha.update(stream.read(BEGINNING_BYTES))
    return sha.hexdigest()[:16]


def missing(field: str, folder: Path, files: Iterable[str]) -> list[str]:
    """A message if the folder is not there, or else if any ``files`` are missing from it."""
    if not folder.is_dir():
        return [f"{field}: there is no folder {str(folder)!r}"]
    listed = ", ".join(files)
    return [f"{field}: the folder {str(folder)!r} has no {listed}"] if listed else []
