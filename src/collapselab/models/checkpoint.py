"""The state of an interrupted training on disk, so that the training goes on where it was."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..store import Damaged, read_tensors, write_tensors

logger = logging.getLogger(__name__)


def identity(arrays: Mapping[str, np.ndarray | None], **facts: Any) -> str:
    """SHA-256 over named arrays (dtype, shape and bytes) and JSON-like facts: what a training is made from."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        if array is not None:
            digest.update(f"{name}|{array.dtype}|{array.shape}|".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Checkpoint:
    """A folder with the last two states of one training.

    They are written in turn: a process killed while it writes one leaves the other whole. The folder belongs to whoever
    asked for the training, who removes it once the trained model is safe.
    """

    def __init__(self, folder: Path, identity: str):
        self.folder, self.identity = Path(folder), identity
        self._next = 0

    def read(self) -> tuple[dict[str, np.ndarray], int] | None:
        """The newest state that is whole and of this training, with its images seen; None if there is none.

        States of another training (other data, options, seed, budget, initial weights, source code, version of torch or
        kind of device) and damaged ones are passed over with a warning.
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
                facts = "data, options, seed, budget, initial weights, source code, torch or device"
                logger.warning("checkpoint not used: %s: it is of another training (%s)", path, facts)
            elif newest is None or metadata["images_seen"] > newest[1]:
                newest = tensors, metadata["images_seen"]
                self._next = 1 - slot
        return newest

    def write(self, tensors: Mapping[str, np.ndarray], images_seen: int) -> None:
        """Store a state in place of the older of the two."""
        write_tensors(self._path(self._next), tensors, {"identity": self.identity, "images_seen": images_seen})
        self._next = 1 - self._next

    def _path(self, slot: int) -> Path:
        return self.folder / f"state{slot}.safetensors"
