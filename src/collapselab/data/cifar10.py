"""CIFAR-10."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from .base import Dataset, Subset
from .batches import BatchFiles, most_rows
from .rights import CIFAR10, Rights


class Cifar10Batches(Dataset):
    """CIFAR-10 as its authors publish it: the Python version, which is pickled, or the binary version.

    A pickle is a program that its reader runs. These are read without the numpy that they ask for and without calling
    anything: :mod:`batches` says how.
    """

    citation: ClassVar[str] = "Krizhevsky (2009), Learning multiple layers of features from tiny images. No licence."

    source: ClassVar[str] = "cifar10_batches"
    path: Path = Field(description="folder with data_batch_1 to data_batch_5 and test_batch, .bin or not")
    subset: Subset = Field("train", description="the published part: 50,000 to train, 10,000 to test")

    def check(self) -> list[str]:
        return self._content().faults()

    def count(self) -> int:
        """Read from the files: their lengths are not in their names."""
        self.require()
        return self._content().count()

    def at_most(self) -> int:
        """By the lengths of the files."""
        self.require()
        return most_rows(self.files())

    def stored_shape(self) -> tuple[int, int, int]:
        return self._content().shape()

    def labelled(self) -> int:
        self.require()
        return 10

    def rights(self) -> Rights:
        return CIFAR10

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return self._content().read()

    def files(self) -> list[Path]:
        return self._content().found()

    def _content(self) -> BatchFiles:
        return BatchFiles(self.path, self.subset)
