"""Named arrays in one file, memory-mapped when they are read.

Arrays are stored as safetensors (an 8-byte length, a JSON header, raw little-endian arrays), written by the library
and mapped by hand, since its numpy reader copies.
"""

import errno
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import Damaged
from . import identity
from .bytes import METADATA_KEY, check_stamp, stamped, verify, write_hashed

HEADER_BYTES_MAX = 100_000_000  # the limit of safetensors' own reader
SHOWN_LETTERS = 120  # of what a file says, in a message
DTYPES = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "U64": np.uint64,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> str:
    """Write named arrays and JSON-like metadata as one safetensors file; its hash.

    Raises ValueError for a type of array that the format does not have, and OSError where the disk refuses.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.newbyteorder("=") not in DTYPES.values():
            raise ValueError(f"{name}: found the type {str(array.dtype)!r}, stored are {', '.join(DTYPES)}")
    text = stamped(metadata)

    def write(temporary: Path) -> None:
        temporary.touch()
        mode = temporary.stat().st_mode
        try:
            save_file(arrays, temporary, metadata={METADATA_KEY: text})
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))  # the library keeps the system's number in its text
            code = int(number[1]) if number else errno.EIO
            raise OSError(code, os.strerror(code), str(path)) from error
        temporary.chmod(mode)  # the library leaves the file to its owner alone; studies are read by groups

    return write_hashed(path, write, sum(array.nbytes for array in arrays.values()) + len(text))


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The named arrays (memory-mapped, read-only) and the metadata of a file, after verifying its hash."""
    path = Path(path)
    digest = verify(path)
    entries, metadata, start = _head(path)
    identity.check(path, digest, metadata)
    blob = np.empty(0, np.uint8)
    if path.stat().st_size > start:  # nothing cannot be mapped
        blob = np.memmap(path, dtype=np.uint8, mode="r", offset=start)
    return {name: blob[begin:end].view(kind).reshape(shape) for name, kind, shape, begin, end in entries}, metadata


def read_metadata(path: Path) -> dict[str, Any]:
    """What a file says of itself, by its head alone: its hash is not looked at. Raises Damaged for any other file."""
    return _head(Path(path))[1]


def _head(path: Path) -> tuple[list[tuple[str, type, list[int], int, int]], dict[str, Any], int]:
    """Where the arrays of a file lie, what it says of itself, and where they begin."""
    try:
        entries, said, start = _header(path)
        metadata = _json_object(said.get(METADATA_KEY, "{}"))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(path, f"not a file of tensors: {str(error)[:SHOWN_LETTERS]}") from None
    check_stamp(path, metadata.pop("format", None))
    return entries, metadata, start


def _json_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError for anything else, and where a key stands twice: readers differ on which counts.

    Raises RecursionError for what is nested too deeply.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key stands twice in its header")
        return found

    found = json.loads(text, object_pairs_hook=once)
    if not isinstance(found, dict):
        raise ValueError("its header is no JSON object")
    return found


def _header(path: Path) -> tuple[list[tuple[str, type, list[int], int, int]], Mapping[str, Any], int]:
    """Of a safetensors file: (name, type, shape, begin, end) of each array, the metadata, and where the arrays begin.

    Raises ValueError, TypeError, AttributeError or RecursionError unless the arrays lie one after the other and fill
    the file.
    """
    size = path.stat().st_size
    with open(path, "rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if not 2 <= header_bytes <= min(size - 8, HEADER_BYTES_MAX):
            raise ValueError(f"a header of {header_bytes} bytes in {size}")
        header = _json_object(stream.read(header_bytes))
    said, entries = header.pop("__metadata__", {}), []
    for name, entry in header.items():
        (begin, end), shape, dtype = entry.get("data_offsets"), entry.get("shape"), entry.get("dtype")
        whole = [begin, end, *shape]
        if dtype not in DTYPES or not all(type(number) is int and number >= 0 for number in whole) or len(shape) > 32:
            raise ValueError(f"{name[:SHOWN_LETTERS]!r} has the type {dtype!r} and the shape {shape!r}")
        if math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize != end - begin or end > size:
            raise ValueError(f"{name[:SHOWN_LETTERS]!r} is of the shape {shape!r} in {end - begin} bytes")
        entries.append((name, DTYPES[dtype], shape, begin, end))
    reached = 0
    for name, _, _, begin, end in sorted(entries, key=lambda entry: entry[3:]):
        if begin != reached:
            raise ValueError(f"{name[:SHOWN_LETTERS]!r} begins at {begin}, the one before it ends at {reached}")
        reached = end
    if reached != size - 8 - header_bytes:
        raise ValueError(f"arrays of {reached} bytes in {size - 8 - header_bytes}")
    return entries, said, 8 + header_bytes
