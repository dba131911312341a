"""Files as bytes: written in one step, with their hash beside them, which is verified on every read.

A file is written to a temporary name, synced and renamed; then its SHA-256 is written beside it the same way, in the
format of ``sha256sum``, so that ``sha256sum -c`` checks it too. A reader that keeps finding other bytes than the hash
promises renames the file to ``<file>.damaged`` and raises :class:`Damaged`: the next run of the workflow remakes it.

A hash travels with its file, also to where the file does not belong. So of a file that has a place in the grammar of
``results/`` the hash is noted there, too, before the file is (:mod:`.identity` reads it).
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import Damaged
from .cells import Spot

FORMAT = 2  # raised when a stored layout changes meaning; part of every rule's source hash
READ = (1, FORMAT)  # formats that are read: files of the first say nothing of the kind of their samples
METADATA_KEY = "collapselab"  # one key: safetensors writes several in no fixed order, and bytes must be reproducible
LOOKS, PAUSE = 3, 0.1  # a file and its hash are two renames: so often, so many seconds apart, they must disagree alike


def hash_path(path: Path) -> Path:
    """The file that holds the hash of ``path``."""
    return Path(f"{path}.sha256")


def content_hash(path: Path) -> str:
    """The SHA-256 of the file's bytes as they are now, in hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def recorded_hash(path: Path) -> str:
    """The SHA-256 that was recorded when the file was written. Raises Damaged where there is none."""
    found = known_hash(path)
    if not found:
        raise _without_hash(path)
    return found


def _without_hash(path: Path) -> Damaged:
    beside = hash_path(path)
    return Damaged(
        path, f"has no hash beside it ({beside}): either it was not written by collapselab, or it is being written"
    )


def known_hash(path: Path) -> str:
    """The hash beside a file, in whichever of the common formats it is written; empty where there is none.

    Raises Damaged, which leaves the file where it is, for what is no SHA-256: nobody can say that the file has changed.
    """
    beside = hash_path(path)
    try:
        said = beside.read_bytes()
    except FileNotFoundError:
        return ""
    if not said.split():
        return ""
    if found := re.search(rb"(?<![0-9A-Za-z])[0-9a-fA-F]{64}(?![0-9A-Za-z])", said):
        return found[0].decode().lower()
    cure = f"if it is right, write its hash anew: sha256sum {path.name} > {beside.name}; else delete both"
    raise Damaged(path, f"is left as it is: what stands in {beside} is no SHA-256, so that nobody can check it; {cure}")


def write_atomically(path: Path, write: Callable[[Path], None], needs: int | None = None) -> None:
    """Let ``write`` fill a temporary file, and put it at ``path`` in one step: readers see the old bytes or the new.

    A failed write or sync leaves ``path`` as it was and no temporary file; the sync is never tried again, since a
    second fsync may report success for pages that the first has lost. needs: the bytes that it takes, where somebody
    knows: a full disk is told with them, and with what is left.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: is a folder or a device, and no file that could be replaced")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        write(temporary)
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        _tell(error, path, needs)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_folder_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary folder, and put it at ``path`` in one step: readers see all of it, or none.

    Raises ValueError where there is something at ``path`` already. A failed write leaves nothing; what a writer left
    behind that was killed is removed.
    """
    path = Path(path)
    if path.exists():
        raise ValueError(f"path: {str(path)!r} exists already, exported is to a new folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path, folders=True)
    try:
        temporary.mkdir()
        write(temporary)
        for file in sorted(temporary.rglob("*")):  # a folder may outlive a crash in which its files' contents are lost
            if file.is_file():
                with open(file, "rb") as stream:
                    os.fsync(stream.fileno())
        os.rename(temporary, path)
    except OSError as error:
        if error.filename is None:  # who writes single files has told of them already
            _tell(error, path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(path.parent)


def _tell(error: OSError, path: Path, needs: int | None = None) -> None:
    """Let an error say what could not be written, since what a system says of a write names no file; and the room."""
    if error.errno is not None and error.filename is None:
        error.filename = str(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        error.strerror = f"{error.strerror}{_room(path.parent, needs)}"


def _room(folder: Path, needs: int | None) -> str:
    """What a full disk has, and what was to be written, in words."""
    asked = "" if needs is None else f"; about {needs:,} bytes are needed"
    try:
        there = os.statvfs(folder)
    except OSError:
        return asked
    return f"{asked}; {there.f_bavail * there.f_frsize:,} bytes are free"


def temporary_of(path: Path, folders: bool = False) -> Path:
    """Where this process writes a file, or folder, before it puts it at ``path``, in a folder that is there.

    What a writer of the same left behind when it was killed is removed; what only looks so stays.
    """
    for leftover in path.parent.iterdir():
        owner = leftover.name.removeprefix(f".{path.name}.").removesuffix(".tmp")
        named = leftover.name == f".{path.name}.{owner}.tmp" and re.fullmatch("[0-9]{1,10}", owner)
        if named and not leftover.is_symlink() and not runs(int(owner)):
            with contextlib.suppress(OSError):  # of somebody else, in a folder that several write to
                if leftover.is_file():
                    leftover.unlink()
                elif folders and leftover.is_dir():
                    shutil.rmtree(leftover)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def runs(process: int) -> bool:
    """Whether this machine's system knows of a process of this number."""
    try:
        os.kill(process, 0)  # no signal, only the question
    except (ProcessLookupError, OverflowError, TypeError):  # no system counts so far
        return False
    except OSError:
        pass  # somebody else's process
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno is not None:  # what a system says of a sync names no file
            error.filename = str(folder)
        raise
    finally:
        os.close(descriptor)


def write_hashed(path: Path, write: Callable[[Path], None], needs: int | None = None) -> str:
    """Write a file atomically and its hash after it; the hash."""
    path = Path(path)
    digest = ""

    def write_and_digest(temporary: Path) -> None:
        nonlocal digest
        write(temporary)
        digest = content_hash(temporary)
        _note(path, digest)

    write_atomically(path, write_and_digest, needs)
    line = f"{digest}  ".encode() + os.fsencode(path.name) + b"\n"
    write_atomically(hash_path(path), lambda temporary: temporary.write_bytes(line))
    return digest


def _note(path: Path, digest: str) -> None:
    """Note what is about to be put at a place of the grammar, as a line of ``sha256sum``; once, however often it is."""
    spot = Spot.of(path)
    if spot is None:
        return
    said = spot.notes.read_bytes() if spot.notes.is_file() else b""
    line = f"{digest}  {spot.place}\n".encode("utf-8", "surrogateescape")
    if line not in said:
        write_atomically(spot.notes, lambda temporary: temporary.write_bytes(said + line))


def noted(spot: Spot) -> dict[str, set[str]]:
    """place -> the hashes that were noted of it beside a file; nothing where nobody has noted anything.

    What is no such line says nothing.
    """
    found: dict[str, set[str]] = {}
    with contextlib.suppress(OSError):
        for line in spot.notes.read_text("utf-8", "surrogateescape").splitlines():
            digest, _, place = line.partition("  ")
            if re.fullmatch("[0-9a-f]{64}", digest):
                found.setdefault(place, set()).add(digest)
    return found


def verify(path: Path) -> str:
    """The file's hash, after checking it against the recorded one.

    Raises Damaged when the two go on disagreeing, and renames the file to ``.damaged`` where it may; a file without a
    hash, which may be somebody's own, is left where it is. What changes between two looks is being written, and is
    looked at again.
    """
    path = Path(path)
    found, expected = content_hash(path), known_hash(path)
    looks = 1
    while found != expected and looks < LOOKS:
        time.sleep(PAUSE)
        before = found, expected
        try:
            found, expected = content_hash(path), known_hash(path)
        except FileNotFoundError:  # another reader was faster
            break
        looks = looks + 1 if (found, expected) == before else 1
    if found == expected:
        return found
    if not expected:
        raise _without_hash(path)
    if _is_as_noted(path, found, expected):
        raise differing(path, found, expected)
    aside = True
    try:
        os.replace(path, f"{path}.damaged")
    except FileNotFoundError:  # another reader was faster
        pass
    except OSError:  # a folder that is read-only hides no damage
        aside = False
    raise differing(path, found, expected, aside)


def differing(path: Path, found: str, expected: str, set_aside: bool = False) -> Damaged:
    """What is wrong where a file has another SHA-256 than stands beside it: the file, or what stands there."""
    beside = hash_path(path)
    if _is_as_noted(path, found, expected):
        cure = f"write it anew: sha256sum {path.name} > {beside.name}"
        return Damaged(beside, f"is of another file ({expected[:12]}…), and {path.name} is whole: {cure}")
    what = f"damaged: its SHA-256 is {found[:12]}…, {expected[:12]}… was recorded in {beside.name} when it was made"
    return Damaged(path, what, set_aside)


def _is_as_noted(path: Path, found: str, expected: str) -> bool:
    """Whether a file is one that was written where it lies, and what stands beside it is of none that was."""
    spot = Spot.of(path)
    known = noted(spot).get(spot.place, ()) if spot else ()
    return found in known and expected not in known


def stamped(metadata: Mapping[str, Any]) -> str:
    """What a file says of itself, as JSON, with the format in which it is stored."""
    return json.dumps({"format": FORMAT, **metadata}, sort_keys=True)


def check_stamp(path: Path, found: Any) -> None:
    """Raise Damaged unless a file's format is one that is read here."""
    if found not in READ:
        raise Damaged(path, f"not written by this version of the store (format {FORMAT})")


@contextlib.contextmanager
def understood(path: Path) -> Iterator[None]:
    """Within it what a whole file says of itself is taken apart: what it does not say, or says otherwise, is Damaged.

    A right hash vouches for bytes, and not for who wrote them.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        if isinstance(error, Damaged):
            raise
        said = " ".join(str(error).split())[:200]
        raise Damaged(path, f"does not say what this version reads of it ({type(error).__name__}: {said})") from None


def expect(path: Path, found: bool, kind: str) -> None:
    """Raise ValueError unless a whole file was found to be of the kind that its reader needs."""
    if not found:
        raise ValueError(f"{path}: found no {kind} in it; was another file meant?")
