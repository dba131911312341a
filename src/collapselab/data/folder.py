"""A folder of pictures."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar

from ..store.outside import bytes_on_disk, check_regular
from .base import missing
from .listing import SUFFIXES, Listing, Skipped, is_junk, labels_of, natural
from .pictures import FILE_BYTES, Pictures, Stored


class ImageFolder(Pictures):
    """A folder of PNG and JPEG files.

    Labels are the sub-folders' places in the order in which people count, 2 before 10 (every sub-folder counts, also an
    empty one, but none that a system has left there); a folder of files alone has no labels; a ``dataset.json`` in the
    folder, as in NVIDIA's zips, overrules both. The order of the images is that of the sorted names. Names that begin
    with a dot, files of other types and whatever lies deeper are passed over, and counted.
    """

    citation: ClassVar[str] = "The study's own images."

    source: ClassVar[str] = "folder"

    def listing(self) -> Listing:
        if faults := missing("path", self.path, []):
            raise ValueError(faults[0])
        skipped = Skipped()
        flat = _pictures_in(self.path, skipped)
        folders = sorted(_folders_in(self.path, skipped))
        nested = [(name, folder) for folder in folders for name in _pictures_in(self.path / folder, skipped, folder)]
        for folder in folders:
            _count_deeper(self.path / folder, skipped)
        described = self.path / "dataset.json"
        if self.labels == "ignore":
            return Listing(
                sorted(flat + [name for name, _ in nested]) if flat else [name for name, _ in nested], None, (), skipped
            )
        if described.is_file():
            names = sorted(flat + [name for name, _ in nested])
            return Listing(names, labels_of(names, described.read_bytes(), f"path: {str(described)!r}"), (), skipped)
        if flat and nested:
            raise ValueError(
                f"path: {str(self.path)!r} has images both beside and in its sub-folders, allowed is one of them; "
                "or set labels: ignore"
            )
        if flat:
            return Listing(flat, None, (), skipped)
        classes = sorted(folders, key=natural)
        label = {folder: place for place, folder in enumerate(classes)}
        return Listing([name for name, _ in nested], [label[folder] for _, folder in nested], classes, skipped)

    def opened(self) -> AbstractContextManager[Callable[..., Stored]]:
        return nullcontext(self._content)

    def stored_bytes(self, names: Sequence[str]) -> int:
        return sum(bytes_on_disk(self.path / name) for name in names)

    def _content(self, name: str, most: int | None = None) -> Stored:
        """The first bytes of a file, or all of them."""
        file = self.path / name
        check_regular(file)  # it may have been exchanged since it was listed
        size = file.stat().st_size
        if size > FILE_BYTES:
            raise ValueError(f"{name!r}: is {size} bytes large, more than the {FILE_BYTES} that are allowed")
        with file.open("rb") as stream:
            return Stored(stream.read(size if most is None else most), bytes_on_disk(file))


def _folders_in(folder: Path, skipped: Skipped) -> Iterator[str]:
    """The folders that are classes."""
    for entry in _entries(folder):
        if entry.is_dir():
            if entry.is_symlink() and Path(entry).resolve() in (folder.resolve(), *folder.resolve().parents):
                skipped[f"in {entry.name}/, which leads back"] += 1
            elif entry.name.startswith(".") or is_junk(entry.name):
                skipped[f"in {entry.name}/"] += sum(len(files) for _, _, files in os.walk(entry))
            else:
                yield entry.name


def _pictures_in(folder: Path, skipped: Skipped, prefix: str = "") -> list[str]:
    names = []
    for entry in _entries(folder):
        if entry.is_dir():
            continue
        if not entry.is_file():
            skipped["that are no regular files"] += 1
        elif entry.name.startswith(".") or not entry.name.lower().endswith(SUFFIXES):
            skipped.file(entry.name)
        else:
            names.append(f"{prefix}/{entry.name}" if prefix else entry.name)
    return sorted(names)


def _count_deeper(folder: Path, skipped: Skipped) -> None:
    """Count the pictures that lie deeper than a class does."""
    for entry in _entries(folder):
        if entry.is_dir() and not (entry.name.startswith(".") or is_junk(entry.name)):
            found = (name for _, _, files in os.walk(entry) for name in files if name.lower().endswith(SUFFIXES))
            if many := sum(1 for _ in found):
                skipped[f"in the deeper folder {folder.name}/{entry.name}/"] += many


def _entries(folder: Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return list(entries)
