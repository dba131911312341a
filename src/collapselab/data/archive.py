"""A zip of pictures. Archives from outside are never trusted: they are read member by member and never extracted."""

import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from ..store.outside import check_regular
from .listing import SUFFIXES, Listing, Skipped, is_junk, labels_of, steps
from .pictures import FILE_BYTES, Pictures, Stored

Members = Mapping[str, zipfile.ZipInfo]


class DatasetZip(Pictures):
    """A zip of PNG and JPEG files with a ``dataset.json``, as StyleGAN and EDM read them (Karras et al. 2020, 2022).

    ``dataset.json`` holds ``{"labels": [[name, label], ...]}``, or null for no labels; it may lie in the one folder
    that all of the zip is wrapped in. The order is that of the sorted names. Nothing is extracted; archives with
    encrypted, linked, doubled, absolute or climbing names are refused.
    """

    citation: ClassVar[str] = "The study's own images."

    source: ClassVar[str] = "zip"

    def listing(self) -> Listing:
        where = f"path: {str(self.path)!r}"
        with self._archive() as (archive, members):
            skipped = Skipped()
            names = []
            for name in members:
                if any(map(is_junk, name.split("/"))):
                    skipped["that macOS or another system left there"] += 1
                elif name.lower().endswith(SUFFIXES):
                    names.append(name)
                else:
                    skipped.file(name)
            names.sort()
            described = _described(members, names)
            if described is None or self.labels == "ignore":
                return Listing(names, None, (), skipped)
            said, prefix = _member_bytes(archive, members[described]), described.removesuffix("dataset.json")
            inside = [name.removeprefix(prefix) for name in names]
            return Listing(names, labels_of(inside, said, f"{where}: {described}"), (), skipped)

    @contextmanager
    def opened(self) -> Iterator[Callable[..., Stored]]:
        with self._archive() as (archive, members):

            def content(name: str, most: int | None = None) -> Stored:
                return Stored(_member_bytes(archive, members[name], most), members[name].compress_size)

            yield content

    def stored_bytes(self, names: Sequence[str]) -> int:
        with self._archive() as (_, members):
            return min(sum(members[name].compress_size for name in names), self.path.stat().st_size)

    @contextmanager
    def _archive(self) -> Iterator[tuple[zipfile.ZipFile, Members]]:
        """The archive, and its files by their names."""
        if not self.path.exists():
            raise ValueError(f"path: there is no file {str(self.path)!r}")
        try:
            check_regular(self.path)
        except ValueError as error:
            raise ValueError(f"path: {error}") from None
        with _open_zip(self.path) as archive:
            yield archive, _members(archive, f"path: {str(self.path)!r}")


def _members(archive: zipfile.ZipFile, where: str) -> Members:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = "/".join(steps(member.filename))
        if fault := _member_fault(member) or ("doubled" if name in members else None):
            raise ValueError(f"{where}: the member {member.filename!r} is {fault}, which is refused")
        if not member.filename.endswith(("/", "\\")):
            members[name] = member
    return members


def _described(members: Members, names: Sequence[str]) -> str | None:
    """The ``dataset.json`` of an archive: at its top, or in the one folder that holds all of its pictures."""
    if "dataset.json" in members:
        return "dataset.json"
    tops = {name.partition("/")[0] for name in names}
    wrapped = f"{next(iter(tops))}/dataset.json" if len(tops) == 1 else ""
    return wrapped if wrapped in members else None


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"path: {str(path)!r} is not a zip: {error}") from None


def _member_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int | None = None) -> bytes:
    """The first bytes of a member, or all of them."""
    try:
        with archive.open(member) as stream:
            return stream.read() if most is None else stream.read(most)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error) as error:
        said = f"the member {member.filename!r} is damaged: {error}"
        raise ValueError(f"path: {archive.filename!r}: {said}") from None


def _member_fault(member: zipfile.ZipInfo) -> str | None:
    name = member.filename
    way = name.replace("\\", "/")
    if way.startswith("/") or re.match("[A-Za-z]:/", way) or ".." in way.split("/") or any(sign < " " for sign in name):
        return "a path out of the archive"
    if member.flag_bits & 0x1:
        return "encrypted"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if member.file_size > FILE_BYTES:
        return f"{member.file_size} bytes large, more than {FILE_BYTES}"
    return None
