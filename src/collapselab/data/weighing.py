"""What a data set will come to in memory, asked of its files before they are read."""

import math

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
    content = getattr(dataset, "_content", None)  # of idx files and batches, wherever they lie
    said = content() if content is not None else dataset
    files = said.found() if content is not None else dataset.files() if hasattr(dataset, "path") else []
    for file in files:
        claimed = getattr(dataset, "expansion", 1) * file.stat().st_size
        Budget(f"path: {str(file)!r}").take(claimed, bytes_on_disk(file))
    if any(file.suffix == ".gz" for file in files):
        claimed = said.count() * math.prod(said.shape())
        Budget(f"path: {str(files[0].parent)!r}").take(claimed, sum(map(bytes_on_disk, files)))
