"""The idx files of MNIST, and of the data sets that took over its format, plain or gzipped.

An idx file is big-endian: two zero bytes, the type (8: unsigned byte), the number of axes, their lengths, the data.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from .base import Subset, missing

IDX_BYTES = 2**32  # the largest idx file, some 100 times MNIST


@dataclass(frozen=True)
class IdxFiles:
    """The pairs of files, of images and labels, that are published as one data set, in a folder."""

    folder: Path
    subset: Subset

    def faults(self) -> list[str]:
        """What is missing, in the words of a data set with the field ``path``."""
        stems = [stem for pair in self._stems() for stem in pair]
        return missing("path", self.folder, (f"{stem}[.gz]" for stem in stems if self._file(stem) is None))

    def found(self) -> list[Path]:
        """The files that are there, in order."""
        files = (self._file(stem) for pair in self._stems() for stem in pair)
        return sorted(file for file in files if file is not None)

    def count(self) -> int:
        """How many images the files announce."""
        total = 0
        for images, _ in self._stems():
            with _idx(self._file(images), axes=3) as (shape, _stream):
                total += shape[0]
        return total

    def shape(self) -> tuple[int, int, int]:
        """The shape (1, H, W) of an image, as the first file announces it."""
        images, _ = self._stems()[0]
        with _idx(self._file(images), axes=3) as (shape, _stream):
            return 1, *shape[1:]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, 1, H, W) uint8 and labels (N,) uint8. Raises ValueError for files that are not what they say."""
        images, labels = [], []
        for image_stem, label_stem in self._stems():
            images.append(_read_idx(self._file(image_stem), axes=3))
            labels.append(_read_idx(self._file(label_stem), axes=1))
            if len(images[-1]) != len(labels[-1]):
                found = f"{len(images[-1])} images, but {len(labels[-1])} labels"
                raise ValueError(f"path: {str(self.folder)!r} has {found}")
        return np.concatenate(images)[:, None], np.concatenate(labels)

    def _stems(self) -> list[tuple[str, str]]:
        prefixes = {"train": ["train"], "test": ["t10k"], "all": ["train", "t10k"]}[self.subset]
        return [(f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte") for prefix in prefixes]

    def _file(self, stem: str) -> Path | None:
        names = (stem, f"{stem}.gz", stem.replace("-idx", ".idx"), stem.replace("-idx", ".idx") + ".gz")
        return next((self.folder / name for name in names if (self.folder / name).is_file()), None)


def labels_of(files: IdxFiles) -> np.ndarray:
    """The labels (N,) uint8 alone, which are few bytes. Raises ValueError as ``read`` does."""
    return np.concatenate([_read_idx(files._file(labels), axes=1) for _, labels in files._stems()])


@contextmanager
def _idx(path: Path, axes: int) -> Iterator[tuple[tuple[int, ...], IO[bytes]]]:
    """The shape that an idx file announces, and the stream from which its bytes are read next."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            header = stream.read(4 + 4 * axes)
            if len(header) < 4 + 4 * axes or header[:4] != bytes((0, 0, 8, axes)):
                allowed = f"00 00 08 {axes:02x}"
                raise ValueError(f"path: {str(path)!r} begins with {header[:4].hex(' ')!r}, allowed is {allowed!r}")
            yield tuple(np.frombuffer(header, ">u4", offset=4).tolist()), stream
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"path: {str(path)!r} is damaged: {error}") from None


def _read_idx(path: Path, axes: int) -> np.ndarray:
    with _idx(path, axes) as (shape, stream):
        size = math.prod(shape)
        if size > IDX_BYTES:  # asked before reading: that many bytes are set aside at once
            raise ValueError(f"path: {str(path)!r} announces {size} bytes of data, allowed are {IDX_BYTES}")
        content = stream.read(size + 1)
    if len(content) != size:
        found = f"{len(content)}" if len(content) < size else "more"
        raise ValueError(f"path: {str(path)!r} announces {size} bytes of data, but has {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)
