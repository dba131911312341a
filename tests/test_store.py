"""The store: what was written is what is read, or it is found out."""

import errno
import hashlib
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.errors import Damaged
from collapselab.core.sets import Ballots, KeptTable, Reference, SampleSet, TrainingTable
from collapselab.store import (
    content_hash,
    hash_path,
    read_ballots,
    read_json,
    read_kept,
    read_samples,
    read_table,
    read_tensors,
    read_training,
    recorded_hash,
    verify,
    write_atomically,
    write_ballots,
    write_hashed,
    write_json,
    write_kept,
    write_samples,
    write_table,
    write_tensors,
    write_training,
)
from collapselab.verbs.train import rows_of

RANDOM = np.random.default_rng(8)
POLL = {"pool": "ab" * 32, "round": {"question": "Which is real?", "closed": True}}


@pytest.fixture(autouse=True)
def no_pause(request, monkeypatch):
    """Nobody writes while these tests read: what a reader finds, it finds at once."""
    if "writer" not in request.node.name:
        monkeypatch.setattr("collapselab.store.bytes.PAUSE", 0)


def samples_of(count: int = 9, seed: int = 0) -> SampleSet:
    random = np.random.default_rng(seed)
    return SampleSet(
        random.integers(0, 256, (count, 1, 4, 4), dtype=np.uint8),
        random.integers(0, 10, count),
        {"log_probability": random.normal(size=count), "step": np.arange(count, dtype=np.int32)},
        {"arm": "fixed", "generation": 3, "parents": ["ab", "cd"], "options": {"bias": 0.5, "none": None}},
    )


def training_of(source: str = "ab" * 32, path: str = "samples.safetensors") -> TrainingTable:
    first = Reference(source, path, np.array([3, 1, 1]), "real", "held", 0, np.array([7, 8, 9]), 1.0)
    second = Reference(source, path, np.array([0, 2]), "synthetic", "naïve", 4, None, 0.25)
    return TrainingTable((first, second), {"regime": {"real": 3}})


def kept_of() -> KeptTable:
    return KeptTable(
        np.array([4, 0, 2]), np.array([0.5, np.nan, -1]), ("best", "drawn", "Größe"), "random", {"seed": 3}
    )


def ballots_of() -> Ballots:
    seconds = np.array([1.5, np.nan, 0.25, 12])
    return Ballots(np.array([4, 0, 4, 2]), ("p1", "é", "p2", "p1"), ("real", "fake", "real", "Größe"), seconds, POLL)


def columns_of() -> dict[str, np.ndarray]:
    return {"seed": np.arange(3), "variance": np.array([0.1, np.nan, -np.inf]), "arm": np.array([2, 1, 0], np.int32)}


WRITERS: dict[str, tuple[Callable[[Path], str], Callable[[Path], object]]] = {
    "samples": (lambda path: write_samples(path, samples_of()), read_samples),
    "tensors": (
        lambda path: write_tensors(path, {"w": np.eye(3), "b": np.zeros(2, np.float16)}, {"step": 1}),
        read_tensors,
    ),
    "training": (lambda path: write_training(path, training_of()), read_training),
    "kept": (lambda path: write_kept(path, kept_of()), read_kept),
    "ballots": (lambda path: write_ballots(path, ballots_of()), read_ballots),
    "table": (lambda path: write_table(path, columns_of(), {"arm": {"name": "é"}}), read_table),
    "record": (lambda path: write_json(path, {"values": [1, 2.5, None], "name": "é"}), read_json),
}

every_format = pytest.mark.parametrize("kind", WRITERS)


# -- round trips -------------------------------------------------------------------------------------------------------


def assert_same_samples(found: SampleSet, expected: SampleSet) -> None:
    assert_same_array(found.data, expected.data)
    assert (found.labels is None) == (expected.labels is None)
    if expected.labels is not None:
        assert_same_array(found.labels, expected.labels)
    assert found.aux.keys() == expected.aux.keys()
    for name, column in expected.aux.items():
        assert_same_array(found.aux[name], column)
    assert found.lineage == expected.lineage


def assert_same_array(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()  # bit for bit: NaN and -0.0 included


def test_sample_sets_come_back(tmp_path):
    sets = {
        "images": samples_of(),
        "float32": SampleSet(RANDOM.normal(size=(5, 3)).astype(np.float32)),
        "float64": SampleSet(np.array([[np.nan, -0.0, np.inf], [5e-324, 1e308, -np.inf]])),
        "categories": SampleSet(np.array([0, 2**62, -1]), np.array([1, 2, 3])),
        "empty": SampleSet(np.empty((0, 3, 8, 8), np.uint8), np.empty(0, np.int64), {"score": np.empty(0)}),
        "half empty": SampleSet(np.empty((2, 0), np.float32), np.array([1, 2])),
        "strided": SampleSet(np.arange(48, dtype=np.uint8).reshape(4, 1, 3, 4)[:, :, ::2, ::-1]),
        "columns": SampleSet(np.asfortranarray(RANDOM.normal(size=(4, 3)))),
        "odd names": SampleSet(np.zeros((1, 1)), None, {"data": np.ones(1), "labels": np.ones(1), "aux.x": np.ones(1)}),
    }
    for name, samples in sets.items():
        digest = write_samples(tmp_path / name, samples)
        assert digest == content_hash(tmp_path / name) == recorded_hash(tmp_path / name)
        assert_same_samples(read_samples(tmp_path / name), samples)
        assert len(read_samples(tmp_path / name)) == len(samples)


@settings(max_examples=80)
@given(data=st.data())
def test_tensors_of_every_type_and_shape_come_back(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("tensors") / "file"
    shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    kinds = st.sampled_from(list(store.DTYPES.values()))
    tensor = kinds.flatmap(lambda kind: arrays.arrays(kind, shapes))
    tensors = data.draw(
        st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), tensor, max_size=4)
    )
    tensors.pop("__metadata__", None)
    write_tensors(path, tensors, {"options": {"ä": [1, None, 0.1]}})
    found, metadata = read_tensors(path)
    assert metadata == {"options": {"ä": [1, None, 0.1]}}
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        assert_same_array(found[name], array)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"a": (0, 8), "b": (8, 16)}, None),
        ({"b": (8, 16), "a": (0, 8)}, None),  # the header may name them in any order
        ({"a": (0, 8), "b": (4, 12), "c": (12, 16)}, "'b' begins at 4, the one before it ends at 8"),
        ({"a": (0, 8), "b": (0, 8), "c": (8, 16)}, "'b' begins at 0, the one before it ends at 8"),
        ({"a": (0, 4), "b": (8, 16)}, "'b' begins at 8, the one before it ends at 4"),
        ({"a": (4, 8), "b": (8, 16)}, "'a' begins at 4, the one before it ends at 0"),
        ({"a": (0, 8), "b": (8, 12)}, "arrays of 12 bytes in 16"),
    ],
)
def test_arrays_that_overlap_or_leave_holes_are_refused(tmp_path, places, message):
    """Bytes that two arrays share, or none has, are where a file could say more than is read; all else is right."""
    named = {
        name: {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
        for name, (begin, end) in places.items()
    }
    write_tensors(tmp_path / "whole", {"a": np.zeros(1, np.uint8)}, {})
    raw = (tmp_path / "whole").read_bytes()
    said = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
    header = json.dumps({"__metadata__": said, **named}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(range(16))
    write_hashed(tmp_path / "file", lambda temporary: temporary.write_bytes(content))
    if message is None:
        found, _ = read_tensors(tmp_path / "file")
        assert {name: array.tolist() for name, array in found.items()} == {
            name: list(range(begin, end)) for name, (begin, end) in places.items()
        }
    else:
        with pytest.raises(Damaged, match=f"not a file of tensors: {message}"):
            read_tensors(tmp_path / "file")


def test_tensors_of_another_byte_order_keep_their_values(tmp_path):
    write_tensors(tmp_path / "file", {"x": np.arange(4, dtype=">f8")}, {})
    found = read_tensors(tmp_path / "file")[0]["x"]
    assert found.dtype == np.float64
    assert found.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "wrong", [np.ones(2, complex), np.array(["a"]), np.array([None]), np.array([0], "datetime64[s]")]
)
def test_tensors_that_cannot_be_stored_are_refused_before_writing(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"weights: found the type .* stored are BOOL, U8"):
        write_tensors(tmp_path / "file", {"weights": wrong}, {})
    assert list(tmp_path.iterdir()) == []


def test_training_sets_come_back(tmp_path):
    tables = {
        "two": training_of(),
        "none": TrainingTable((), {"regime": "none"}),
        "no rows": TrainingTable(
            (training_of().references[0]._replace(rows=np.empty(0, np.int64), labels=np.empty(0, np.int64)),)
        ),
        "label -1": TrainingTable((training_of().references[0]._replace(labels=np.array([-1, 0, 1])),)),
    }
    for name, table in tables.items():
        write_training(tmp_path / name, table)
        found = read_training(tmp_path / name)
        assert found.lineage == table.lineage
        assert len(found) == len(table)
        for reference, expected in zip(found.references, table.references, strict=True):
            for field in Reference._fields:
                if field in ("rows", "labels") and getattr(expected, field) is not None:
                    assert_same_array(getattr(reference, field), getattr(expected, field))
                else:
                    assert getattr(reference, field) == getattr(expected, field)


def test_training_sets_are_one_row_a_reference_for_other_tools(tmp_path):
    import pyarrow.parquet

    write_training(tmp_path / "training.parquet", training_of())
    table = pyarrow.parquet.read_table(tmp_path / "training.parquet").to_pydict()
    assert table == {
        "source": ["ab" * 32] * 5,
        "row": [3, 1, 1, 0, 2],
        "origin": ["real"] * 3 + ["synthetic"] * 2,
        "arm": ["held"] * 3 + ["naïve"] * 2,
        "generation": [0, 0, 0, 4, 4],
        "label": [7, 8, 9, -1, -1],
        "weight": [1, 1, 1, 0.25, 0.25],
    }


def test_a_table_that_would_come_to_gigabytes_is_refused(tmp_path):
    """Of kilobytes with a right hash: a number that recurs a hundred million times, and a long word in many rows."""
    import pyarrow
    import pyarrow.parquet

    def write(name: str, columns: dict, said: dict) -> Path:
        table = pyarrow.table(columns).replace_schema_metadata({store.METADATA_KEY: json.dumps({"format": 2, **said})})
        write_hashed(tmp_path / name, lambda file: pyarrow.parquet.write_table(table, file))
        assert (tmp_path / name).stat().st_size < 500_000
        return tmp_path / name

    ones = pyarrow.array(np.zeros(35_000_000, np.int8))
    numbers = write("numbers.parquet", {"x": ones, "y": ones}, {"columns": ["x", "y"]})
    word = pyarrow.DictionaryArray.from_arrays(np.zeros(3000, np.int32), pyarrow.array(["x" * 200_000]))
    rows = {"row": np.zeros(3000, np.int64), "score": np.zeros(3000), "reason": word, "judge": word}
    for path, read in ((numbers, read_table), (write("kept.parquet", rows, {"judge": "x", "lineage": {}}), read_kept)):
        with pytest.raises(ValueError, match=f"{path.name}: .* would become .* COLLAPSELAB_READ_MB"):
            read(path)


def test_kept_tables_come_back(tmp_path):
    for kept in (kept_of(), KeptTable(np.empty(0, np.int64), np.empty(0), (), "nobody")):
        write_kept(tmp_path / "kept", kept)
        found = read_kept(tmp_path / "kept")
        assert_same_array(found.rows, kept.rows)
        assert_same_array(found.scores, kept.scores)
        assert (found.reasons, found.judge, found.lineage) == (kept.reasons, kept.judge, kept.lineage)


def test_ballots_come_back(tmp_path):
    for ballots in (ballots_of(), Ballots(np.empty(0, np.int64), (), (), np.empty(0))):
        write_ballots(tmp_path / "ballots", ballots)
        found = read_ballots(tmp_path / "ballots")
        assert_same_array(found.rows, ballots.rows)
        assert_same_array(found.seconds, ballots.seconds)
        assert (found.judges, found.answers, found.lineage) == (ballots.judges, ballots.answers, ballots.lineage)
        assert len(found) == len(ballots) == len(found.judges)


TABLES = {"training": "training set", "kept": "kept table", "ballots": "table of ballots", "table": "table of numbers"}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("found", TABLES)
def test_one_table_is_not_taken_for_another(tmp_path, kind, found):
    WRITERS[found][0](tmp_path / "file")
    if kind == found:
        WRITERS[kind][1](tmp_path / "file")
        return
    with pytest.raises(ValueError, match=f"found no {TABLES[kind]} in it"):
        WRITERS[kind][1](tmp_path / "file")
    assert (tmp_path / "file").exists()  # it is whole, and stays


def test_tables_come_back_in_the_order_of_their_columns(tmp_path):
    for columns in (columns_of(), {"none": np.empty(0)}):
        write_table(tmp_path / "table", columns, {"arm": {"name": "é"}})
        found, metadata = read_table(tmp_path / "table")
        assert list(found) == list(columns) and metadata == {"arm": {"name": "é"}}
        for name, column in columns.items():
            assert_same_array(found[name], column)
    with pytest.raises(ValueError, match=r"columns: found lengths .*'b': 2"):
        write_table(tmp_path / "table", {"a": np.zeros(1), "b": np.zeros(2)}, {})
    write_kept(tmp_path / "kept", kept_of())
    with pytest.raises(ValueError, match="found no table of numbers in it"):
        read_table(tmp_path / "kept")


def test_records_come_back_with_null_for_what_is_not_a_number(tmp_path):
    record = {
        "nan": math.nan,
        "infinite": [np.inf, -np.inf, np.float32("nan")],
        "numpy": (np.float64(0.1), np.float32(0.5), np.int64(-3), np.uint8(7), np.bool_(True)),
        "plain": {"é": [True, False, None, "NaN", 2**70, 0.1]},
        3: "a number as a key",
    }
    write_json(tmp_path / "record.json", record)
    assert read_json(tmp_path / "record.json") == {
        "nan": None,
        "infinite": [None, None, None],
        "numpy": [0.1, 0.5, -3, 7, True],
        "plain": {"é": [True, False, None, "NaN", 2**70, 0.1]},
        "3": "a number as a key",
    }
    assert (tmp_path / "record.json").read_text().endswith("}\n")
    write_json(tmp_path / "other.json", dict(reversed(record.items())))
    assert content_hash(tmp_path / "other.json") == content_hash(tmp_path / "record.json")


# -- bytes -------------------------------------------------------------------------------------------------------------


@every_format
def test_the_same_content_has_the_same_hash_in_another_process(tmp_path, kind):
    here = WRITERS[kind][0](tmp_path / "here")
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path;"
        f"from test_store import WRITERS; print(WRITERS[{kind!r}][0](Path({str(tmp_path / 'there')!r})))"
    )
    env = os.environ | {"PYTHONPATH": str(Path(store.__file__).parents[2]), "PYTHONHASHSEED": "5"}
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert there.strip() == here == content_hash(tmp_path / "there")


@every_format
def test_sha256sum_agrees(tmp_path, kind):
    WRITERS[kind][0](tmp_path / "a name with spaces")
    line = hash_path(tmp_path / "a name with spaces").read_text()
    assert line == hashlib.sha256((tmp_path / "a name with spaces").read_bytes()).hexdigest() + "  a name with spaces\n"
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "--strict", "a name with spaces.sha256"], cwd=tmp_path, check=True)


@every_format
def test_every_flipped_bit_is_found(tmp_path, kind):
    """200 bits a format, at random, and each bit of the first and last four bytes."""
    write, read = WRITERS[kind]
    path, away = tmp_path / "file", tmp_path / "file.damaged"
    write(path)
    good = path.read_bytes()
    bits = {*RANDOM.integers(0, 8 * len(good), 200).tolist(), *range(32), *range(8 * len(good) - 32, 8 * len(good))}
    for bit in bits:
        broken = bytearray(good)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        with pytest.raises(Damaged, match="damaged: its SHA-256 is") as caught:
            read(path)
        assert caught.value.path == path and caught.value.set_aside
        assert not path.exists()
        assert away.read_bytes() == broken
    write(path)
    read(path)


def test_damage_in_a_folder_that_is_read_only_is_damage(tmp_path, monkeypatch):
    """Only that the file stays where it is."""
    path = tmp_path / "file"
    store.write_json(path, {})
    path.write_text("other")

    def refused(source, target):
        raise PermissionError(errno.EACCES, "Permission denied", str(source))

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(Damaged, match="damaged: its SHA-256 is") as caught:
        store.read_json(path)
    assert not caught.value.set_aside and path.exists()


@every_format
def test_every_damaged_hash_is_found(tmp_path, kind):
    """A flipped bit in the hash itself, whichever of its 64 characters it hits; it is not even ASCII any more."""
    write, read = WRITERS[kind]
    path = tmp_path / "file"
    write(path)
    good, line = path.read_bytes(), hash_path(path).read_bytes()
    for place in range(64):
        broken = bytearray(line)
        broken[place] ^= 1 << RANDOM.integers(8)
        broken[(place + 1) % 64] ^= 0x80
        path.write_bytes(good)
        hash_path(path).write_bytes(broken)
        with pytest.raises(
            Damaged, match=r"is no SHA-256, so that nobody can check it; .*sha256sum file > file\.sha256"
        ) as caught:
            read(path)
        assert path.read_bytes() == good and not caught.value.set_aside  # nobody can say that the file has changed
        broken = bytearray(line)
        broken[place] = ord("0" if line[place] != ord("0") else "1")
        hash_path(path).write_bytes(broken)
        with pytest.raises(Damaged, match=r"recorded in file\.sha256 when it was made") as caught:
            read(path)
        assert caught.value.set_aside and not path.exists()


@every_format
def test_hashes_in_the_other_common_formats_are_read(tmp_path, kind):
    write, read = WRITERS[kind]
    path = tmp_path / "file"
    write(path)
    digest = recorded_hash(path)
    for line in (digest, digest.upper(), f"{digest} *file\n", f"SHA256 (file) = {digest}\r\n", f"sha256:{digest}\n"):
        hash_path(path).write_text(line)
        assert recorded_hash(path) == digest
        read(path)


@every_format
def test_what_only_looks_like_a_leftover_keeps_nobody_from_writing(tmp_path, kind):
    write, read = WRITERS[kind]
    path, gone = tmp_path / "file", 2**22 - 1
    odd = [f".file.{owner}.tmp" for owner in ("9" * 23, "²", "-1", "1e3", "", "٣", "12345678901")]
    for name in odd:
        (tmp_path / name).write_text("somebody's")
    (tmp_path / f".file.{gone}.tmp").mkdir()
    (tmp_path / f".file.sha256.{gone}.tmp").symlink_to("nowhere")
    (tmp_path / f".file.{gone - 1}.tmp").write_text("left by a writer that was killed")
    write(path)
    read(path)
    assert not (tmp_path / f".file.{gone - 1}.tmp").exists()
    assert all((tmp_path / name).exists() for name in odd)


@every_format
@pytest.mark.parametrize("what", ["truncated", "longer", "empty", "other"])
def test_every_wrong_length_is_found(tmp_path, kind, what):
    write, read = WRITERS[kind]
    path = tmp_path / "file"
    write(path)
    good = path.read_bytes()
    other = WRITERS["record" if kind != "record" else "kept"][0]
    other(tmp_path / "other")
    content = {"truncated": good[:-1], "longer": good + b"\0", "empty": b"", "other": (tmp_path / "other").read_bytes()}
    path.write_bytes(content[what])
    with pytest.raises(Damaged):
        read(path)
    assert not path.exists()


@every_format
@pytest.mark.parametrize("line", [None, b"", b"\n"])
def test_a_file_without_its_hash_is_not_trusted(tmp_path, kind, line):
    write, read = WRITERS[kind]
    path = tmp_path / "file"
    write(path)
    hash_path(path).unlink()
    if line is not None:
        hash_path(path).write_bytes(line)
    with pytest.raises(Damaged, match=r"has no hash beside it .*file\.sha256.*not written by collapselab") as caught:
        read(path)
    assert path.exists() and not caught.value.set_aside  # it may be somebody's own
    with pytest.raises(Damaged, match="has no hash beside it"):
        recorded_hash(path)


@every_format
def test_a_missing_file_is_missing_and_not_damaged(tmp_path, kind):
    with pytest.raises(FileNotFoundError):
        WRITERS[kind][1](tmp_path / "file")


def test_two_readers_may_find_the_same_damage(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_json(path, {})
    path.write_text("[]")
    honest = store.content_hash

    def slower(found: Path) -> str:
        digest = honest(found)
        found.unlink()  # the other reader renames it between our reading and our renaming
        return digest

    monkeypatch.setattr("collapselab.store.bytes.content_hash", slower)
    with pytest.raises(Damaged):
        verify(path)


def test_a_reader_beside_a_writer_takes_nothing_away(tmp_path):
    """The file is published before its hash: in between, and only then, the two disagree."""
    path, rewrites = tmp_path / "file.json", 400
    code = (
        "import sys, pathlib; from collapselab import store; path = pathlib.Path(sys.argv[1])\n"
        f"for number in range({rewrites}): store.write_json(path, list(range(number)))"
    )
    env = os.environ | {"PYTHONPATH": str(Path(store.__file__).parents[2])}
    store.write_json(path, [])
    with subprocess.Popen([sys.executable, "-c", code, str(path)], env=env) as writer:
        reads = 0
        while writer.poll() is None:
            verify(path)
            reads += 1
    assert writer.returncode == 0 and reads > 5
    assert read_json(path) == list(range(rewrites - 1))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file.json", "file.json.sha256"]


@pytest.mark.parametrize("kind", ["samples", "tensors", "training", "kept", "ballots", "table"])
def test_files_of_another_store_are_refused(tmp_path, kind, monkeypatch):
    write, read = WRITERS[kind]
    monkeypatch.setattr("collapselab.store.bytes.FORMAT", 99)
    write(tmp_path / "file")
    monkeypatch.undo()
    with pytest.raises(Damaged, match="not written by this version of the store"):
        read(tmp_path / "file")


def test_a_table_is_no_file_of_tensors(tmp_path):
    write_kept(tmp_path / "file", kept_of())
    with pytest.raises(Damaged, match="not a file of tensors"):
        read_tensors(tmp_path / "file")


def test_arrays_are_mapped_and_cannot_be_written(tmp_path):
    count = 16_000_000
    write_samples(tmp_path / "file", SampleSet(np.zeros((count, 1), np.uint8), np.zeros(10, np.int64)))
    tracemalloc.start()
    samples = read_samples(tmp_path / "file")
    assert tracemalloc.get_traced_memory()[1] < count / 4  # the hash reads in pieces, the data stay on disk
    tracemalloc.stop()
    for array in (samples.data, samples.labels):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    verify(tmp_path / "file")


# -- crashes -----------------------------------------------------------------------------------------------------------


@every_format
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, kind, monkeypatch):
    """Every sync and every rename of a write fails in turn, until the write goes through."""
    write, read = WRITERS[kind]
    path = tmp_path / "file"
    write_json(path, "old")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    outcomes = []
    for step in range(20):
        for name, content in before.items():
            (tmp_path / name).write_bytes(content)
        calls = iter(range(100))
        for name in ("fsync", "replace"):
            monkeypatch.setattr(os, name, failing(getattr(os, name), calls, step))
        try:
            write(path)
        except OSError as error:
            assert "planted" in str(error)
            outcomes.append("failed")
        else:
            outcomes.append("done")
        monkeypatch.undo()
        assert sorted(file.name for file in tmp_path.iterdir() if file.suffix != ".damaged") == ["file", "file.sha256"]
        if path.read_bytes() == before["file"]:  # either the old file, and it is whole
            assert outcomes[-1] == "failed"
            assert read_json(path) == "old"
        elif hash_path(path).read_bytes() == before["file.sha256"]:  # or a new one whose hash is not yet written
            assert outcomes[-1] == "failed"
            with pytest.raises(Damaged):
                read(path)
        else:  # or the new one
            read(path)
        if outcomes[-1] == "done":
            break
    assert outcomes == ["failed"] * 6 + ["done"]  # sync, rename, sync the folder: of the file, then of its hash


def failing(call: Callable, calls, step: int) -> Callable:
    def call_or_fail(*arguments):
        if next(calls) == step:
            raise OSError("planted")
        return call(*arguments)

    return call_or_fail


@every_format
def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path, kind):
    """A limit on the size of files stands for the disk: the writing call fails half-way, whichever library makes it."""
    path = tmp_path / "file"
    write_json(path, "old")
    large = {
        "samples": lambda: write_samples(path, SampleSet(np.ones((300_000, 1), np.uint8))),
        "tensors": lambda: write_tensors(path, {"w": np.ones(100_000)}, {}),
        "training": lambda: write_training(path, one_large_reference()),
        "kept": lambda: write_kept(
            path, KeptTable(RANDOM.permutation(200_000), np.ones(200_000), ("x",) * 200_000, "all")
        ),
        "ballots": lambda: write_ballots(
            path, Ballots(RANDOM.permutation(200_000), ("p",) * 200_000, ("x",) * 200_000, np.ones(200_000))
        ),
        "table": lambda: write_table(path, {"value": RANDOM.normal(size=100_000)}, {}),
        "record": lambda: write_json(path, list(range(100_000))),
    }
    said = r"too large; about [\d,]+ bytes are needed; [\d,]+ bytes are free.*file"
    with full_disk(), pytest.raises(OSError, match=said):
        large[kind]()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "file.sha256"]
    assert read_json(path) == "old"
    large[kind]()
    verify(path)


@contextmanager
def full_disk():
    """Within it no file may be larger than 100 kB."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_no_folder_and_names_it(tmp_path, capsys):
    """Also where the files in it are written by hand, and their writes name none."""

    def write(folder):
        (folder / "small").write_bytes(b"x")
        (folder / "large").write_bytes(bytes(200_000))

    with full_disk(), pytest.raises(OSError, match=r"too large; [\d,]+ bytes are free: '.*folder'") as fault:
        store.write_folder_atomically(tmp_path / "folder", write)
    assert not list(tmp_path.iterdir())

    def failing():
        raise fault.value

    assert frame.guarded(failing) == frame.EXIT_RESOURCES
    assert f"cannot write or read {tmp_path / 'folder'}: File too large; " in capsys.readouterr().err


def one_large_reference() -> TrainingTable:
    rows = RANDOM.permutation(200_000)
    return TrainingTable((training_of().references[0]._replace(rows=rows, labels=rows),))


@pytest.mark.parametrize("moment", ["while writing", "before the rename", "before the hash"])
def test_a_killed_write_is_never_taken_for_a_whole_one(tmp_path, moment):
    path = tmp_path / "file"
    write_json(path, "old")
    die = "os.kill(os.getpid(), signal.SIGKILL)"
    code = {
        "while writing": f"store.write_hashed(path, lambda file: (file.write_text('half'), {die}))",
        "before the rename": f"os.replace = lambda *_: {die}; store.write_json(path, 'new')",
        "before the hash": f"store.bytes.hash_path = lambda path: {die}; store.write_json(path, 'new')",
    }[moment]
    setup = f"import os, signal, pathlib; from collapselab import store; path = pathlib.Path({str(path)!r}); "
    env = os.environ | {"PYTHONPATH": str(Path(store.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", setup + code], env=env).returncode == -signal.SIGKILL
    if moment == "before the hash":
        with pytest.raises(Damaged):
            read_json(path)
    else:
        assert read_json(path) == "old"
    write_json(path, "new")
    assert read_json(path) == "new"


def test_a_writer_that_raises_leaves_nothing(tmp_path):
    def write(temporary: Path) -> None:
        temporary.write_text("half", encoding="utf-8")
        raise KeyError("planted")

    for writer in (write_atomically, write_hashed):
        with pytest.raises(KeyError):
            writer(tmp_path / "deep" / "file", write)
        assert list((tmp_path / "deep").iterdir()) == []


def test_folders_are_made_and_links_are_replaced_not_followed(tmp_path):
    """A data version control links its cache into the tree: writing through a link would change the cache."""
    write_json(tmp_path / "cache" / "object", "cached")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").symlink_to(tmp_path / "cache" / "object")
    write_json(tmp_path / "tree" / "file", "new")
    assert read_json(tmp_path / "tree" / "file") == "new"
    assert read_json(tmp_path / "cache" / "object") == "cached"


@every_format
def test_odd_names_and_the_mask_of_permissions(tmp_path, kind):
    write, read = WRITERS[kind]
    names = ["ü ö", "file:x", "row=7/file", "200 letters" + "x" * 189, "new\nline", os.fsdecode(b"not \xff unicode")]
    before = os.umask(0o027)
    try:
        for name in names:
            path = tmp_path / name
            write(path)
            read(path)
            assert path.stat().st_mode & 0o777 == hash_path(path).stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


# -- referred --------------------------------------------------------------------------------------------------------


def gather(training):
    """The rows that a training set refers to, as the train verb has them."""
    found = rows_of(training, store.referred(training))
    return found.data, found.labels, found.weights


def test_gather_collects_the_rows_in_order(tmp_path):
    first, second = samples_of(9, 1), samples_of(5, 2)
    references = (
        Reference(
            write_samples(tmp_path / "a", first),
            str(tmp_path / "a"),
            np.array([8, 0, 0]),
            "real",
            "x",
            0,
            first.labels[[8, 0, 0]],
            1,
        ),
        Reference(
            write_samples(tmp_path / "b", second),
            str(tmp_path / "b"),
            np.array([4]),
            "synthetic",
            "x",
            1,
            np.array([3]),
            0.5,
        ),
        Reference(
            recorded_hash(tmp_path / "a"),
            str(tmp_path / "a"),
            np.empty(0, np.int64),
            "real",
            "x",
            0,
            np.empty(0, np.int64),
            2,
        ),
    )
    data, labels, weights = gather(TrainingTable(references))
    np.testing.assert_array_equal(data, np.concatenate([first.data[[8, 0, 0]], second.data[[4]]]))
    np.testing.assert_array_equal(labels, [*first.labels[[8, 0, 0]], 3])
    assert_same_array(weights, np.array([1, 1, 1, 0.5]))
    assert_same_array(gather(TrainingTable(references[:1]))[2], np.ones(3))
    unlabelled = TrainingTable((references[0], references[1]._replace(labels=None)))
    assert gather(unlabelled)[1] is None


def test_gather_finds_a_source_that_was_swapped(tmp_path):
    """Another generation's samples with a good hash of their own, in the right place."""
    path = tmp_path / "samples.safetensors"
    old = write_samples(path, samples_of(9, 1))
    training = training_of(old, str(path))
    gather(training)
    new = write_samples(path, samples_of(9, 2))
    with pytest.raises(Damaged, match=f"holds {new[:12]}…, but .* {old[:12]}…; compose it again") as caught:
        gather(training)
    assert not caught.value.set_aside
    told = TrainingTable(training.references, {"recipe": {"generation": 3}, "seed": 1})
    with pytest.raises(Damaged, match="the training set of generation 3 and seed 1 was composed from"):
        gather(told)
    mixed = TrainingTable((training.references[0]._replace(source=new), training.references[1]))
    with pytest.raises(Damaged, match="but the training set was composed from"):
        gather(mixed)  # the same path under two hashes: each reference is held to its own
    assert path.exists()  # it is not the file that is damaged


def test_gather_finds_damage_and_rows_that_are_not_there(tmp_path):
    path = tmp_path / "samples.safetensors"
    training = training_of(write_samples(path, samples_of(9, 1)), str(path))
    for rows in ([0, 9], [-1]):
        wrong = TrainingTable((training.references[0]._replace(rows=np.array(rows), labels=None),))
        with pytest.raises(Damaged, match="holds 9 rows"):
            gather(wrong)
    with pytest.raises(ValueError, match="found no references"):
        gather(TrainingTable(()))
    broken = bytearray(path.read_bytes())
    broken[-1] ^= 1
    path.write_bytes(broken)
    with pytest.raises(Damaged, match="damaged"):
        gather(training)
    assert not path.exists()


def test_a_table_grows_with_its_references_and_not_with_its_images(tmp_path):
    """A loop that accumulates T generations of n images stores T n rows of a few bytes, never an image."""
    source = write_samples(tmp_path / "a", SampleSet(np.zeros((1000, 3, 32, 32), np.uint8)))
    references = tuple(
        Reference(source, str(tmp_path / "a"), RANDOM.permutation(1000), "synthetic", "x", generation, None, 1.0)
        for generation in range(10)
    )
    write_training(tmp_path / "table", TrainingTable(references))
    assert (tmp_path / "table").stat().st_size < 10_000 * 8
    assert json.loads(json.dumps(recorded_hash(tmp_path / "a"))) == source
