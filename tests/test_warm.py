"""A warm process works for jobs: to the same bits, with their signals, and not where it does not suit."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from project import ENVIRONMENT, ROOT
from test_cli import BEGIN, CHAIN, SAMPLING, diffusion

from collapselab import store
from collapselab.cli import warm
from collapselab.cli.handing import NOTHING, PLACE
from collapselab.store import provenance

DRIVER = "from collapselab.cli import warm; warm.start(); import os; print(os.environ[warm.PLACE], flush=True); input()"


class Driver:
    """What starts a warm process, as the workflow does."""

    def __init__(self):
        self.began = time.monotonic()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | ENVIRONMENT | {"PATH": path, "PYTHONPATH": str(ROOT / "src")}
        self.environment |= {"COLLAPSELAB_CHECKPOINT_SECONDS": "0.05"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", DRIVER], env=self.environment, **pipes)
        self.place = self.process.stdout.readline().strip()

    def start(self, arguments, folder, **changes):
        command = [sys.executable, "-m", "collapselab", *shlex.split(arguments)]
        environment = self.environment | {PLACE: self.place} | changes
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=folder, env=environment, **pipes)

    def run(self, arguments, folder, code=0, **changes):
        process = self.start(arguments, folder, **changes)
        text = "".join(process.communicate(timeout=120))
        assert process.returncode == code and "Traceback" not in text, text
        return text

    def warm(self):
        """The numbers of the warm process, and of those that it has forked."""
        found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self.is_own(entry)]
        return sorted(found)

    def is_own(self, entry):
        try:
            return self.place.encode() in (entry / "cmdline").read_bytes()
        except OSError:
            return False

    def end(self):
        self.process.communicate("")


@pytest.fixture(scope="module")
def driver():
    found = Driver()
    yield found
    found.end()


@pytest.fixture(scope="module")
def begun(tmp_path_factory, driver):
    """A folder with a training set, made by each process for itself."""
    folder = tmp_path_factory.mktemp("begun")
    driver.run(BEGIN, folder, **{PLACE: NOTHING})
    return folder


def waited_for(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def hashes(folder):
    return {path.relative_to(folder): path.read_text() for path in folder.rglob("*.sha256") if "cost" not in path.name}


@pytest.mark.trained
def test_what_a_warm_process_makes_has_the_same_bits(begun, driver, tmp_path):
    words = f"{diffusion('model.safetensors', images_seen=640)} + {SAMPLING} --out samples.safetensors"
    for name, changes in (("warm", {}), ("alone", {PLACE: NOTHING})):
        shutil.copytree(begun, tmp_path / name)
        driver.run(words, tmp_path / name, **changes)
        (tmp_path / name / "law").mkdir()
        driver.run(f"--cost cost.json {CHAIN}", tmp_path / name / "law", **changes)
    assert len(hashes(tmp_path / "warm")) == 5 + 11 and hashes(tmp_path / "warm") == hashes(tmp_path / "alone")
    cost = store.read_json(tmp_path / "warm/law/cost.json")
    assert cost["compute_wall_seconds"] <= cost["wall_seconds"] < time.monotonic() - driver.began


FIRST = """
import os, sys
from pathlib import Path
from collapselab.cli import warm
warm.Warm(Path("warm"), None).suits(dict(os.environ))
from torch_families import MODELS, images, options_of
from collapselab.core.ask import Ask
from collapselab.core.run import Run
before, options = set(sys.modules), options_of("FAMILY")
model = MODELS["FAMILY"].fit(images(), options, Run(0, 16))
MODELS["FAMILY"].load(model.stored(), options).sample(Ask(4, 0))
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["diffusion", "flow", "gan", "vae"])
def test_a_job_of_a_small_network_imports_little_that_is_not_its_own(family, driver):
    """torch imports sympy, for .4 s of each job, where a network first has shapes and no values."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    command = [sys.executable, "-c", FIRST.replace("FAMILY", family)]
    found = subprocess.run(command, env=driver.environment | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert set(found.stdout.split()) <= {"collapselab", "torch", "zuko"}


def test_a_job_of_a_workflow_knows_the_hashes_that_jobs_before_it_have_found(begun, driver, tmp_path):
    """And leaves its own, warm or alone; where no workflow runs nothing is left."""
    folder = shutil.copytree(begun, tmp_path / "job")
    words = diffusion("model.safetensors", images_seen=32)
    driver.run(words, folder)
    assert not (folder / ".snakemake").exists()
    (folder / ".snakemake").mkdir()
    memory = folder / provenance.FOLDER / "hashes.json"
    driver.run(f"{words} + {SAMPLING} --out samples.safetensors", folder)
    before = json.loads(memory.read_text(encoding="utf-8"))
    roots = [key.split("|") for key in before["found"] if not key.endswith("|")]
    assert {root[0] for root in roots} == {"collapselab.models:MODELS[diffusion]", "collapselab.verbs.sample:sample"}
    assert all(before["found"]["|".join(root)] == provenance.source_hash(*root) for root in roots)
    other = {key: found if key.endswith("|") else "of before" for key, found in before["found"].items()}
    said = before | {"found": other}  # nobody finds it anew
    memory.write_text(json.dumps(said), encoding="utf-8")
    shutil.rmtree(folder / ".model.training", ignore_errors=True)
    driver.run(f"{words} + {SAMPLING} --out other.safetensors", folder)
    driver.run(words, folder, **{PLACE: NOTHING})
    assert json.loads(memory.read_text(encoding="utf-8")) == said


def test_words_and_codes_come_back(driver, tmp_path):
    assert "collapselab" in driver.run("--version", tmp_path)
    assert "no such file: none.safetensors" in driver.run(
        "sample --model none.safetensors --count 1 --study-seed 1 --seed 0 --generation 0 --out x", tmp_path, 2
    )


@pytest.mark.trained
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_a_job_reaches_what_works_for_it(begun, driver, tmp_path, number, code):
    options = {"images_seen": 32 * 600}
    folder = shutil.copytree(begun, tmp_path / "job")
    process = driver.start(diffusion("model.safetensors", **options), folder)
    state = folder / ".model.training"
    assert waited_for(lambda: list(state.glob("*.sha256")))
    assert len(driver.warm()) == 2
    process.send_signal(number)
    _, text = process.communicate(timeout=60)
    assert process.returncode == code, text
    assert waited_for(lambda: len(driver.warm()) == 1)
    assert list(state.iterdir()) and not (folder / "model.safetensors").exists()
    driver.run(diffusion("model.safetensors", **options), folder)
    driver.run(diffusion("whole.safetensors", **options), folder, **{PLACE: NOTHING})
    assert store.verify(folder / "model.safetensors") == store.verify(folder / "whole.safetensors")


def test_a_job_of_another_environment_works_for_itself(driver, tmp_path):
    listening = socket.socket(socket.AF_UNIX)
    process = warm.Warm(tmp_path / "warm", listening)
    process.environment = {"OMP_NUM_THREADS": "1"}
    assert process.suits({"OMP_NUM_THREADS": "1", "SHLVL": "3"})
    assert not process.suits({"OMP_NUM_THREADS": "2"}) and not process.suits({})
    listening.close()
    assert "collapselab" in driver.run("--version", tmp_path, OMP_NUM_THREADS="2")


@pytest.mark.trained
@pytest.mark.slow
def test_jobs_outlive_their_driver_and_the_warm_process_does_not(begun, tmp_path):
    driver, folder = Driver(), shutil.copytree(begun, tmp_path / "job")
    process = driver.start(diffusion("model.safetensors", images_seen=32 * 600), folder)
    assert waited_for(lambda: list((folder / ".model.training").glob("*.sha256")))
    driver.process.kill()
    driver.process.communicate()
    assert process.wait(timeout=60) == 0 and store.verify(folder / "model.safetensors")
    assert waited_for(lambda: not driver.warm()) and not Path(driver.place).parent.exists()
    assert "collapselab" in driver.run("--version", tmp_path)  # where nobody listens


@pytest.mark.trained
@pytest.mark.slow
def test_work_ends_with_the_warm_process_and_says_so(begun, tmp_path):
    driver, folder = Driver(), shutil.copytree(begun, tmp_path / "job")
    process = driver.start(diffusion("model.safetensors", images_seen=32 * 6000), folder)
    assert waited_for(lambda: list((folder / ".model.training").glob("*.sha256")))
    os.kill(driver.warm()[0], signal.SIGKILL)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1 and f"{PLACE}={NOTHING}" in text
    assert waited_for(lambda: not driver.warm())
    driver.end()


def test_whoever_says_where_to_listen_is_left_alone(monkeypatch):
    monkeypatch.setenv(PLACE, NOTHING)
    monkeypatch.setattr(warm.subprocess, "Popen", None)
    warm.start()
    assert os.environ[PLACE] == NOTHING
