"""A model as named arrays, whole or as what it adds to a file that is there already."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..core.errors import Damaged
from ..store import content_hash


@dataclass(frozen=True)
class Base:
    """The file that a model's arrays add to, and its SHA-256."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """The file as it is now."""
        return cls(Path(path), content_hash(path))

    def verified(self) -> Path:
        """The file. Raises Damaged where there is none, or one of another content."""
        if not self.path.is_file():
            raise Damaged(self.path, "is not there, and a model holds only what it adds to it")
        if (found := content_hash(self.path)) != self.sha256:
            said = f"{found[:12]}…, of the file that a model adds to it was {self.sha256[:12]}…"
            raise Damaged(self.path, f"is another file: its SHA-256 is {said}")
        return self.path


@dataclass(frozen=True, eq=False)
class Stored:
    """All that ``load`` needs beside the options.

    tensors: named arrays, the training curve as ``curve.images_seen``, ``curve.loss``. base: the file that they add to;
    None where they are the whole model.
    """

    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    base: Base | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What a file of the tensors says beside them: ``base`` with its ``path`` and ``sha256``, if there is one."""
        return {} if self.base is None else {"base": {"path": str(self.base.path), "sha256": self.base.sha256}}

    @classmethod
    def read(cls, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Self:
        """What :attr:`metadata` and the tensors say. Raises Damaged where the base is not the file that it was."""
        if "base" not in metadata:
            return cls(tensors)
        base = Base(Path(metadata["base"]["path"]), metadata["base"]["sha256"])
        base.verified()
        return cls(tensors, base)
