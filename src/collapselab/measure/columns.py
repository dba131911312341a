"""Samples as a column of a Parquet file: pictures as ``datasets`` and ``collapselab export`` do, or numbers."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.errors import Foreign
from ..core.progress import counted
from ..data.headers import header, kind_of
from ..data.pictures import FILE_BYTES, decode, said_of
from ..store.outside import Budget, bytes_on_disk

if TYPE_CHECKING:
    import pyarrow

SUFFIX = ".parquet"
NAMES = ("image", "vector", "category")
BATCH_ROWS = 256


class Column(NamedTuple):
    """Samples and how pictures were stored, by the names of ``data.headers.kind_of``; none of numbers."""

    data: np.ndarray
    kinds: Counter[str]


def read(path: Path, channels: int | None) -> Column:
    """The samples of a file: its column ``image`` (PNG or JPEG files of one size), ``vector`` (lists), or ``category``.

    channels: 1 or 3; None: 1 where all pictures are grey. Raises Foreign for another file, ValueError for other columns
    and for pictures that cannot be read, or would come to more memory than the file accounts for.
    """
    import pyarrow
    import pyarrow.parquet

    with open(path, "rb") as stream:  # given a path, pyarrow would read columns from folders that are called a=b
        try:
            file = pyarrow.parquet.ParquetFile(stream)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise Foreign(path, f"{path}: cannot be read as a Parquet file: {error}") from None
        there = [name for name in NAMES if name in file.schema_arrow.names]
        if len(there) != 1:
            found = f"found the columns {', '.join(file.schema_arrow.names) or 'of none'}"
            raise ValueError(f"{path}: {found}; allowed is one of {', '.join(NAMES)}")
        budget, kind = Budget(path), file.schema_arrow.field(there[0]).type
        groups = (file.metadata.row_group(place) for place in range(file.metadata.num_row_groups))
        budget.take(sum(group.total_byte_size for group in groups), bytes_on_disk(path))
        batches = (batch.column(0) for batch in file.iter_batches(BATCH_ROWS, columns=there))
        if there[0] == "image":
            return _pictures(path, batches, file.metadata.num_rows, channels, budget)
        return Column(_numbers(path, kind, list(batches)), Counter())


def _pictures(path: Path, batches: Iterator[Any], count: int, channels: int | None, budget: Budget) -> Column:
    files = [content for batch in batches for content in _contents(path, batch)]
    kinds = Counter(kind_of(content) or "neither" for content in files)
    heads = [header(content) for content in files]
    if channels is None:
        channels = 1 if all(one is not None and one.channels == 1 for one in heads) else 3
    claimed = sum(channels * one.width * one.height for one in heads if one is not None)
    budget.take(claimed, bytes_on_disk(path))
    images, faults = [], []
    for row, content in enumerate(counted(files, "pictures read", count)):
        try:
            images.append(decode(content, f"row {row}", channels))
            if images[-1].shape != images[0].shape:
                sides = " and ".join(" x ".join(map(str, one.shape[1:])) for one in (images[0], images[-1]))
                raise ValueError(f"row {row}: found pictures of {sides} pixels, allowed is one size")
        except ValueError as error:
            faults.append(error)
    if faults:
        raise ValueError(f"{path}: {said_of(faults, len(files))}")
    if not images:
        raise ValueError(f"{path}: found no samples, needed is at least 1")
    return Column(np.stack(images), kinds)


def _contents(path: Path, batch: "pyarrow.Array") -> Iterator[bytes]:
    """The bytes of the pictures: those of a column of bytes, or of the field ``bytes`` of one of structures."""
    import pyarrow

    if pyarrow.types.is_struct(batch.type) and batch.type.get_field_index("bytes") >= 0:
        batch = batch.field("bytes")
    if not (pyarrow.types.is_binary(batch.type) or pyarrow.types.is_large_binary(batch.type)):
        raise ValueError(f"{path}: found images of the type {batch.type}, allowed are the bytes of PNG and JPEG files")
    for one in batch:
        content = one.as_py()
        if content is None or len(content) > FILE_BYTES:
            raise ValueError(f"{path}: found a picture without bytes, or of more than {FILE_BYTES}; allowed are files")
        yield content


def _numbers(path: Path, kind: "pyarrow.DataType", batches: list[Any]) -> np.ndarray:
    """Rows of numbers from lists of one length, or single ones."""
    import pyarrow

    column = pyarrow.chunked_array(batches, type=kind).combine_chunks()
    if column.null_count:
        raise ValueError(f"{path}: found {column.null_count} rows without a value, allowed are none")
    if not pyarrow.types.is_list(kind) and not pyarrow.types.is_fixed_size_list(kind):
        return column.to_numpy(zero_copy_only=False)
    width, numbers = _width(column), column.flatten()
    if width is None or numbers.null_count:
        raise ValueError(f"{path}: found lists of several lengths, or with gaps; allowed are vectors of one length")
    return numbers.to_numpy(zero_copy_only=False).reshape(len(column), width)


def _width(column: "pyarrow.Array") -> int | None:
    """How long the lists of a column are; None where they are not alike, or there are none."""
    import pyarrow.compute

    lengths = pyarrow.compute.unique(pyarrow.compute.list_value_length(column)).to_pylist()
    return lengths[0] if len(lengths) == 1 else None
