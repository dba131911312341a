"""collapselab in Python: the command's numbers, words and faults, from paths, arrays and tensors."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import collapselab
from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.images import RANGES, from_range
from collapselab.core.sets import SampleSet
from collapselab.data.export import export_folder, export_zip
from collapselab.data.formats import FORMATS, Given
from collapselab.data.provenance import Origin
from collapselab.features import FEATURES, Features
from collapselab.library import measure_sets

METRICS = ["frechet_distance", "recall", "precision"]


@pytest.fixture(scope="module")
def images():
    """Two sets of grey images and a third, (n, 1, 8, 8) uint8, whose marginals differ a little."""
    random = np.random.default_rng(0)
    return [
        random.binomial(255, 0.3 + 0.1 * shift, (n, 1, 8, 8)).astype(np.uint8) for shift, n in enumerate((60, 70, 80))
    ]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """The same in every format that is measured, in a folder."""
    place = tmp_path_factory.mktemp("library")
    fake, real, train = (SampleSet(data) for data in images)
    export_folder(fake, place / "fake")
    export_zip(real, place / "real.zip")
    np.save(place / "train.npy", train.data)
    for name, one in {"fake": fake, "real": real}.items():
        FORMATS["parquet"].write(Given(one, Origin()), place / f"{name}.parquet")
        store.write_samples(place / f"{name}.safetensors", one)
        np.savez(place / f"{name}.npz", images=one.data)
    return place


def command(words, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert frame.run(["measure", *words, "--out", "record.json"]) == 0
    return json.loads((place / "record.json").read_text()), capsys.readouterr().out


def test_the_record_and_the_words_are_those_of_the_command(folder, tmp_path, monkeypatch, capsys):
    words = ["fake", "--against", "real.zip", "--train", "train.npy", "--extractor", "pixels", "--count", "50"]
    asked = [*words, *(f"--metric={name}" for name in METRICS[:2]), '--metric=precision={"k": 3}']
    record, said = command(asked, folder, monkeypatch, capsys)
    metric = {"frechet_distance": None, "recall": {}, "precision": {"k": 3}}
    found = measure_sets("fake", "real.zip", train="train.npy", extractor="pixels", metric=metric, count=50)
    made = json.loads(json.dumps(found.to_dict()))
    assert (
        record.items() >= made.items() and record["values"] == made["values"]
    )  # bit for bit; a file has a stamp beside
    assert str(found) == repr(found) == said.rstrip("\n") and "real data" in said
    assert "fake" in found._repr_html_() and "frechet_distance" in found._repr_html_()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".parquet"])
def test_a_format_changes_no_number(folder, images, suffix):
    arrays = measure_sets(*images[:2], extractor="pixels", metric=METRICS)
    found = measure_sets(folder / f"fake{suffix}", str(folder / f"real{suffix}"), extractor=["pixels"], metric=METRICS)
    assert [found[name] for name in METRICS] == [arrays[name] for name in METRICS]


FORMS = {
    "channels last": (lambda data: data.transpose(0, 2, 3, 1), None),
    "no channels": (lambda data: data[:, 0], None),
    "0 to 1": (lambda data: data / 255, (0, 1)),
    "-1 to 1, single": (lambda data: (data / 127.5 - 1).astype(np.float32), (-1, 1)),
    "0 to 255 as numbers": (lambda data: data.astype(np.int64), (0, 255)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("as_tensors", [False, True], ids=["numpy", "torch"])
def test_images_in_any_form_are_the_same_images(images, form, as_tensors):
    torch = pytest.importorskip("torch")
    change, value_range = FORMS[form]
    given = [change(data) for data in images[:2]]
    given = [torch.tensor(one) for one in given] if as_tensors else given
    found = measure_sets(*given, extractor="pixels", metric=METRICS, value_range=value_range)
    expected = measure_sets(*images[:2], extractor="pixels", metric=METRICS)
    assert found.to_dict() == expected.to_dict()


@pytest.mark.parametrize("value_range", RANGES)
def test_every_level_of_every_range_comes_back(value_range):
    low, high = value_range
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert (from_range(low + levels / 255 * (high - low), value_range) == levels).all()


def test_vectors_are_measured_as_they_are_and_their_features_are_they_themselves():
    real, fake = np.random.default_rng(1).normal(size=(2, 80, 3))
    found = collapselab.measure_sets(fake, real, metric=METRICS)
    assert found["frechet_distance"] == collapselab.metrics.frechet_distance(real, fake)
    assert found["identity", "recall"] == float(collapselab.metrics.recall(real, fake))
    assert (collapselab.features_of(fake, "identity").values == fake).all()


def test_features_are_those_of_the_extractor(images, folder):
    for given in (images[0], folder / "fake", folder / "fake.parquet"):
        found = collapselab.features_of(given, "random-conv")
        assert isinstance(found, Features)
        assert (found.values == FEATURES["random-conv"].extract(images[0]).values).all()
    rows = collapselab.features_of(images[0], "pixels", count=7, seed=3).values
    assert len(rows) == 7 and not (rows == FEATURES["pixels"].extract(images[0][:7]).values).all()


def test_a_result_is_a_table_and_a_score_for_each_sample(folder):
    found = measure_sets(folder / "fake", folder / "real.zip", extractor=["pixels", "random-conv"], metric=METRICS)
    table = found.to_frame()
    assert list(table) == ["set", "extractor", "metric", "value", "low", "high", "better", "reason"]
    assert len(table) == 6 and set(table["better"]) == {"lower", "higher"}
    one = table[(table.extractor == "pixels") & (table.metric == "recall")].iloc[0]
    assert one["value"] == found["pixels", "recall"] and one["low"] <= one["value"] <= one["high"]
    with pytest.raises(KeyError, match=r"several of 'recall'; there are \('pixels', 'recall'\), \('random-conv'"):
        found["recall"]
    with pytest.raises(KeyError, match="none of 'fid'"):
        found["fid"]
    scores = found.scores_frame()
    assert len(scores) == 60 and "realism.pixels" in scores and scores.index[0].endswith(".png")


def test_what_has_no_value_says_why():
    found = measure_sets(np.array([[0.0], [1.0]]), np.ones((5, 1)), metric="variance_ratio")
    assert found["variance_ratio"] is None
    assert found.to_frame()["value"].isna().all() and "equal" in found.to_frame()["reason"][0]


# -- faults ------------------------------------------------------------------------------------------------------------

IMAGES = np.zeros((4, 8, 8, 3))
FAULTS = {
    "an extractor": (
        {"extractor": "pixel"},
        r"^extractor: found 'pixel' \(did you mean 'pixels'\?\); allowed: identity, pixels",
    ),
    "a metric": (
        {"metric": ["recal"]},
        r"^metric: found 'recal' \(did you mean 'recall'\?\); allowed: frechet_distance",
    ),
    "an option": ({"metric": {"recall": {"k": 0}}}, r"^metric recall: k: found 0; should be greater"),
    "no options": ({"metric": {"recall": 3}}, r"^metric recall: found 3, allowed are options by name"),
    "twice": ({"metric": ["recall", "recall"]}, r"^metric: found 'recall' more than once"),
    "what needs train": ({"metric": "authenticity"}, r"^metric: 'authenticity' needs --train"),
    "a count": ({"count": 1}, r"^count: found 1; allowed are whole numbers from 2"),
    "a seed": ({"seed": -1}, r"^seed: found -1; allowed are whole numbers from 0"),
    "channels": ({"channels": 2}, r"^channels: found 2; allowed: 1, 3"),
    "a crop": ({"crop": "middle"}, r"^crop: found 'middle'; allowed: none, centre"),
    "a resolution of arrays": ({"resolution": 4}, r"samples: found an array and a resolution of 4"),
    "no file": ({"samples": "nowhere.zip"}, r"nowhere.zip"),
    "a list": ({"samples": [[1.0]]}, r"^samples: found list, allowed are a path, a numpy array and a torch tensor"),
    "images without a range": ({"samples": IMAGES}, r"^samples: found images of float64 without value_range"),
    "another range": ({"samples": IMAGES, "value_range": (0, 2)}, r"value_range: found \(0, 2\), allowed are \(0, 1\)"),
    "beyond it": ({"samples": IMAGES + 2, "value_range": (0, 1)}, r"^samples: found numbers from 2 to 2, allowed are"),
    "no numbers": ({"samples": IMAGES * np.nan, "value_range": (0, 1)}, r"^samples: found numbers from nan to nan"),
    "other kinds": (
        {"samples": IMAGES.astype(np.uint8)},
        r"samples holds images; against holds vectors: allowed is one",
    ),
    "five axes": (
        {"samples": np.zeros((1, 1, 1, 1, 1))},
        r"samples: found float64 of shape \(1, 1, 1, 1, 1\); allowed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_value_error_in_the_command_s_words(fault):
    said, words = FAULTS[fault]
    given = {"samples": np.zeros((9, 2)), "against": np.ones((9, 2)), **said}
    with pytest.raises((ValueError, OSError), match=words):
        measure_sets(**given)


def test_faults_of_all_sets_are_told_together():
    with pytest.raises(ValueError, match=r"(?s)samples: found images.*against: found images"):
        measure_sets(IMAGES, IMAGES)


def test_parquet_files_of_others_are_read_or_refused_with_what_is_wrong(tmp_path):
    def written(name, **columns):
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / name)
        return tmp_path / name

    vectors = np.random.default_rng(2).normal(size=(9, 2))
    lists = written("lists.parquet", vector=vectors.tolist(), label=list(range(9)))
    assert (collapselab.features_of(lists, "identity").values == vectors).all()
    png = tmp_path / "a.png"
    Image.new("RGB", (4, 4), (255, 0, 0)).save(png)
    small = tmp_path / "b.png"
    Image.new("RGB", (2, 2)).save(small)
    bytes_alone = written("bytes.parquet", image=[png.read_bytes()])
    assert collapselab.features_of(bytes_alone, "pixels").values.shape == (1, 48)
    faults = {
        "columns x; allowed is one of image, vector, category": written("x.parquet", x=[1]),
        "lists of several lengths": written("ragged.parquet", vector=[[1.0], [1.0, 2.0]]),
        "2 rows without a value": written("nulls.parquet", category=pyarrow.array([None, None, 1], pyarrow.int64())),
        "images of the type string": written("words.parquet", image=["a.png"]),
        "'row 1': is neither PNG nor JPEG": written("broken.parquet", image=[png.read_bytes(), b"no picture"]),
        "row 1: found pictures of 4 x 4 and 2 x 2": written(
            "sizes.parquet", image=[png.read_bytes(), small.read_bytes()]
        ),
    }
    (tmp_path / "no.parquet").write_bytes(b"PAR1 or not")
    for words, path in {**faults, "cannot be read as a Parquet file": tmp_path / "no.parquet"}.items():
        with pytest.raises(ValueError, match=words) as found:
            collapselab.features_of(path, "identity")
        assert path.name in str(found.value)


# -- importing ---------------------------------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_and_measuring_vectors_no_network():
    code = """
import sys, collapselab
assert {"measure_sets", "features_of", "metrics"} <= set(dir(collapselab))
heavy = {"numpy", "torch", "scipy", "pandas", "typer", "PIL", "sklearn", "pyarrow"}
print(sorted(heavy & sys.modules.keys()))
import numpy
collapselab.measure_sets(numpy.eye(9), numpy.eye(9)[::-1] * 2, metric="recall")
print(sorted({"torch", "pandas", "fastapi", "mlflow"} & sys.modules.keys()))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["[]", "[]"]
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = collapselab.nothing
