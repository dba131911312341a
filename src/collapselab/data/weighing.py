"""What a data set will come to in memory, asked of its files before they are read."""

import math
from pathlib import Path

from ..store.outside import Budget, bytes_on_disk
from .base import Dataset
from .pictures import Pictures


def check_memory(dataset: Dataset) -> None:
    """Nothing. Raises ValueError where a data set would come to more memory than its files account for.

    Pictures are weighed while they are read, one by one. Of other files the lengths are asked, and of compressed ones
    how many images they announce.
    """
    if isinstance(dataset, Pictures) or dataset.check():
        return
    files = _files(dataset)
    for file in files:
        Budget(f"path: {str(file)!r}").take(file.stat().st_size, bytes_on_disk(file))
    if any(file.suffix == ".gz" for file in files):
        claimed = dataset.count() * math.prod(dataset.stored_shape())
        Budget(f"path: {str(files[0].parent)!r}").take(claimed, sum(map(bytes_on_disk, files)))


def _files(dataset: Dataset) -> list[Path]:
    """The files that a data set consists of; none of one in a package, or of one that is yet to be downloaded."""
    if getattr(dataset, "path", None) is not None:
        return dataset.files()
    content = getattr(dataset, "_content", None)  # torchvision's, in a folder below its root
    return [] if content is None else content().found()
