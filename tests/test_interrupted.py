"""A driver on this machine that is asked to end: what becomes of the jobs that it runs."""

import os
import shutil
import signal
import subprocess
import time

import pytest
from project import Project, said

from collapselab.store import beats

LONG = """
name: long
seeds: 1
generations: 0
data: {source: digits, split: {train: 400, held_out: 100}}
models: {tiny: {diffusion: {preset: tiny}}}
initial: {real: 400}
train: {images_seen: IMAGES}
samples: 8
extractors: [pixels]
metrics: [variance_ratio]
primary: {metric: variance_ratio, extractor: pixels}
control: none
arms: {alone: {model: tiny, regime: fully_synthetic}}
"""
MODEL = "results/long/base_tiny/seed0/gen0/model.safetensors"
SAMPLES = "results/long/alone/seed0/gen0/samples.safetensors"
PATIENCE_S = 300.0  # for what takes seconds where nobody else is at work


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A project with a training of half a minute or so, whose real data is there."""
    project = Project.create(tmp_path_factory.mktemp("long") / "project")
    (project.folder / "config/long.yaml").write_text(LONG.replace("IMAGES", "120000"))
    project.run("snakemake", "--cores", 1, "--config", "study=long", "--until", "prepare", timeout=600)
    return project


def until(condition, what):
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def heeding():
    """What a shell runs in the background ignores SIGINT, and so would all that is started here."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(project):
    """A driver with a process group of its own, whose training has begun and has told how far it is."""
    command = ["snakemake", "--cores", "1", "--config", "study=long", "--", SAMPLES]
    log = open(project.folder / "driver.log", "w", encoding="utf-8")  # noqa: SIM115
    driver = subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.environment,
        start_new_session=True,
        stdout=log,
        stderr=log,
        preexec_fn=heeding,
    )
    sign = beats.beat_path(project.folder / MODEL)

    def begun():
        found = beats.sign_in(sign, time.time())
        return driver.poll() is not None or (found is not None and (found.beat.done or 0) > 0)

    until(begun, "the training has not begun")
    assert driver.poll() is None, (project.folder / "driver.log").read_text()
    return driver, sign


def ended(driver, sign):
    """The exit code of a driver that ends, after the signs of life of its jobs have gone, too."""
    code = driver.wait(PATIENCE_S)
    until(lambda: not sign.exists(), "the job goes on, or has left its sign of life")
    return code


@pytest.mark.slow
def test_a_driver_that_is_terminated_waits_for_its_jobs_and_begins_no_other(long, tmp_path):
    project = long.copy(tmp_path / "project")
    driver, sign = started(project)
    driver.send_signal(signal.SIGTERM)
    assert ended(driver, sign) != 0
    assert (project.folder / MODEL).exists() and (project.folder / f"{MODEL}.sha256").exists()
    assert not (project.folder / SAMPLES).exists()
    assert project.plan(SAMPLES, study="long") == {"sample": 1}  # no unlocking, and nothing is trained again


@pytest.mark.slow
def test_a_driver_that_alone_is_interrupted_lets_its_jobs_end_and_nothing_is_trained_twice(long, tmp_path):
    project = long.copy(tmp_path / "project")
    driver, sign = started(project)
    driver.send_signal(signal.SIGINT)
    assert ended(driver, sign) != 0
    assert (project.folder / f"{MODEL}.sha256").exists() and not (project.folder / SAMPLES).exists()
    # Nobody has noted that the job had ended, so that it is planned again; the model that it had made is put back.
    before = (project.folder / f"{MODEL}.sha256").read_text()
    project.run("snakemake", "--cores", 1, "--config", "study=long", "--", MODEL, timeout=900)
    assert (project.folder / f"{MODEL}.sha256").read_text() == before
    assert "images_seen" not in (project.folder / "logs/long/base_tiny/seed0/gen0/train.log").read_text()


@pytest.mark.slow
def test_trainings_that_are_interrupted_with_their_driver_save_their_state(long, tmp_path):
    project = long.copy(tmp_path / "project")
    driver, sign = started(project)
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
    assert ended(driver, sign) != 0
    assert not (project.folder / MODEL).exists()
    state = (project.folder / MODEL).with_name(".model.training")
    assert any(state.iterdir())
    done = project.run("snakemake", "--cores", 1, "--config", "study=long", "--", MODEL, timeout=900)
    assert "Nothing to be done" not in said(done) and not state.exists()
    again = Project.create(tmp_path / "again")
    shutil.copy(project.folder / "config/long.yaml", again.folder / "config/long.yaml")
    shutil.copytree(project.folder / "results/real", again.folder / "results/real")
    again.run("snakemake", "--cores", 1, "--config", "study=long", "--", MODEL, timeout=900)
    hashes = [(one.folder / f"{MODEL}.sha256").read_text() for one in (project, again)]
    assert hashes[0] == hashes[1]
