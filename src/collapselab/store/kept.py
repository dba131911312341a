"""What was made at a price, kept beside its file until the run is over: whoever is asked for just it again has it.

A workflow deletes the files of a job before it runs the job again: also those that were whole, where another part of
the job failed, or where nobody was left to note that they were. So a second name of the file (a hard link, which takes
no room) stays beside it, with what the file was made from. Where the same is to be made, the file is put back, after a
look at its hash. A file system without hard links keeps nothing.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import Damaged
from .bytes import content_hash, hash_path, recorded_hash, temporary_of, write_atomically

SUFFIX = ".whole"


def identity(**made_from: Any) -> str:
    """SHA-256 of all that a file is made from, as JSON-like values: words, options, hashes of inputs and of source."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()


def keep(path: Path, identity: str, cost: Mapping[str, Any]) -> None:
    """Keep a file that was just written, with what it is made from and what that has cost."""
    link, note = _link(path), _note(path)
    with contextlib.suppress(OSError, Damaged):  # keeping is a help, and no condition
        note.unlink(missing_ok=True)  # before its file: a note says what is there
        link.unlink(missing_ok=True)
        os.link(path, link)
        said = {"identity": identity, "sha256": recorded_hash(path), "cost": dict(cost)}
        write_atomically(note, lambda temporary: temporary.write_text(json.dumps(said), encoding="utf-8"))


def again(path: Path, identity: str) -> dict[str, Any] | None:
    """Put a kept file in its place, with its hash, if it is made from just this; what it has cost, or None."""
    link, note = _link(path), _note(path)
    try:
        said = json.loads(note.read_text(encoding="utf-8"))
        if said["identity"] != identity or content_hash(link) != said["sha256"]:
            return None
        cost, line = dict(said["cost"]), f"{said['sha256']}  ".encode() + os.fsencode(Path(path).name) + b"\n"
        temporary = temporary_of(link)
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        os.link(link, temporary)
        os.replace(temporary, path)
        temporary.unlink(missing_ok=True)  # of one file two names are one: then nothing was renamed
    except (OSError, ValueError, LookupError, TypeError):
        return None
    write_atomically(hash_path(path), lambda beside: beside.write_bytes(line))
    return cost


def forget(path: Path) -> None:
    """Keep a file no more: its room is free once it is deleted itself."""
    for one in (_note(path), _link(path)):
        with contextlib.suppress(OSError):
            one.unlink()


def forget_below(folder: Path) -> None:
    """Keep none of the files below a folder any more: whoever runs the workflow has seen them all through."""
    for pattern in (f".*{SUFFIX}.json", f".*{SUFFIX}"):
        for one in Path(folder).rglob(pattern):
            with contextlib.suppress(OSError):
                one.unlink()


def _link(path: Path) -> Path:
    return Path(path).with_name(f".{Path(path).name}{SUFFIX}")


def _note(path: Path) -> Path:
    return Path(path).with_name(f".{Path(path).name}{SUFFIX}.json")
