"""The state of an interrupted training on disk, so that the training goes on where it was."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import Damaged
from ..store import read_tensors, write_tensors

logger = logging.getLogger(__name__)


def identity(arrays: Mapping[str, np.ndarray | None], **facts: Any) -> str:
    """SHA-256 over named arrays (dtype, shape and bytes) and JSON-like facts: what a training is made from."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        if array is not None:
            digest.update(f"{name}|{array.dtype}|{array.shape}|".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def differences(found: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not the same in two descriptions of how a training is run, as ``name: found ..., now ...``."""
    names = [name for name in dict.fromkeys([*found, *now]) if found.get(name) != now.get(name)]
    return [f"{name}: found {found.get(name)!r}, now {now.get(name)!r}" for name in names]


class State(NamedTuple):
    """tensors: of the training. images_seen: so far. how: it was run, as :meth:`Checkpoint.write` was told."""

    tensors: dict[str, np.ndarray]
    images_seen: int
    how: dict[str, Any]


class Checkpoint:
    """A folder with the last two states of one training.

    They are written in turn: a process killed while it writes one leaves the other whole. The folder belongs to whoever
    asked for the training, who removes it once the trained model is safe.

    identity: of what is trained (source code, options, data, seed, budget, initial weights); a state of another one is
    of no use. How it is run (torch, hardware, processes) is kept beside each state, and judged by the reader.
    """

    def __init__(self, folder: Path, identity: str):
        self.folder, self.identity = Path(folder), identity
        self._next = 0

    def read(self) -> State | None:
        """The newest state that is whole and of this training; None if there is none.

        States of another training and damaged ones are passed over with a warning.
        """
        newest = None
        for slot in (0, 1):
            path = self._path(slot)
            if not path.exists():
                continue
            try:
                tensors, metadata = read_tensors(path)
            except Damaged as damage:
                logger.warning("checkpoint not used: %s", damage)
                continue
            if metadata.get("identity") != self.identity:
                facts = "data, options, seed, budget, initial weights or source code"
                logger.warning("checkpoint not used: %s: it is of another training (%s)", path, facts)
            elif newest is None or metadata["images_seen"] > newest.images_seen:
                newest = State(tensors, metadata["images_seen"], metadata["how"])
                self._next = 1 - slot
        return newest

    def write(self, tensors: Mapping[str, np.ndarray], images_seen: int, how: Mapping[str, Any]) -> None:
        """Store a state in place of the older of the two. how: JSON-like."""
        metadata = {"identity": self.identity, "images_seen": images_seen, "how": dict(how)}
        write_tensors(self._path(self._next), tensors, metadata)
        self._next = 1 - self._next

    def _path(self, slot: int) -> Path:
        return self.folder / f"state{slot}.safetensors"
