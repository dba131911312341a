"""A look at a file of whatever format: is it what was written, and does it lie where it belongs?"""

import json
from pathlib import Path
from typing import Any

from . import identity, tables, tensors
from .bytes import content_hash, differing, recorded_hash, understood

SAID = {".safetensors": tensors.read_metadata, ".parquet": tables.read_metadata}
"""ending -> what reads what a file says of itself, without its content."""


def examine(path: Path) -> None:
    """Nothing. Raises Damaged as the file's reader would, and changes nothing: the file stays where it is.

    The file is read once, for its hash; of its content only the head, for what it says of itself.
    """
    found, expected = content_hash(path), recorded_hash(path)
    if found != expected:
        raise differing(path, found, expected)
    identity.check(path, found, said(path))


def said(path: Path) -> Any:
    """What a file says of itself, whether it is whole and wherever it belongs; nothing of one that says nothing."""
    if path.suffix in SAID:
        return SAID[path.suffix](path)
    if path.suffix != ".json":
        return {}
    with understood(path):
        return json.loads(path.read_text(encoding="utf-8"))
