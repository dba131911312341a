"""Arrays of anybody: those that numpy writes, alone (.npy) or several in a file (.npz)."""

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ..core.errors import Foreign
from ..store.outside import Budget, bytes_on_disk, check_regular

SUFFIXES = (".npy", ".npz")
FIRST = "arr_0"  # what numpy calls the first of those that nobody has named
TOLD_ARRAYS = 12


class Outline(NamedTuple):
    """An array before it is read."""

    dtype: np.dtype
    shape: tuple[int, ...]


def located(path: Path) -> tuple[Path, str | None]:
    """A file and the array in it that is meant: ``real.npz:images``; None for whichever it is."""
    file, colon, name = str(path).rpartition(":")
    if not path.exists() and colon and Path(file).suffix.lower() == ".npz" and Path(file).exists():
        return Path(file), name
    return path, None


def read(path: Path) -> tuple[np.ndarray, str | None]:
    """The array of a file, and its name where the file holds several.

    Of several it is the one that the path names (``real.npz:images``), or ``arr_0``, as samples are published. Raises
    Foreign for other content, and for several of which none is named or known; ValueError for what is no regular file,
    or would come to more memory than the file accounts for.
    """
    file, wanted = located(path)
    check_regular(file)
    if not zipfile.is_zipfile(file):
        with _foreign(file), open(file, "rb") as stream:
            found = _outline(stream, file.stat().st_size)
            Budget(file).take(_held(found), bytes_on_disk(file))
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False), None
    with _foreign(file), zipfile.ZipFile(file) as archive:
        members = {one.filename.removesuffix(".npy"): one for one in archive.infolist() if not one.is_dir()}
        outlines = {name: _member_outline(archive, member) for name, member in members.items()}
        name = _chosen(file, outlines, wanted)
        with archive.open(members[name]) as stream:
            found = _outline(stream, members[name].file_size)
        Budget(file).take(_held(found), members[name].compress_size)
        with archive.open(members[name]) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False), name if len(members) > 1 else None


@contextmanager
def _foreign(path: Path) -> Iterator[None]:
    """Within it whatever is wrong is said of the file, as Foreign."""
    try:
        yield
    except (OSError, Foreign):
        raise
    except ValueError as error:
        said = str(error)
        raise (Foreign(path, said) if said.startswith(str(path)) else _not_read(path, error)) from None
    except (Exception, MemoryError) as error:  # what the readers of headers and zips raise of what numpy never wrote
        raise _not_read(path, error) from None


def _not_read(path: Path, error: BaseException) -> Foreign:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return Foreign(path, f"{path}: cannot be read as an array of numbers: {said}")


def _outline(stream: IO[bytes], size: int) -> Outline:
    """What an array's header says; it is compared with the bytes that there are before memory is taken."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject or any(length < 0 for length in shape):
        raise ValueError(f"found {dtype} of shape {shape}; objects are not read")
    found = Outline(dtype, shape)
    if _bytes(found) > size - stream.tell():
        raise ValueError(f"found {dtype} of shape {shape} in {size} bytes")
    return found


def _bytes(found: Outline) -> int:
    return math.prod(found.shape) * found.dtype.itemsize


def _held(found: Outline) -> int:
    """The bytes of an array once it is in the type of samples: whole numbers take eight, halves four."""
    widened = {"i": 8, "u": 8}.get(found.dtype.kind, 0) if len(found.shape) == 1 else 4 * (found.dtype.kind == "f")
    return math.prod(found.shape) * max(found.dtype.itemsize, widened)


def _member_outline(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Outline | None:
    """What the header of an array in an archive says; None for what is no array."""
    try:
        with archive.open(member) as stream:
            return _outline(stream, member.file_size)
    except (ValueError, EOFError, zipfile.BadZipFile):
        return None


def _chosen(path: Path, outlines: Mapping[str, Outline | None], wanted: str | None) -> str:
    """The array that is meant."""
    if wanted in outlines:
        return wanted
    if wanted is None and len(outlines) == 1:
        return next(iter(outlines))
    if wanted is None and FIRST in outlines and not _tells_of_others(outlines):
        return FIRST
    told = [f"{name} ({_shown(found)})" for name, found in list(outlines.items())[:TOLD_ARRAYS]]
    told += ["..."] if len(outlines) > TOLD_ARRAYS else []
    found = "no array" if not outlines else f"{len(outlines)} arrays" if wanted is None else f"no array {wanted!r}"
    remedy = f"; say which one holds the samples: {path}:NAME" if outlines else ""
    raise Foreign(path, f"{path}: found {found}{remedy}{'; there are ' + ', '.join(told) if told else ''}")


def _tells_of_others(outlines: Mapping[str, Outline | None]) -> bool:
    """Whether the first array is about the others: labels of as many samples, or a covariance beside its mean."""
    first = outlines[FIRST]
    if first is None:
        return True
    others = [found for name, found in outlines.items() if name != FIRST and found]
    if first.dtype.kind in "iu" and len(first.shape) == 1:
        return any(len(one.shape) > 1 and one.shape[0] == first.shape[0] for one in others)
    square = len(first.shape) == 2 and first.shape[0] == first.shape[1]
    return square and any(one.shape == first.shape[:1] and one.dtype.kind == "f" for one in others)


def _shown(found: Outline | None) -> str:
    return "no array" if found is None else f"{found.dtype} of shape {found.shape}"


def as_samples(array: np.ndarray, path: Path) -> np.ndarray:
    """An array in the shape and type of a sample set's data. Raises ValueError for one that has another."""
    if not array.size:
        raise ValueError(f"{path}: found no numbers, in an array of shape {array.shape}; needed is at least 1")
    if array.dtype == np.uint8 and array.ndim == 3:
        return array[:, None]
    if array.dtype == np.uint8 and array.ndim == 4:
        if array.shape[1] in (1, 3):
            return array
        if array.shape[3] in (1, 3):
            return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    if array.dtype.kind == "f" and array.ndim == 2:
        return array.astype(np.float32 if array.dtype.itemsize < 8 else np.float64)
    if array.dtype.kind in "iu" and array.ndim == 1:
        return array.astype(np.int64)
    raise ValueError(
        f"{path}: found {array.dtype} of shape {array.shape}; allowed are uint8 images (N, H, W), (N, H, W, C) or "
        "(N, C, H, W) with one or three channels, float vectors (N, d), and whole numbers (N,)"
    )
