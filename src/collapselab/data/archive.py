"""A zip of pictures. Archives from outside are never trusted: they are read member by member and never extracted."""

import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from .pictures import SUFFIXES, Pictures, labels_of

MEMBER_BYTES = 2**28  # the largest file that is read out of an archive; a zip of 42 kB can claim 4.5 PB


class DatasetZip(Pictures):
    """A zip of PNG and JPEG files with a ``dataset.json``, as StyleGAN and EDM read them (Karras et al. 2020, 2022).

    ``dataset.json`` holds ``{"labels": [[name, label], ...]}``, or null for no labels. The order is that of the sorted
    names. Nothing is extracted; archives with encrypted, linked, doubled, absolute or climbing names are refused.
    """

    citation: ClassVar[str] = "The study's own images."

    source: ClassVar[str] = "zip"

    def listing(self) -> tuple[Sequence[str], Sequence[int] | None]:
        if not self.path.is_file():
            raise ValueError(f"path: there is no file {str(self.path)!r}")
        where = f"path: {str(self.path)!r}"
        with _open_zip(self.path) as archive:
            members = {}
            for member in archive.infolist():
                if fault := _member_fault(member) or ("doubled" if member.filename in members else None):
                    raise ValueError(f"{where}: the member {member.filename!r} is {fault}, which is refused")
                members[member.filename] = member
            names = sorted(name for name in members if name.lower().endswith(SUFFIXES))
            if "dataset.json" not in members:
                return names, None
            return names, labels_of(names, _member_bytes(archive, "dataset.json"), f"{where}: dataset.json")

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        with _open_zip(self.path) as archive:
            for name in names:
                yield _member_bytes(archive, name)


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"path: {str(path)!r} is not a zip: {error}") from None


def _member_bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, zlib.error) as error:
        raise ValueError(f"path: {archive.filename!r}: the member {name!r} is damaged: {error}") from None


def _member_fault(member: zipfile.ZipInfo) -> str | None:
    name = member.filename
    steps = name.removesuffix("/").split("/")
    if any(step in ("", ".", "..") for step in steps) or any(letter in "\\:" or letter < " " for letter in name):
        return "a path out of the archive"
    if member.flag_bits & 0x1:
        return "encrypted"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if member.file_size > MEMBER_BYTES:
        return f"{member.file_size} bytes large, more than {MEMBER_BYTES}"
    return None
