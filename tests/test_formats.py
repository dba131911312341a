"""Samples in every format in which they are handed on: what is read back is what was written, and where it is from."""

import csv
import io
import json
import zipfile

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from collapselab import store
from collapselab.core.sets import SampleSet
from collapselab.data import DATASETS
from collapselab.data.export import unlike_manifest
from collapselab.data.formats import BATCH_ROWS, FORMATS, Given, check
from collapselab.data.provenance import GENERATED, Origin, read_told

ORIGIN = Origin("loop", "fresh", 2, 3)
ROWS = 7


def samples_of(kind: str, rows: int = ROWS) -> SampleSet:
    """Samples of a kind with labels and columns; of numbers that few digits would not tell apart."""
    draws = np.random.default_rng(0)
    data = {
        "images": lambda: draws.integers(0, 256, (rows, 3, 5, 4), dtype=np.uint8),
        "vectors": lambda: draws.normal(size=(rows, 3)).astype(np.float32),
        "categories": lambda: draws.integers(0, 2**62, rows),
        "sequences": lambda: draws.integers(0, 2**31 - 1, (rows, 3), np.int32),
        "audio": lambda: draws.uniform(-1, 1, (rows, 4, 3)).astype(np.float32),
    }[kind]()
    aux = {"score": draws.normal(size=rows), "path": draws.normal(size=(rows, 2)).astype(np.float32)}
    return SampleSet(data, np.arange(rows) % 3, aux, {"seed": 2, "generation": 3})


def pixels(content: bytes) -> np.ndarray:
    found = np.asarray(Image.open(io.BytesIO(content)))
    return found[None] if found.ndim == 2 else found.transpose(2, 0, 1)


def from_images(name, path):
    """What a data set of ours reads of a folder or zip, in the order of the samples."""
    found = DATASETS[name](path=path, channels=3).load()
    return SampleSet(found.data, found.labels)


def from_folder(path):
    found = from_images("folder", path)
    order = [one["index"] for one in json.loads((path / "manifest.json").read_text())["pictures"]]
    places = np.argsort(sorted(order, key=lambda index: (index % 3, index)))  # the folder's order: by label, by name
    return SampleSet(found.data[places], found.labels[places])


def from_imagefolder(path):
    lines = [json.loads(line) for line in (path / "metadata.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(len(lines)))
    assert {line["study"] for line in lines} == {"loop"}
    data = np.stack([pixels((path / line["file_name"]).read_bytes()) for line in lines])
    aux = {"score": np.array([line["score"] for line in lines]), "path": np.array([line["path"] for line in lines])}
    return SampleSet(data, np.array([line["label"] for line in lines]), aux)


def from_parquet(path):
    table = pyarrow.parquet.read_table(path)
    if "image" in table.column_names:
        data = np.stack([pixels(one["bytes"]) for one in table["image"].to_pylist()])
        assert table["image"][1].as_py()["path"] == "00000/img00000001.png"
    elif "vector" in table.column_names:
        data = np.array(table["vector"].to_pylist(), np.float32)
    elif "tokens" in table.column_names:
        data = np.array(table["tokens"].to_pylist(), np.int32)
    else:
        data = table["category"].to_numpy()
    aux = {"score": table["score"].to_numpy(), "path": np.array(table["path"].to_pylist(), np.float32)}
    return SampleSet(data, table["label"].to_numpy(), aux)


def from_csv(path):
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))

    def column(name, kind):
        return np.array([row[name] for row in rows], kind)

    if "category" in rows[0]:
        data = column("category", np.int64)
    elif "token0" in rows[0]:
        data = np.stack([column(f"token{place}", np.int32) for place in range(3)], 1)
    else:
        data = np.stack([column(f"x{place}", np.float32) for place in range(3)], 1)
    both = np.stack([column(f"path.{place}", np.float32) for place in range(2)], 1)
    return SampleSet(data, column("label", np.int64), {"score": column("score", np.float64), "path": both})


READERS = {
    "folder": from_folder,
    "zip": lambda path: from_images("zip", path),
    "imagefolder": from_imagefolder,
    "parquet": from_parquet,
    "csv": from_csv,
    "safetensors": store.read_samples,
}
WITHOUT_COLUMNS = {"folder", "zip"}  # which have no place for what a sampler told
CASES = [(name, kind) for name, one in FORMATS.items() for kind in one.takes]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_read_back_is_what_was_written(tmp_path, name, kind):
    samples, path = samples_of(kind), tmp_path / f"out{FORMATS[name].suffix}"
    given = Given(samples, ORIGIN)
    assert list(check(name, given, path)) == []
    FORMATS[name].write(given, path)
    found = READERS[name](path)
    np.testing.assert_array_equal(found.data, samples.data)
    assert found.data.dtype == samples.data.dtype
    np.testing.assert_array_equal(found.labels, samples.labels)
    for column, values in ({} if name in WITHOUT_COLUMNS else samples.aux).items():
        np.testing.assert_array_equal(found.aux[column].astype(values.dtype), values)
    beside = {path.name, f"{path.name}.sha256"} if FORMATS[name].suffix else {path.name}
    assert {one.name for one in tmp_path.iterdir()} == beside
    if FORMATS[name].suffix:
        assert store.verify(path) == store.content_hash(path)
    assert any("already" in fault for fault in check(name, given, path))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_samples_without_labels_and_none_at_all_are_written_too(tmp_path, name, kind):
    plain = SampleSet(samples_of(kind).data)
    for many in (ROWS, 0):
        path = tmp_path / f"out{many}{FORMATS[name].suffix}"
        FORMATS[name].write(Given(SampleSet(plain.data[:many]), ORIGIN), path)
        assert path.exists()


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_write_that_fails_leaves_nothing(tmp_path, name, kind, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        FORMATS[name].write(Given(samples_of(kind), ORIGIN), tmp_path / f"out{FORMATS[name].suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if "images" in one.takes])
def test_the_same_samples_give_the_same_bytes(tmp_path, name):
    for place in ("one", "two"):
        FORMATS[name].write(Given(samples_of("images"), ORIGIN), tmp_path / place)
    one, two = (_bytes_of(tmp_path / place) for place in ("one", "two"))
    assert one == two


def _bytes_of(place):
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    return [file.read_bytes() for file in files]


def test_parquet_goes_by_groups_of_rows_and_tells_its_features_and_origin(tmp_path):
    many = BATCH_ROWS + 5
    samples = SampleSet(np.zeros((many, 1, 1, 1), np.uint8), np.arange(many) % 4)
    FORMATS["parquet"].write(Given(samples, ORIGIN), tmp_path / "out.parquet")
    file = pyarrow.parquet.ParquetFile(tmp_path / "out.parquet")
    assert file.metadata.num_row_groups == 2 and file.metadata.num_rows == many
    told = {key.decode(): json.loads(text) for key, text in file.schema_arrow.metadata.items()}
    assert told["huggingface"]["info"]["features"] == {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": ["0", "1", "2", "3"]},
    }
    origin = {"study": "loop", "arm": "fresh", "seed": "2", "generation": "3"}
    assert told["collapselab"] == {"origin": origin, "generated": True}
    last = file.read()["image"][many - 1].as_py()
    assert last["path"] == f"00001/img{many - 1:08d}.png"
    assert read_told(last["bytes"]) == origin | {"index": str(many - 1), "digital_source_type": GENERATED}


def test_datasets_reads_the_parquet_and_the_imagefolder(tmp_path, monkeypatch):
    datasets = pytest.importorskip(
        "datasets", reason="the package `datasets` is not here; pyarrow reads the same files"
    )
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    samples, cache = samples_of("images"), str(tmp_path / "cache")
    FORMATS["parquet"].write(Given(samples, ORIGIN), tmp_path / "out.parquet")
    FORMATS["imagefolder"].write(Given(samples, ORIGIN), tmp_path / "out")
    table = datasets.load_dataset("parquet", data_files=str(tmp_path / "out.parquet"), split="train", cache_dir=cache)
    folder = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"), split="train", cache_dir=cache)
    for found in (table, folder):
        assert len(found) == ROWS
        for row in range(ROWS):
            np.testing.assert_array_equal(np.asarray(found[row]["image"]).transpose(2, 0, 1), samples.data[row])
            assert found[row]["label"] == samples.labels[row]
            np.testing.assert_array_equal(np.float32(found[row]["path"]), samples.aux["path"][row])
    assert table.features["label"].names == ["0", "1", "2"]


def test_faults_say_what_is_allowed(tmp_path):
    vectors, images = samples_of("vectors"), samples_of("images")
    assert list(check("zip", Given(vectors, ORIGIN), tmp_path / "a")) == [
        "format: 'zip' holds images, and these are vectors; allowed with vectors are parquet, csv, safetensors"
    ]
    four = SampleSet(np.zeros((2, 4, 3, 3), np.uint8))
    assert "these have 4; allowed is safetensors" in next(check("parquet", Given(four, ORIGIN), tmp_path / "a"))
    assert list(check("safetensors", Given(four, ORIGIN), tmp_path / "a")) == []
    minus = SampleSet(images.data, images.labels - 1)
    assert "found is -1; allowed: imagefolder" in next(check("folder", Given(minus, ORIGIN), tmp_path / "a"))
    (tmp_path / "there").mkdir()
    found = list(check("safetensors", Given(images, ORIGIN, signer=object()), tmp_path / "there"))
    assert len(found) == 2 and "signed are PNG files" in found[0] and "is there already" in found[1]


def test_a_manifest_finds_what_changed_what_is_lacking_and_what_is_new(tmp_path):
    FORMATS["folder"].write(Given(samples_of("images"), ORIGIN), tmp_path / "out")
    assert list(unlike_manifest(tmp_path / "out")) == []
    files = sorted((tmp_path / "out").rglob("*.png"))
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-1])
    (tmp_path / "out" / "new.png").write_bytes(b"")
    said = list(unlike_manifest(tmp_path / "out"))
    assert [one.partition(": ")[2] for one in said] == [
        "is lacking, and manifest.json lists it",
        "has changed since manifest.json was written",
        "is not in manifest.json",
    ]
    (tmp_path / "out" / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match="is no manifest of pictures"):
        list(unlike_manifest(tmp_path / "out"))


def test_a_zip_has_its_manifest_and_only_if_it_tells_where_it_is_from(tmp_path):
    FORMATS["zip"].write(Given(samples_of("images"), ORIGIN), tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["origin"] == ORIGIN.plain and manifest["generated"] is True
    assert [one["index"] for one in manifest["pictures"]] == list(range(ROWS))


def test_a_folder_that_a_killed_writer_left_is_swept_and_a_users_stays(tmp_path):
    gone = 2**22 - 1
    (tmp_path / f".out.{gone}.tmp").mkdir()
    (tmp_path / f".out.{gone}.tmp" / "half.png").write_bytes(b"half")
    (tmp_path / ".other.tmp").mkdir()
    FORMATS["folder"].write(Given(samples_of("images"), ORIGIN), tmp_path / "out")
    assert {one.name for one in tmp_path.iterdir()} == {"out", ".other.tmp"}
