"""Tables as Parquet: training sets as references to rows, which rows were kept, and columns of numbers."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import Damaged
from ..core.sets import Ballots, KeptTable, Reference, SampleSet, TrainingTable
from . import identity
from .bytes import METADATA_KEY, check_stamp, expect, recorded_hash, stamped, understood, verify, write_hashed
from .outside import Budget, bytes_on_disk
from .samples import read_samples


def _write_parquet(path: Path, columns: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    import pyarrow
    import pyarrow.parquet

    text = stamped(metadata)
    table = pyarrow.table(dict(columns)).replace_schema_metadata({METADATA_KEY: text})

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as stream:
            pyarrow.parquet.write_table(table, stream)

    return write_hashed(path, write, table.nbytes)


def _read_parquet(path: Path) -> tuple[Any, dict[str, Any]]:
    import pyarrow.parquet

    digest = verify(path)
    with open(path, "rb") as stream:  # given a path, pyarrow would read columns from folders that are called a=b
        try:
            words = [field.name for field in pyarrow.parquet.read_schema(stream) if pyarrow.types.is_string(field.type)]
            file = pyarrow.parquet.ParquetFile(stream, read_dictionary=words)
            budget = Budget(path)
            budget.take(_claimed(file.metadata), bytes_on_disk(path))
            table = file.read()
            budget.take(sum(map(_letters, table.columns)), bytes_on_disk(path))
        except pyarrow.ArrowInvalid:
            raise ValueError(f"{path}: found no table in it; was another file meant?") from None
    metadata = _said(path, table.schema)
    identity.check(path, digest, metadata)
    return table, metadata


def _said(path: Path, schema: Any) -> dict[str, Any]:
    """What a table says of itself."""
    with understood(path):
        metadata = dict(json.loads((schema.metadata or {}).get(METADATA_KEY.encode(), b"{}")))
    check_stamp(path, metadata.pop("format", None))
    return metadata


def read_metadata(path: Path) -> dict[str, Any]:
    """What a table says of itself, by its foot alone: its hash is not looked at. Raises Damaged for any other file."""
    import pyarrow.parquet

    try:
        with open(path, "rb") as stream:
            return _said(path, pyarrow.parquet.read_schema(stream))
    except pyarrow.ArrowInvalid:
        raise Damaged(path, "is no table") from None


def _claimed(said: Any) -> int:
    """The bytes that a table comes to in memory, each word of a column once: eight a cell, and what is packed."""
    groups = [said.row_group(place) for place in range(said.num_row_groups)]
    return 8 * said.num_rows * said.num_columns + sum(group.total_byte_size for group in groups)


def _letters(column: Any) -> int:
    """The bytes that the words of a column come to, each as often as it occurs; 0 of numbers."""
    import pyarrow.compute

    if not pyarrow.types.is_dictionary(column.type):
        return 0
    lengths = ((pyarrow.compute.binary_length(part.dictionary), part.indices) for part in column.chunks)
    return sum(pyarrow.compute.sum(found.take(rows)).as_py() or 0 for found, rows in lengths)


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
    if training.row_weights is not None:
        columns["row_weight"] = np.asarray(training.row_weights, np.float64)
    return _write_parquet(path, columns, {"references": references, "lineage": dict(training.lineage)})


def read_training(path: Path) -> TrainingTable:
    """A verified training set."""
    table, metadata = _read_parquet(path)
    expect(path, "references" in metadata, "training set")
    with understood(path):
        rows, labels = table["row"].to_numpy(), table["label"].to_numpy()
        references, begin = [], 0
        for entry in metadata["references"]:
            end = begin + entry["rows"]
            part_labels = labels[begin:end] if entry["labels"] else None
            references.append(_reference(entry, rows[begin:end], part_labels))
            begin = end
        if begin != len(rows):
            raise ValueError(f"references of {begin} rows in {len(rows)}")
        weights = table["row_weight"].to_numpy() if "row_weight" in table.column_names else None
        return TrainingTable(tuple(references), dict(metadata["lineage"]), weights)


def _reference(entry: Mapping[str, Any], rows: np.ndarray, labels: np.ndarray | None) -> Reference:
    """A reference as it was written. Raises ValueError, TypeError or LookupError for anything else."""
    words = {name: entry[name] for name in ("source", "path", "origin", "arm")}
    numbers = {"generation": entry["generation"], "weight": entry["weight"]}
    if not all(isinstance(word, str) for word in words.values()) or words["origin"] not in ("real", "synthetic"):
        raise ValueError(f"a reference with {words!r}")
    if type(numbers["generation"]) is not int or not isinstance(numbers["weight"], int | float):
        raise ValueError(f"a reference with {numbers!r}")
    if len(rows) != entry["rows"] or len(rows) < 0:
        raise ValueError(f"a reference of {entry['rows']!r} rows")
    return Reference(**{**entry, "rows": rows, "labels": labels})


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
    if kept.weights is not None:
        columns["weight"] = np.asarray(kept.weights, np.float64)
    return _write_parquet(path, columns, {"judge": kept.judge, "lineage": dict(kept.lineage)})


def read_kept(path: Path) -> KeptTable:
    """A verified kept table."""
    table, metadata = _read_parquet(path)
    expect(path, "judge" in metadata, "kept table")
    with understood(path):
        rows, scores, reasons = table["row"].to_numpy(), table["score"].to_numpy(), tuple(table["reason"].to_pylist())
        weights = table["weight"].to_numpy() if "weight" in table.column_names else None
        return KeptTable(rows, scores, reasons, metadata["judge"], dict(metadata["lineage"]), weights)


def write_ballots(path: Path, ballots: Ballots) -> str:
    """Write people's judgements."""
    import pyarrow

    columns = {
        "row": np.asarray(ballots.rows, np.int64),
        "judge": pyarrow.array(ballots.judges, pyarrow.string()).dictionary_encode(),
        "answer": pyarrow.array(ballots.answers, pyarrow.string()).dictionary_encode(),
        "seconds": np.asarray(ballots.seconds, np.float64),
    }
    return _write_parquet(path, columns, {"ballots": len(ballots), "lineage": dict(ballots.lineage)})


def read_ballots(path: Path) -> Ballots:
    """Verified judgements."""
    table, metadata = _read_parquet(path)
    expect(path, "ballots" in metadata, "table of ballots")
    with understood(path):
        words = (tuple(table[name].to_pylist()) for name in ("judge", "answer"))
        return Ballots(table["row"].to_numpy(), *words, table["seconds"].to_numpy(), dict(metadata["lineage"]))


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
    with understood(path):
        return {name: table[name].to_numpy() for name in metadata.pop("columns")}, metadata
