"""The digits that scikit-learn carries."""

import gzip
import importlib.util
from pathlib import Path
from typing import ClassVar

import numpy as np

from .base import Dataset
from .rights import Rights


class Digits(Dataset):
    """The 1,797 handwritten digits of 8 by 8 pixels that scikit-learn's package carries; needs no download."""

    citation: ClassVar[str] = "Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI. CC BY 4.0."

    source: ClassVar[str] = "digits"

    def check(self) -> list[str]:
        file = self._file()
        return [] if file and file.is_file() else ["source: 'digits' needs scikit-learn, which carries them"]

    def count(self) -> int:
        self.require()
        return 1797

    def stored_shape(self) -> tuple[int, int, int]:
        return 1, 8, 8

    def labelled(self) -> int:
        self.require()
        return 10

    def label_counts(self) -> dict[int, int]:
        self.require()
        return dict(enumerate((178, 182, 177, 183, 181, 182, 181, 179, 174, 180)))

    def rights(self) -> Rights:
        return Rights(
            licence="CC-BY-4.0",
            owner="E. Alpaydin and C. Kaynak; UCI Machine Learning Repository",
            collected="published in 1998",
            people="handwriting of 43 people, who are not named",
            address="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            note="the 1,797 digits of its test set, as scikit-learn carries them",
        )

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Values 0..16 become round(255 v / 16)."""
        with gzip.open(self._file(), "rt") as stream:
            table = np.loadtxt(stream, delimiter=",", dtype=np.int64)
        images = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8)
        return images.reshape(-1, 1, 8, 8), table[:, -1]

    @staticmethod
    def _file() -> Path | None:
        spec = importlib.util.find_spec("sklearn")  # finding costs nothing, importing sklearn.datasets 1.6 s
        return Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else None
