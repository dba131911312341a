"""Sample sets, tables, tensors and records on disk: atomic, hashed, verified on every read, memory-mapped.

A file is written to a temporary name, synced and renamed; then its SHA-256 is written beside it the same way, in the
format of ``sha256sum``, so that ``sha256sum -c`` checks it too. A reader that keeps finding other bytes than the hash
promises renames the file to ``<file>.damaged`` and raises :class:`Damaged`: the next run of the workflow remakes it.

Arrays are stored as safetensors (an 8-byte length, a JSON header, raw little-endian arrays), written by the library
and mapped by hand, since its numpy reader copies. Tables are Parquet. Nothing is ever pickled.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .core.errors import Damaged
from .core.sets import KeptTable, Reference, SampleSet, TrainingTable

FORMAT = 1  # raised when a stored layout changes meaning; part of every rule's source hash
HEADER_BYTES_MAX = 100_000_000  # the limit of safetensors' own reader
SHOWN_LETTERS = 120  # of what a file says, in a message
METADATA_KEY = "collapselab"  # one key: safetensors writes several in no fixed order, and bytes must be reproducible
LOOKS, PAUSE = 3, 0.1  # a file and its hash are two renames: so often, so many seconds apart, they must disagree alike
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


# -- bytes ------------------------------------------------------------------------------------------------------------


def hash_path(path: Path) -> Path:
    """The file that holds the hash of ``path``."""
    return Path(f"{path}.sha256")


def content_hash(path: Path) -> str:
    """The SHA-256 of the file's bytes as they are now, in hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def recorded_hash(path: Path) -> str:
    """The SHA-256 that was recorded when the file was written. Raises Damaged where there is none."""
    found = _recorded(path)
    if not found:
        raise _without_hash(path)
    return found


def _without_hash(path: Path) -> Damaged:
    beside = hash_path(path)
    return Damaged(
        path, f"has no hash beside it ({beside}): either it was not written by collapselab, or it is being written"
    )


def _recorded(path: Path) -> str:
    try:
        words = hash_path(path).read_bytes().split()
    except FileNotFoundError:
        return ""
    return words[0].decode("ascii", "replace") if words else ""  # it may be damaged, too


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file, and put it at ``path`` in one step: readers see the old bytes or the new.

    A failed write or sync leaves ``path`` as it was and no temporary file; the sync is never tried again, since a
    second fsync may report success for pages that the first has lost.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: is a folder or a device, and no file that could be replaced")
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # what a system says of a write names no file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sweep(path: Path) -> None:
    """Remove what a writer of this file left behind when it was killed."""
    for leftover in path.parent.iterdir():
        owner = leftover.name.removeprefix(f".{path.name}.").removesuffix(".tmp")
        if leftover.name == f".{path.name}.{owner}.tmp" and owner.isdigit() and not _runs(int(owner)):
            leftover.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)  # no signal, only the question
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's process
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_hashed(path: Path, write: Callable[[Path], None]) -> str:
    """Write a file atomically and its hash after it; the hash."""
    path = Path(path)
    digest = ""

    def write_and_digest(temporary: Path) -> None:
        nonlocal digest
        write(temporary)
        digest = content_hash(temporary)

    write_atomically(path, write_and_digest)
    line = f"{digest}  ".encode() + os.fsencode(path.name) + b"\n"
    write_atomically(hash_path(path), lambda temporary: temporary.write_bytes(line))
    return digest


def verify(path: Path) -> str:
    """The file's hash, after checking it against the recorded one.

    Raises Damaged when the two go on disagreeing, and renames the file to ``.damaged``; a file without a hash, which
    may be somebody's own, is left where it is. What changes between two looks is being written, and is looked at again.
    """
    path = Path(path)
    found, expected = content_hash(path), _recorded(path)
    looks = 1
    while found != expected and looks < LOOKS:
        time.sleep(PAUSE)
        before = found, expected
        try:
            found, expected = content_hash(path), _recorded(path)
        except FileNotFoundError:  # another reader was faster
            break
        looks = looks + 1 if (found, expected) == before else 1
    if found == expected:
        return found
    if not expected:
        raise _without_hash(path)
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, f"{path}.damaged")
    reason = f"damaged: its SHA-256 is {found[:12]}…, {expected[:12]}… was recorded when it was made"
    raise Damaged(path, reason, set_aside=True)


def expect(path: Path, found: bool, kind: str) -> None:
    """Raise ValueError unless a whole file was found to be of the kind that its reader needs."""
    if not found:
        raise ValueError(f"{path}: found no {kind} in it; was another file meant?")


# -- tensors and sample sets ------------------------------------------------------------------------------------------


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
    text = json.dumps({"format": FORMAT, **metadata}, sort_keys=True)

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

    return write_hashed(path, write)


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The named arrays (memory-mapped, read-only) and the metadata of a file, after verifying its hash."""
    path = Path(path)
    verify(path)
    try:
        entries, said, start = _header(path)
        metadata = _json_object(said.get(METADATA_KEY, "{}"))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(path, f"not a file of tensors: {str(error)[:SHOWN_LETTERS]}") from None
    if metadata.pop("format", None) != FORMAT:
        raise Damaged(path, f"not written by this version of the store (format {FORMAT})")
    blob = np.empty(0, np.uint8)
    if path.stat().st_size > start:  # nothing cannot be mapped
        blob = np.memmap(path, dtype=np.uint8, mode="r", offset=start)
    return {name: blob[begin:end].view(kind).reshape(shape) for name, kind, shape, begin, end in entries}, metadata


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


def write_samples(path: Path, samples: SampleSet) -> str:
    """Write a sample set as one safetensors file; its hash."""
    tensors = {"data": samples.data, **{f"aux.{name}": column for name, column in samples.aux.items()}}
    if samples.labels is not None:
        tensors["labels"] = samples.labels
    return write_tensors(path, tensors, {"lineage": dict(samples.lineage)})


def read_samples(path: Path) -> SampleSet:
    """A verified, memory-mapped sample set."""
    tensors, metadata = read_tensors(path)
    expect(path, "data" in tensors, "samples")
    if not isinstance(metadata.get("lineage"), dict) or not all(array.ndim for array in tensors.values()):
        raise Damaged(path, "holds samples without a lineage, or numbers without an axis")
    aux = {name.removeprefix("aux."): column for name, column in tensors.items() if name.startswith("aux.")}
    return SampleSet(tensors["data"], tensors.get("labels"), aux, metadata["lineage"])


# -- tables -----------------------------------------------------------------------------------------------------------


def _write_parquet(path: Path, columns: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    import pyarrow
    import pyarrow.parquet

    text = json.dumps({"format": FORMAT, **metadata}, sort_keys=True)
    table = pyarrow.table(dict(columns)).replace_schema_metadata({METADATA_KEY: text})

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as stream:
            pyarrow.parquet.write_table(table, stream)

    return write_hashed(path, write)


def _read_parquet(path: Path) -> tuple[Any, dict[str, Any]]:
    import pyarrow.parquet

    verify(path)
    with open(path, "rb") as stream:  # given a path, pyarrow would read columns from folders that are called a=b
        try:
            table = pyarrow.parquet.ParquetFile(stream).read()
        except pyarrow.ArrowInvalid:
            raise ValueError(f"{path}: found no table in it; was another file meant?") from None
    metadata = json.loads((table.schema.metadata or {}).get(METADATA_KEY.encode(), b"{}"))
    if metadata.pop("format", None) != FORMAT:
        raise Damaged(path, f"not written by this version of the store (format {FORMAT})")
    return table, metadata


def write_training(path: Path, training: TrainingTable) -> str:
    """Write a training set: one row per reference, with its source's hash, row, origin, generation, label, weight."""
    import pyarrow

    parts = training.references
    lengths = [len(part.rows) for part in parts]

    def words(values: Iterable[str]) -> Any:
        repeated = np.repeat(np.array(list(values), dtype=object), lengths)
        return pyarrow.array(repeated, pyarrow.string()).dictionary_encode()

    def numbers(values: Iterable[float], dtype: type) -> np.ndarray:
        return np.repeat(np.array(list(values), dtype=dtype), lengths)

    labels = [np.full(len(part.rows), -1) if part.labels is None else part.labels for part in parts]
    columns = {
        "source": words(part.source for part in parts),
        "row": np.concatenate([np.asarray(part.rows, np.int64) for part in parts] or [np.empty(0, np.int64)]),
        "origin": words(part.origin for part in parts),
        "arm": words(part.arm for part in parts),
        "generation": numbers((part.generation for part in parts), np.int32),
        "label": np.concatenate([np.asarray(label, np.int64) for label in labels] or [np.empty(0, np.int64)]),
        "weight": numbers((part.weight for part in parts), np.float64),
    }
    references = [
        part._asdict() | {"rows": length, "labels": part.labels is not None}
        for part, length in zip(parts, lengths, strict=True)
    ]
    return _write_parquet(path, columns, {"references": references, "lineage": dict(training.lineage)})


def read_training(path: Path) -> TrainingTable:
    """A verified training set."""
    table, metadata = _read_parquet(path)
    expect(path, "references" in metadata, "training set")
    rows, labels = table["row"].to_numpy(), table["label"].to_numpy()
    references, begin = [], 0
    for entry in metadata["references"]:
        end = begin + entry["rows"]
        part_labels = labels[begin:end] if entry["labels"] else None
        references.append(Reference(**(entry | {"rows": rows[begin:end], "labels": part_labels})))
        begin = end
    return TrainingTable(tuple(references), metadata["lineage"])


def _place(training: TrainingTable) -> str:
    """Which training set this is, as far as its lineage says."""
    facts = {"generation": training.lineage.get("recipe", {}).get("generation"), "seed": training.lineage.get("seed")}
    known = " and ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    return f" of {known}" if known else ""


def referred(training: TrainingTable) -> dict[str, SampleSet]:
    """The sample sets that a training set refers to, by their paths.

    Raises Damaged when a source's bytes are not those that the table names (a stale generation or a wrong seed in the
    right place is found here) or when it has no such rows.
    """
    sources: dict[str, SampleSet] = {}
    for reference in training.references:
        path = Path(reference.path)
        if reference.path not in sources:
            sources[reference.path] = read_samples(path)
        found, available = recorded_hash(path), len(sources[reference.path])
        if found != reference.source:
            stale = f"the training set{_place(training)} was composed from {reference.source[:12]}…; compose it again"
            raise Damaged(path, f"holds {found[:12]}…, but {stale}")
        if len(reference.rows) and not (reference.rows.min() >= 0 and reference.rows.max() < available):
            found_rows = f"{reference.rows.min()} to {reference.rows.max()}"
            raise Damaged(path, f"holds {available} rows, but the training set was composed from rows {found_rows}")
    return sources


def write_kept(path: Path, kept: KeptTable) -> str:
    """Write a kept table."""
    import pyarrow

    columns = {
        "row": np.asarray(kept.rows, np.int64),
        "score": np.asarray(kept.scores, np.float64),
        "reason": pyarrow.array(kept.reasons, pyarrow.string()),
        "judge": pyarrow.array([kept.judge] * len(kept.rows), pyarrow.string()),
    }
    return _write_parquet(path, columns, {"judge": kept.judge, "lineage": dict(kept.lineage)})


def read_kept(path: Path) -> KeptTable:
    """A verified kept table."""
    table, metadata = _read_parquet(path)
    expect(path, "judge" in metadata, "kept table")
    rows, scores, reasons = table["row"].to_numpy(), table["score"].to_numpy(), tuple(table["reason"].to_pylist())
    return KeptTable(rows, scores, reasons, metadata["judge"], metadata["lineage"])


def write_table(path: Path, columns: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> str:
    """Write columns (n,) by name, in their order, and JSON-like metadata as one table; its hash.

    Raises ValueError for columns of different lengths.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns: found lengths {lengths}, allowed are equal ones")
    return _write_parquet(path, columns, {"columns": list(columns), **metadata})


def read_table(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The columns (n,) and the metadata of a verified table that ``write_table`` wrote."""
    table, metadata = _read_parquet(path)
    expect(path, "columns" in metadata, "table of numbers")
    return {name: table[name].to_numpy() for name in metadata.pop("columns")}, metadata


# -- records ----------------------------------------------------------------------------------------------------------


def write_json(path: Path, content: Any) -> str:
    """Write a JSON record with sorted keys; its hash. NaN is written as null: JSON has no NaN, and readers differ."""
    text = json.dumps(_finite(content), indent=1, sort_keys=True, allow_nan=False) + "\n"
    return write_hashed(path, lambda temporary: temporary.write_text(text))


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, np.generic):
        content = content.item()
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    return content


def read_json(path: Path) -> Any:
    """A verified JSON record."""
    verify(path)
    return json.loads(Path(path).read_text())
