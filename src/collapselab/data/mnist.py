"""MNIST, and the data sets that took over its format."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from .base import Dataset, Subset, tally
from .idx import IdxFiles, labels_of
from .rights import Rights


class MnistIdx(Dataset):
    """The idx files of MNIST, and of the data sets that took over its format, plain or gzipped."""

    citation: ClassVar[str] = "LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning. CC BY-SA 3.0."

    source: ClassVar[str] = "mnist_idx"
    path: Path = Field(description="folder with train-images-idx3-ubyte and its three companions, .gz or not")
    subset: Subset = Field("train", description="the published part: 60,000 to train, 10,000 to test")

    def check(self) -> list[str]:
        return self._content().faults()

    def count(self) -> int:
        self.require()
        return self._content().count()

    def stored_shape(self) -> tuple[int, int, int]:
        self.require()
        return self._content().shape()

    def labelled(self) -> int:
        return max(self.label_counts(), default=-1) + 1

    def label_counts(self) -> dict[int, int]:
        self.require()
        return tally(labels_of(self._content()))

    def rights(self) -> Rights:
        """Nothing: other data sets, with other owners, have the same format."""
        return Rights(note="files in the format of MNIST, which may be those of another data set")

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return self._content().read()

    def files(self) -> list[Path]:
        return self._content().found()

    def _content(self) -> IdxFiles:
        return IdxFiles(self.path, self.subset)
