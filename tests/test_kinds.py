"""What kinds of data there are, and that files say which they hold."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from collapselab.cli import alone, measure
from collapselab.core.errors import Damaged
from collapselab.core.kinds import KINDS, KindName, kind_of, kind_of_shape
from collapselab.core.sets import SampleSet
from collapselab.features import FEATURES
from collapselab.store import read_samples, read_tensors, write_samples, write_tensors

DATA = {
    "images": np.arange(96, dtype=np.uint8).reshape(2, 3, 4, 4),
    "vectors": np.linspace(-2, 2, 6).reshape(3, 2),
    "categories": np.array([0, 2, 1]),
    "sequences": np.array([[0, 2, 1], [2, 2, 0]], np.int32),
    "audio": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 4, 3),
}


def test_every_kind_has_its_name_and_is_told_from_the_others():
    assert set(KINDS) == set(DATA) == set(get_args(KindName))
    for name, kind in KINDS.items():
        assert kind.name == name
        assert [other for other in DATA if kind.holds(DATA[other])] == [name]
        assert kind_of(DATA[name]) == name
        # Of a shape alone nobody tells tokens from numbers: it is asked by families that take no sequences.
        assert kind_of_shape(DATA[name].shape[1:]) == ("vectors" if name == "sequences" else name)
    assert kind_of(np.zeros((2, 3), np.float32)) == "vectors"


@pytest.mark.parametrize(
    "data",
    [
        np.empty(0),
        np.zeros((2, 3), np.uint8),
        np.zeros((2, 3, 3), np.uint8),
        np.zeros(3, np.int32),
        np.zeros((2, 2), "i8"),
    ],
    ids=lambda data: f"{data.dtype} {data.shape}",
)
def test_other_data_are_of_no_kind(data):
    assert kind_of(data) is None and SampleSet(data).kind is None


def test_a_shape_of_no_kind_is_refused():
    with pytest.raises(
        ValueError, match=r"found \(4, 4, 4, 4\), allowed are \(C, H, W\), \(d,\), \(\) and \(bands, frames\)"
    ):
        kind_of_shape((4, 4, 4, 4))


@pytest.mark.parametrize("name", KINDS)
def test_numbers_that_models_compute_with_become_the_same_data_again(name):
    kind, data = KINDS[name], DATA[name]
    np.testing.assert_array_equal(kind.from_unit(kind.to_unit(data)), data)
    assert kind.row_bytes(data.shape[1:]) * len(data) == data.nbytes


@pytest.mark.parametrize("name", KINDS)
def test_a_file_says_the_kind_of_its_samples(tmp_path, name):
    write_samples(tmp_path / "file", SampleSet(DATA[name]))
    assert read_tensors(tmp_path / "file")[1]["kind"] == name
    assert read_samples(tmp_path / "file").kind == name


@pytest.mark.parametrize("name", KINDS)
def test_files_that_say_no_kind_are_read_as_what_their_numbers_are(tmp_path, name, monkeypatch):
    monkeypatch.setattr("collapselab.store.bytes.FORMAT", 1)
    write_tensors(tmp_path / "file", {"data": DATA[name]}, {"lineage": {}})
    monkeypatch.undo()
    assert read_samples(tmp_path / "file").kind == name


@pytest.mark.parametrize("said", ["vectors", "sounds", ["images"]])
def test_samples_are_of_the_kind_that_is_said(tmp_path, said):
    with pytest.raises((ValueError, TypeError)):
        replace(SampleSet(DATA["images"]), kind=said)
    write_tensors(tmp_path / "file", {"data": DATA["images"]}, {"lineage": {}, "kind": said})
    with pytest.raises(Damaged, match="holds no samples"):
        read_samples(tmp_path / "file")


@pytest.mark.parametrize("table", [measure.USUAL, alone.MEASURED_IN], ids=["measure", "adapt"])
def test_every_kind_has_an_extractor_where_none_is_asked_for(table):
    assert table.keys() == KINDS.keys()
    for kind, names in table.items():
        assert all(kind in FEATURES[name].takes for name in ([names] if isinstance(names, str) else names))
