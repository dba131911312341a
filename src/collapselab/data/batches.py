"""The batches of CIFAR-10, as its authors publish them: in Python, which is pickled, or in binary.

A pickle is a program that its reader runs. These are read without the numpy that they ask for and without calling
anything, by :mod:`collapselab.store.pickles.machine`: every name that numpy's arrays are made of stands for one inert
class, which keeps what it is given, and the array is then put together here from its bytes. A pickle that asks for any
other name is refused before anything is made of it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..store.pickles import machine
from ..store.pickles.machine import MOST_BYTES, STEPS, Language, Machine, Named, Refused, Step, Unfinished, shown, table
from .base import Subset, missing

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class BatchFiles:
    """The files data_batch_1 to data_batch_5 and test_batch, ``.bin`` or not, in a folder."""

    folder: Path
    subset: Subset

    def faults(self) -> list[str]:
        """What is missing, in the words of a data set with the field ``path``."""
        absent = (f"{stem}[.bin]" for stem in self._stems() if self._file(stem) is None)
        return missing("path", self.folder, absent)

    def found(self) -> list[Path]:
        """The files that are there, in order."""
        return sorted(file for file in map(self._file, self._stems()) if file is not None)

    def count(self) -> int:
        """Read from the files: their lengths are not in their names."""
        return sum(len(read_batch(self._file(stem))[1]) for stem in self._stems())

    def shape(self) -> tuple[int, int, int]:
        """The shape (3, 32, 32) of an image."""
        return 3, 32, 32

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, 3, 32, 32) uint8 and labels (N,) int64. Raises ValueError as :func:`read_batch` does."""
        images, labels = zip(*(read_batch(self._file(stem)) for stem in self._stems()), strict=True)
        return np.concatenate(images), np.concatenate(labels)

    def _stems(self) -> list[str]:
        train = [f"data_batch_{number}" for number in range(1, 6)]
        return {"train": train, "test": ["test_batch"], "all": [*train, "test_batch"]}[self.subset]

    def _file(self, stem: str) -> Path | None:
        return next((file for file in (self.folder / stem, self.folder / f"{stem}.bin") if file.is_file()), None)


def most_rows(files: Iterable[Path]) -> int:
    """How many images there are at most in batches that nobody has read: a pickle has two bytes for each label."""
    return sum(file.stat().st_size // (PIXELS + (1 if file.suffix == ".bin" else 2)) for file in files)


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) uint8 and labels (N,) int64 of one CIFAR-10 batch.

    A ``.bin`` file is rows of one label byte and 3,072 pixel bytes. Any other file is a pickle of a dictionary with
    ``data`` and ``labels``, written by any version of Python or numpy.

    Raises ValueError for files of another form.
    """
    images, labels = _rows_of_bytes(path) if path.suffix == ".bin" else _pickled(path)
    if images.shape != (len(labels), PIXELS) or not all(type(label) is int and 0 <= label < 10 for label in labels):
        raise ValueError(f"path: {str(path)!r} is not a batch of CIFAR-10: images {images.shape}, {len(labels)} labels")
    return images.reshape(-1, 3, 32, 32), np.array(labels, np.int64)


def _rows_of_bytes(path: Path) -> tuple[np.ndarray, list[int]]:
    content = np.fromfile(path, np.uint8)
    if len(content) % (PIXELS + 1):
        raise ValueError(f"path: {str(path)!r} has {len(content)} bytes, allowed are rows of {PIXELS + 1}")
    rows = content.reshape(-1, PIXELS + 1)
    return rows[:, 1:], rows[:, 0].tolist()


def _pickled(path: Path) -> tuple[np.ndarray, list[Any]]:
    try:
        match machine.read(path, BATCHES).value:
            case {"data": _Kept() as data, "labels": [*labels]}:
                return _array(data), labels
        raise Refused("has no array of data and list of labels")
    except Refused as refused:
        raise ValueError(f"path: {str(path)!r} is not a batch of CIFAR-10: it {refused}") from None
    except (MemoryError, RecursionError) as error:
        fault = f"it is too much to hold ({type(error).__name__})"
        raise ValueError(f"path: {str(path)!r} is not a batch of CIFAR-10: {fault}") from None


class _Kept(Unfinished):
    """Stands for whatever a pickle wants to call: keeps the arguments and the state, and does nothing."""

    def __init__(self, *arguments: Any):
        self.arguments, self.state = arguments, None

    def set_state(self, state: Any) -> None:
        self.state = state


def _array(value: _Kept) -> np.ndarray:
    """The uint8 array that a stand-in describes. Raises Refused for anything unexpected."""
    match value:
        case _Kept(state=(_, shape, kind, bool(fortran), content)):  # _reconstruct(ndarray, (0,), b"b"), then the state
            order = "F" if fortran else "C"
        case _Kept(state=None, arguments=(content, kind, shape, ("C" | "F") as order)):  # _frombuffer
            pass
        case _:
            raise Refused("has data of another form than arrays")
    match kind:
        case _Kept(arguments=("u1", *_)):
            pass
        case _:
            raise Refused("has data of another type than 'u1', which is allowed")
    match content:
        case _Kept(arguments=(str(text), "latin1")) | str(text):  # _codecs.encode(text, "latin1"); Python 2
            content = _bytes(text)
        case bytes() | bytearray():
            pass
        case _:
            raise Refused("has data without bytes")
    sizes = type(shape) is tuple and all(type(side) is int and 0 <= side <= MOST_BYTES for side in shape)
    if not sizes or math.prod(shape) != len(content):
        raise Refused(f"has data of the shape {shown(shape)} in {len(content)} bytes")
    return np.frombuffer(content, np.uint8).reshape(shape, order=order)


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise Refused("has data of letters that are no bytes") from None


def _dict(reader: Machine) -> None:
    items = reader.to_mark()
    reader.push({})
    reader.put_items(items)


NAMES = table(
    Named("numpy ndarray", _Kept),
    Named("numpy dtype", _Kept),
    *(Named(f"numpy.{core}.multiarray _reconstruct", _Kept) for core in ("core", "_core")),  # core: before numpy 2
    *(Named(f"numpy.{core}.numeric _frombuffer", _Kept) for core in ("core", "_core")),  # pickle protocol 5
    Named("_codecs encode", _Kept),  # bytes, in protocols 0 to 2 written by Python 3
)

OLD_AND_NEW: dict[str, Step] = {  # what plain data and arrays need beside STEPS in protocols 0 and 1, Python 2, and 5
    "INT": Machine.push,
    "LONG": Machine.push,
    "FLOAT": Machine.push,
    "STRING": Machine.put_string,  # of Python 2: bytes, which are one letter each here
    "BINSTRING": Machine.put_string,
    "SHORT_BINSTRING": Machine.put_string,
    "UNICODE": Machine.put_string,
    "LIST": lambda reader, _: reader.push(reader.to_mark()),
    "DICT": lambda reader, _: _dict(reader),
    "PUT": Machine.remember,
    "GET": Machine.recall,
    "BYTEARRAY8": Machine.push,
}

# In protocols 0 to 2 all pixels are one string.
BATCHES = Language("batches", NAMES, STEPS | OLD_AND_NEW, most_letters=MOST_BYTES)
