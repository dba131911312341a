"""Which GPU a job takes: of N jobs on N GPUs each has its own, and where places are counted the next one waits."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from collapselab import store
from collapselab.cli import run as frame
from collapselab.cli import work
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.features import FEATURES
from collapselab.machine import turns
from collapselab.models import MODELS
from collapselab.models.files import write_model

JOB = """
import sys
from collapselab.machine import turns
print(turns.take(sys.argv[2:], int(sys.argv[1]) or None, lambda: print("waits", flush=True)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a job that takes a GPU and keeps it until it is killed; what it says comes line by line."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    started = []

    def begin(*words, **environment):
        command = [sys.executable, "-c", JOB, *map(str, words)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=os.environ | environment, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def says(process):
    return process.stdout.readline().strip()


def test_each_of_as_many_jobs_as_gpus_has_its_own_and_further_ones_spread(start):
    assert sorted(says(start(0, "0", "1", "2")) for _ in range(3)) == ["0", "1", "2"]
    assert sorted(says(start(0, "0", "1", "2")) for _ in range(3)) == ["0", "1", "2"]


def test_where_places_are_counted_the_next_waits_until_one_is_killed(start):
    first, second = start(1, "0", "GPU-a/b"), start(1, "0", "GPU-a/b")
    taken = {says(first): first, says(second): second}
    assert sorted(taken) == ["0", "GPU-a/b"]
    third = start(1, "0", "GPU-a/b")
    assert says(third) == "waits"
    taken["GPU-a/b"].kill()
    assert says(third) == "GPU-a/b"


def test_jobs_of_slurm_have_gpus_of_their_own_and_their_parts_take_turns(start):
    """Slurm counts the GPUs of each job from 0: those of two jobs are not the same."""
    assert says(start(1, "0", SLURM_JOB_ID="7")) == "0"
    assert says(start(1, "0", SLURM_JOB_ID="8")) == "0"
    assert says(start(1, "0", SLURM_JOB_ID="8")) == "waits"


def test_where_there_is_no_gpu_none_is_taken():
    assert turns.take([], 1) is None


def test_places_are_said_by_the_environment(monkeypatch):
    monkeypatch.delenv(turns.VARIABLE, raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert turns.places() is None
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    assert turns.places() == 1
    monkeypatch.setenv(turns.VARIABLE, "3")
    assert turns.places() == 3
    for wrong in ("0", "-1", "two", "²"):
        monkeypatch.setenv(turns.VARIABLE, wrong)
        with pytest.raises(ValueError, match=f"COLLAPSELAB_JOBS_A_GPU: found '{wrong}', allowed are numbers from 1"):
            turns.places()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "0"),
        ({"COLLAPSELAB_DEVICE": "cuda"}, "0"),
        ({"COLLAPSELAB_DEVICE": "cuda:1"}, "0,1"),
        ({"COLLAPSELAB_DEVICE": "cpu"}, "0,1"),
        ({"COLLAPSELAB_PROCESSES": "2"}, "0,1"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "0,1"),
    ],
)
def test_a_process_is_kept_to_one_gpu_unless_its_device_is_named_or_it_has_several(
    tmp_path, monkeypatch, environment, expected
):
    for name in ("COLLAPSELAB_DEVICE", "COLLAPSELAB_PROCESSES", "WORLD_SIZE", "RANK", "SLURM_JOB_ID", turns.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(work, "_taken", [])
    monkeypatch.setattr(turns, "_held", [])
    monkeypatch.setenv(turns.VISIBLE, "0,1")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    work.take_gpu()
    assert os.environ[turns.VISIBLE] == expected
    for descriptor in turns._held:
        os.close(descriptor)


class Asked(Exception):
    """A GPU was asked for."""


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Rows, and a network that has made some; whoever asks for a GPU raises."""
    monkeypatch.chdir(tmp_path)
    digits = SampleSet(np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), np.uint8), np.arange(20) % 2)
    store.write_samples(Path("digits.safetensors"), digits)
    training = TrainingSet(np.random.default_rng(0).normal(size=(20, 2)), None, np.ones(20))
    options = MODELS["flow"].Options.model_validate({"transforms": 1, "hidden": 4, "batch": 4})
    model = MODELS["flow"].fit(training, options, Run(0, images_seen=8))
    store.write_tensors(Path("lenet.safetensors"), {}, {"extractor": "lenet"})
    write_model(Path("flow.safetensors"), "flow", model, {})
    store.write_samples(Path("points.safetensors"), SampleSet(training.data))

    def asked():
        raise Asked

    monkeypatch.setattr(work, "take_gpu", asked)


WHERE = ["--study-seed", "1", "--seed", "0", "--generation", "0", "--out", "out"]
POINTS = ["select", "--samples", "points.safetensors", *WHERE]
PIXELS = ["--samples", "digits.safetensors", "--train", "digits.safetensors", "--extractor", "pixels", *WHERE]
LEARN = ["learn", "--train", "digits.safetensors", "--held-out", "digits.safetensors", "--out", "out"]
LOOKING = {
    "select, by a model": [*POINTS, "--model", "flow.safetensors", "--selectors", '[{"likelihood": {"share": 0.5}}]'],
    "select, by what it looks through": [
        *("select", *PIXELS, "--selectors", '[{"realism": {"share": 0.5, "extractor": "pixels"}}]')
    ],
    "transform": [
        *("transform", "--samples", "digits.safetensors", "--train", "digits.safetensors", *WHERE),
        *("--extractor", "lenet=lenet.safetensors", "--transforms", '[{"relabel": {"extractor": "lenet"}}]'),
    ],
    "learn": [*LEARN, "--extractor", "lenet"],
}


@pytest.mark.parametrize("words", LOOKING.values(), ids=LOOKING)
def test_who_looks_with_a_network_takes_its_turn(rows, monkeypatch, words):
    for name in ("pixels", "lenet"):  # as if they were networks on the device: those that are have to be fetched
        monkeypatch.setitem(FEATURES, name, dataclasses.replace(FEATURES[name], uses_torch=True))
    with pytest.raises(Asked):
        frame.run(words)


def test_who_looks_without_one_asks_for_none(rows):
    assert frame.run([*POINTS, "--selectors", '[{"random": {"share": 0.5}}]']) == 0
