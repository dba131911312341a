"""What was made whole is never lost: it is put back where a workflow deletes it to run its job again."""

import json
import os

import numpy as np
import pytest
from test_cli import BEGIN, WHERE, diffusion, run

from collapselab import store
from collapselab.store import kept

MADE = {"verb": "train", "options": {"width": 3}, "inputs": {"a": "1"}}


@pytest.fixture
def file(tmp_path):
    """A written file of tensors, kept."""
    path = tmp_path / "model.safetensors"
    store.write_tensors(path, {"x": np.arange(100.0)}, {})
    kept.keep(path, kept.identity(**MADE), {"compute_cpu_seconds": 3.5})
    return path


def delete(path):
    """As a workflow deletes an output: the file and its hash."""
    path.unlink()
    store.hash_path(path).unlink()


def test_a_deleted_file_is_put_back_with_its_bits_and_its_hash(file):
    before = file.read_bytes(), store.hash_path(file).read_bytes()
    assert os.stat(file).st_nlink == 2  # no byte of room
    delete(file)
    assert kept.again(file, kept.identity(**MADE)) == {"compute_cpu_seconds": 3.5}
    assert (file.read_bytes(), store.hash_path(file).read_bytes()) == before
    assert store.verify(file)
    delete(file)
    assert kept.again(file, kept.identity(**MADE))  # and as often as one likes
    assert kept.again(file, kept.identity(**MADE))  # also where it is there
    assert sorted(path.name for path in file.parent.iterdir()) == [
        ".model.safetensors.whole",
        ".model.safetensors.whole.json",
        "model.safetensors",
        "model.safetensors.sha256",
    ]


@pytest.mark.parametrize(
    "other",
    [MADE | {"verb": "adapt"}, MADE | {"options": {"width": 4}}, MADE | {"inputs": {"a": "2"}}, MADE | {"more": None}],
    ids=lambda other: json.dumps(other),
)
def test_what_is_made_from_anything_else_is_made(file, other):
    delete(file)
    assert kept.again(file, kept.identity(**other)) is None and not file.exists()


def test_a_damaged_one_and_half_a_note_are_of_no_use(file):
    delete(file)
    link, note = file.with_name(f".{file.name}.whole"), file.with_name(f".{file.name}.whole.json")
    whole, said = bytearray(link.read_bytes()), note.read_bytes()
    whole[len(whole) // 2] ^= 1
    link.write_bytes(whole)
    assert kept.again(file, kept.identity(**MADE)) is None
    whole[len(whole) // 2] ^= 1
    link.write_bytes(whole)
    for damaged in (said[:20], b"[]", b'"x"', b"{}", b'{"identity": 3}', b"\xff"):
        note.write_bytes(damaged)
        assert kept.again(file, kept.identity(**MADE)) is None
    note.write_bytes(said)
    assert kept.again(file, kept.identity(**MADE)) is not None


def test_another_file_takes_its_place_and_what_is_forgotten_takes_no_room(file):
    store.write_tensors(file, {"x": np.arange(5.0)}, {})
    kept.keep(file, kept.identity(**MADE, second=1), {})
    delete(file)
    assert kept.again(file, kept.identity(**MADE)) is None
    assert kept.again(file, kept.identity(**MADE, second=1)) == {}
    kept.forget(file)
    assert os.stat(file).st_nlink == 1
    delete(file)
    assert not list(file.parent.iterdir())
    kept.forget(file)


def test_a_file_system_without_hard_links_keeps_nothing_and_fails_nothing(tmp_path, monkeypatch):
    def refused(*names, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "model.safetensors"
    store.write_tensors(path, {"x": np.arange(3.0)}, {})
    kept.keep(path, "one", {})
    delete(path)
    assert kept.again(path, "one") is None and not list(tmp_path.iterdir())


def test_what_a_whole_run_has_kept_below_a_folder_is_forgotten(file):
    kept.forget_below(file.parent.parent)
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, f"{file.name}.sha256"]


# -- at the command line -----------------------------------------------------------------------------------------------

MODEL, SAMPLES = "results/x/model.safetensors", "results/x/samples.safetensors"
SAMPLE = f"sample --model {MODEL} --count 20 {WHERE} --generation 0 --out {SAMPLES}"
TRAIN = diffusion(MODEL, images_seen=32 * 40)


@pytest.mark.slow
@pytest.mark.trained
def test_a_training_and_samples_that_were_whole_are_put_back_at_once_with_their_costs(tmp_path):
    """As after a job that failed behind them: the workflow deletes what it had made, and runs all of it again."""
    run(BEGIN, tmp_path)
    model = tmp_path / MODEL
    run(f"--cost cost.json {TRAIN}", tmp_path)
    first, cost = model.read_bytes(), store.read_json(tmp_path / "cost.json")
    delete(model)
    text = run(f"--cost cost.json {TRAIN} + {SAMPLE}", tmp_path)
    assert text.count("it is put back") == 1 and model.read_bytes() == first
    again = store.read_json(tmp_path / "cost.json")
    assert again["images_seen"] == cost["images_seen"] and again["compute_wall_seconds"] >= cost["compute_wall_seconds"]
    samples = (tmp_path / SAMPLES).read_bytes()
    delete(tmp_path / SAMPLES)
    delete(model)
    assert run(f"{TRAIN} + {SAMPLE}", tmp_path).count("it is put back") == 2
    assert (tmp_path / SAMPLES).read_bytes() == samples and model.read_bytes() == first

    # Others are made: more of them, of a training of more images, or of other rows.
    delete(model)
    other = TRAIN.replace(json.dumps(32 * 40), json.dumps(32 * 41))
    fewer = BEGIN.split(" + ")[1].replace('"fixed", 0, 96', '"fixed", 0, 64')
    text = run(f"{other} + {SAMPLE.replace('--count 20', '--count 21')}", tmp_path)
    delete(model)
    text += run(f"{fewer} + {other}", tmp_path)
    assert "it is put back" not in text
