"""The data sets that torchvision downloads, read without it."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ..machine.compat import import_torchvision
from .base import Dataset, Subset, fingerprint, tally
from .batches import BatchFiles, most_rows
from .idx import IdxFiles, labels_of
from .rights import CIFAR10, FASHION_MNIST, MNIST, Rights


class Torchvision(Dataset):
    """MNIST, FashionMNIST or CIFAR10 in the folders where torchvision keeps them.

    The files are read as those of ``mnist_idx`` and ``cifar10_batches``; torchvision, and with it torch, is imported
    only to download them, and checks them by its own lists of hashes then.
    """

    citation: ClassVar[str] = "As mnist_idx and cifar10_batches; FashionMNIST: Xiao, Rasul and Vollgraf (2017), MIT."

    source: ClassVar[str] = "torchvision"
    name: Literal["MNIST", "FashionMNIST", "CIFAR10"] = Field(description="which of torchvision's data sets")
    root: Path = Field(Path("data"), description="torchvision's root folder")
    subset: Subset = Field("train", description="the published part: to train, to test, or both")
    download: bool = Field(False, description="whether files that are missing may be downloaded")

    def check(self) -> list[str]:
        if self.download or not (faults := self._content().faults()):
            return []
        where = faults[0].removeprefix("path: ")
        return [f"root: {self.name} is not there: {where}; put the files there, or set download: true"]

    def count(self) -> int:
        """Of the files, or the published number while they are not yet downloaded."""
        self.require()
        if not self._content().faults():
            return self._content().count()
        train = 50_000 if self.name == "CIFAR10" else 60_000
        return {"train": train, "test": 10_000, "all": train + 10_000}[self.subset]

    def at_most(self) -> int:
        """By the lengths of CIFAR10's files."""
        self.require()
        content = self._content()
        return most_rows(content.found()) if self.name == "CIFAR10" and not content.faults() else self.count()

    def label_counts(self) -> dict[int, int] | None:
        content = self._content()
        return None if self.name == "CIFAR10" or content.faults() else tally(labels_of(content))

    def stored_shape(self) -> tuple[int, int, int]:
        return (3, 32, 32) if self.name == "CIFAR10" else (1, 28, 28)

    def labelled(self) -> int:
        self.require()
        return 10

    def rights(self) -> Rights:
        return {"MNIST": MNIST, "FashionMNIST": FASHION_MNIST, "CIFAR10": CIFAR10}[self.name]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        if self._content().faults():
            self._download()
        return self._content().read()

    def fingerprint(self) -> str:
        """That of its own files; of those that may be downloaded the published name, before and after."""
        if self.download:
            return f"{self.name} as published"
        content = self._content()
        return fingerprint(content.folder, content.found)

    def _content(self) -> IdxFiles | BatchFiles:
        if self.name == "CIFAR10":
            return BatchFiles(self.root / "cifar-10-batches-py", self.subset)
        return IdxFiles(self.root / self.name / "raw", self.subset)

    def _download(self) -> None:
        try:
            getattr(import_torchvision().datasets, self.name)(self.root, download=True)
        except (OSError, RuntimeError) as error:
            raise OSError(f"download: {self.name} cannot be brought to {str(self.root)!r}: {error}") from error
