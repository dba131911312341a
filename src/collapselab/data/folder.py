"""A folder of pictures."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from .base import missing
from .pictures import SUFFIXES, Pictures, labels_of


class ImageFolder(Pictures):
    """A folder of PNG and JPEG files.

    Labels are the sub-folders' places in sorted order (every sub-folder counts, also an empty one); a folder of files
    alone has no labels; a ``dataset.json`` in the folder, as in NVIDIA's zips, overrules both. Names that begin with a
    dot and files of other types are passed over. The order is that of the sorted names.
    """

    citation: ClassVar[str] = "The study's own images."

    source: ClassVar[str] = "folder"

    def listing(self) -> tuple[Sequence[str], Sequence[int] | None]:
        if faults := missing("path", self.path, []):
            raise ValueError(faults[0])
        flat, folders = _pictures_in(self.path), sorted(_visible(self.path, os.DirEntry.is_dir))
        nested = [
            (name, label) for label, folder in enumerate(folders) for name in _pictures_in(self.path / folder, folder)
        ]
        described = self.path / "dataset.json"
        if described.is_file():
            names = sorted(flat + [name for name, _ in nested])
            return names, labels_of(names, described.read_bytes(), f"path: {str(described)!r}")
        if flat and nested:
            raise ValueError(
                f"path: {str(self.path)!r} has images both beside and in its sub-folders, allowed is one of them"
            )
        return (flat, None) if flat else ([name for name, _ in nested], [label for _, label in nested])

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        return ((self.path / name).read_bytes() for name in names)


def _visible(folder: Path, kind: Callable[[os.DirEntry], bool]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from (entry.name for entry in entries if kind(entry) and not entry.name.startswith("."))


def _pictures_in(folder: Path, prefix: str = "") -> list[str]:
    names = (name for name in _visible(folder, os.DirEntry.is_file) if name.lower().endswith(SUFFIXES))
    return sorted(f"{prefix}/{name}" if prefix else name for name in names)
