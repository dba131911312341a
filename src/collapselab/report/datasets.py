"""Data that a run has read, known by the digests that DVC gives to them.

DVC 3 knows a file by the MD5 of its bytes, and a folder by the MD5 of a list of its files, with ``.dir`` after it: JSON
with ``md5`` and ``relpath`` of each in the order of their paths, as ``json.dumps(..., sort_keys=True)`` writes it.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from .. import store

# What .dvcignore leaves out of every folder: at first what is being written.
WRITING = (".*.tmp", ".*.training", ".*.at_work", ".*.whole", ".*.whole.json", ".*.lock")
LEFT_OUT = ("__pycache__", "*.pyc", "*.damaged", *WRITING, ".snakemake_timestamp")


@dataclass(frozen=True)
class Dataset:
    """A file of data, or a folder of them. context: what a run has read it for. source: where it is from, in words."""

    name: str
    path: Path
    context: str
    source: str = ""

    def identity(self) -> str:
        """What changes with its content, and costs no reading of it: the hashes that were recorded."""
        files = [self.path] if self.path.is_file() else list(_files(self.path))
        there = {str(file): store.recorded_hash(file) for file in files if store.hash_path(file).exists()}
        return hashlib.sha256(json.dumps([self.name, self.context, there], sort_keys=True).encode()).hexdigest()

    def digest(self) -> str:
        """Its digest, as ``dvc.lock`` and DVC's cache have it. Reads every byte."""
        if self.path.is_file():
            return _md5(self.path)
        files = {str(file.relative_to(self.path).as_posix()): file for file in _files(self.path)}
        listed = [{"md5": _md5(files[name]), "relpath": name} for name in sorted(files)]
        return f"{hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest()}.dir"


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if file.is_file() and not any(fnmatch(part, pattern) for part in parts for pattern in LEFT_OUT):
            yield file


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
