"""The formats in which samples are handed on, each written in one step: the literal ``FORMATS``.

Pictures are PNG files in all of them, which say where they come from; vectors and categories are columns of numbers.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import store
from ..core import spreadsheet
from ..core.kinds import KindName
from ..core.sets import SampleSet
from .export import encoder, export_folder, export_names, export_zip, put_file, put_pictures
from .provenance import Origin
from .signing import Signer

if TYPE_CHECKING:
    import pyarrow

BATCH_ROWS = 1_000  # that are in memory at a time, and that make a group of rows in Parquet
CLASSES_MAX = 10_000  # up to so many labels are told as classes, each with its name
METADATA, PICTURES = "metadata.jsonl", "images"
HUGGINGFACE = b"huggingface"  # the key of a Parquet file's schema under which ``datasets`` looks for its features
IMAGES_ALONE: tuple[KindName, ...] = ("images",)
NUMBERS: tuple[KindName, ...] = ("vectors", "categories")
ALL: tuple[KindName, ...] = (*IMAGES_ALONE, *NUMBERS)


class Given(NamedTuple):
    """What is handed on: samples, where they come from, and who signs the pictures; None where nobody does."""

    samples: SampleSet
    origin: Origin
    signer: Signer | None = None


@dataclass(frozen=True)
class Format:
    """A format of the field.

    about: what reads it. suffix: of its file; empty for a folder. takes: the kinds of data that it holds. write:
    ``f(given, path)`` writes it in one step, a file with its hash beside it; a folder of pictures has a manifest.
    """

    about: str
    suffix: str
    takes: tuple[KindName, ...]
    write: Callable[[Given, Path], None]


def check(name: str, given: Given, path: Path) -> Iterator[str]:
    """What keeps samples from being written in a format at a path, in words; nothing if nothing does."""
    form, kind, labels = FORMATS[name], given.samples.kind, given.samples.labels
    if kind not in form.takes:
        fitting = [one for one, other in FORMATS.items() if kind in other.takes]
        said = f"allowed with {kind} are {', '.join(fitting)}" if fitting else "a lineage that diverged has no samples"
        yield f"format: {name!r} holds {' and '.join(form.takes)}, and these are {kind or 'of no kind'}; {said}"
    elif kind == "images" and name != "safetensors" and (channels := given.samples.data.shape[1]) not in (1, 3):
        yield f"format: {name!r} holds PNG files of 1 or 3 channels, and these have {channels}; allowed is safetensors"
    elif name == "folder" and labels is not None and len(labels) and labels.min() < 0:
        yield f"format: 'folder' has a folder for each label from 0, and found is {labels.min()}; allowed: imagefolder"
    if given.signer is not None and (kind != "images" or name == "safetensors"):
        yield f"--chain, --key: signed are PNG files, and {name!r} of {kind} has none"
    if path.exists():
        yield f"--out: {path} is there already; nothing is written over, choose another name"


# -- pictures ----------------------------------------------------------------------------------------------------------


def write_folder(given: Given, path: Path) -> None:
    """A folder of PNG files, one sub-folder a label."""
    export_folder(given.samples, path, given.origin, given.signer)


def write_zip(given: Given, path: Path) -> None:
    """The data set zip of StyleGAN and EDM (Karras et al. 2020, 2022)."""
    export_zip(given.samples, path, given.origin, given.signer)


def write_imagefolder(given: Given, path: Path) -> None:
    """A folder of PNG files and ``metadata.jsonl``, a line a picture in the order of the samples: its file, its label,
    where it comes from, and what the sampler told of it.
    """
    samples, made = given.samples, encoder(given.origin, given.signer)
    names = [f"{PICTURES}/{name}" for name in export_names(samples)]
    told, columns = given.origin.plain, beside(samples)

    def write(temporary: Path) -> None:
        put_pictures(samples, names, made, given.origin, lambda name, content: put_file(temporary / name, content))
        with open(temporary / METADATA, "w", encoding="utf-8") as stream:
            for row, name in enumerate(names):
                own = {column: _json(values[row]) for column, values in columns.items()}
                stream.write(json.dumps({"file_name": name, "index": row} | told | own, allow_nan=False) + "\n")

    store.write_folder_atomically(path, write)


def _json(value: np.ndarray) -> Any:
    """A number, or lists of them, as JSON has them: null for those that are not finite."""
    if value.ndim:
        return [_json(one) for one in value]
    return value.item() if value.dtype.kind not in "fc" or np.isfinite(value) else None


# -- columns -----------------------------------------------------------------------------------------------------------


def beside(samples: SampleSet, rows: slice = slice(None)) -> dict[str, np.ndarray]:
    """What stands beside the data of some rows: labels, and what the sampler told, by name."""
    labels = {} if samples.labels is None else {"label": samples.labels[rows]}
    return labels | {name: column[rows] for name, column in samples.aux.items()}


def _batches(samples: SampleSet) -> Iterator[slice]:
    return (slice(begin, begin + BATCH_ROWS) for begin in range(0, max(len(samples), 1), BATCH_ROWS))


def write_parquet(given: Given, path: Path) -> None:
    """A Parquet file: ``image`` as the bytes of PNG files with their names, or ``vector``, or ``category``; then labels
    and what the sampler told. Its schema tells the features as ``datasets`` reads them, and where the rows come from.
    """
    import pyarrow
    import pyarrow.parquet

    samples = given.samples
    made = encoder(given.origin, given.signer) if samples.kind == "images" else None
    names = export_names(samples) if samples.kind == "images" else []

    def table(rows: slice) -> "pyarrow.Table":
        data = samples.data[rows]
        if made:
            pngs = [made(rows.start + place, pixels) for place, pixels in enumerate(data)]
            fields = [pyarrow.array(pngs, pyarrow.binary()), pyarrow.array(names[rows], pyarrow.string())]
            first = {"image": pyarrow.StructArray.from_arrays(fields, names=["bytes", "path"])}
        else:
            first = {"vector" if samples.kind == "vectors" else "category": _nested(data)}
        others = {name: _nested(column) for name, column in beside(samples, rows).items()}
        return pyarrow.table(first | others).replace_schema_metadata(said)

    told = {"origin": given.origin.plain, "generated": given.origin.generated}
    said = {HUGGINGFACE: json.dumps({"info": {"features": features(samples)}}), store.METADATA_KEY: json.dumps(told)}

    def write(temporary: Path) -> None:
        first, *rest = _batches(samples)
        begun = table(first)
        with (
            open(temporary, "wb") as stream,  # given a path, pyarrow would take a=b in it for a column
            pyarrow.parquet.ParquetWriter(stream, begun.schema) as writer,
        ):
            writer.write_table(begun)
            for rows in rest:
                writer.write_table(table(rows))

    store.write_hashed(path, write)


def _nested(array: np.ndarray) -> Any:
    """A column of (n, ...) numbers: lists of a fixed length, as many deep as there are axes."""
    import pyarrow

    if array.ndim == 1:
        return pyarrow.array(np.ascontiguousarray(array))
    flat = array.reshape(-1, *array.shape[2:])
    return pyarrow.FixedSizeListArray.from_arrays(_nested(flat), array.shape[1])


def features(samples: SampleSet) -> dict[str, Any]:
    """The columns as ``datasets`` calls them: an ``Image``, values, lists of a fixed length, and classes by number."""
    names = {"images": "image", "vectors": "vector", "categories": "category"}
    first = {"_type": "Image"} if samples.kind == "images" else _feature(samples.data)
    found = {names[samples.kind]: first} | {name: _feature(one) for name, one in beside(samples).items()}
    labels = samples.labels
    if labels is not None and len(labels) and labels.min() >= 0 and labels.max() < CLASSES_MAX:
        found["label"] = {"_type": "ClassLabel", "names": [str(label) for label in range(labels.max() + 1)]}
    return found


def _feature(array: np.ndarray) -> dict[str, Any]:
    if array.ndim == 1:
        return {"_type": "Value", "dtype": str(array.dtype)}
    return {"_type": "Sequence", "length": array.shape[1], "feature": _feature(array[:, 0])}


def flat_columns(samples: SampleSet) -> dict[str, np.ndarray]:
    """Vectors or categories with what stands beside them as columns (n,): ``x0``, ``x1``, … or ``category``."""
    first = {"category": samples.data} if samples.kind == "categories" else _spread("x", samples.data)
    for name, column in beside(samples).items():
        first |= {name: column} if column.ndim == 1 else _spread(f"{name}.", column)
    return first


def _spread(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    flat = array.reshape(len(array), int(np.prod(array.shape[1:])))
    return {f"{name}{place}": flat[:, place] for place in range(flat.shape[1])}


def write_csv(given: Given, path: Path) -> None:
    """A table of numbers in full, a row a sample: whoever reads them gets the same numbers."""
    columns = flat_columns(given.samples)

    def write(temporary: Path) -> None:
        with open(temporary, "w", encoding="utf-8", newline="") as stream:
            parts = ([column[rows].tolist() for column in columns.values()] for rows in _batches(given.samples))
            spreadsheet.write_csv(stream, list(columns), (row for part in parts for row in zip(*part, strict=True)))

    store.write_hashed(path, write)


def write_safetensors(given: Given, path: Path) -> None:
    """The samples as the project itself stores and reads them: tensors ``data``, ``labels`` and ``aux.NAME``."""
    store.write_samples(path, given.samples)


FORMATS: Mapping[str, Format] = {
    "folder": Format(
        "PNG files, a sub-folder a label; torchvision's ImageFolder reads them", "", IMAGES_ALONE, write_folder
    ),
    "zip": Format(
        "PNG files and dataset.json in one zip, as StyleGAN and EDM read them", ".zip", IMAGES_ALONE, write_zip
    ),
    "imagefolder": Format(
        "PNG files and metadata.jsonl; `datasets` of Hugging Face reads them", "", IMAGES_ALONE, write_imagefolder
    ),
    "parquet": Format(
        "one Parquet file with the features of `datasets`; pandas and others read it", ".parquet", ALL, write_parquet
    ),
    "csv": Format("a row a sample, for spreadsheets and R", ".csv", NUMBERS, write_csv),
    "safetensors": Format(
        "the numbers as tensors, as this project stores them", ".safetensors", (*ALL, "audio"), write_safetensors
    ),
}
"""Formats by name."""
