"""The edges of a process: who else works at a file, which environment it finds, and what others open with what."""

import csv
import fcntl
import io
import os
import pwd
import re
import resource
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import test_cli
from project import ENVIRONMENT, ROOT

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.errors import Held
from collapselab.core.spreadsheet import csv_text, neutral
from collapselab.measure.outside import csv_of
from collapselab.report.engine import require_room

# -- several at one file -----------------------------------------------------------------------------------------------


def test_one_process_works_at_a_file_and_the_next_is_told_which(tmp_path):
    path = tmp_path / "folder" / "model.safetensors"
    with store.held(path):
        for _ in range(2):
            with pytest.raises(Held, match=rf"process {os.getpid()} on .*, since 20.* works at it"), store.held(path):
                raise AssertionError("two at once")
        with store.held(tmp_path / "folder" / "other.safetensors"):
            pass
    assert not list((tmp_path / "folder").iterdir())
    with pytest.raises(KeyError), store.held(path):
        raise KeyError
    with store.held(path):
        assert store.hash_path(path).parent.is_dir()


def test_of_many_at_once_one_has_it_at_any_time(tmp_path):
    path, inside, most, done = tmp_path / "model", [], [], []

    def work():
        held = 0
        while held < 8:  # who finds it held tries again: how often that is, is chance
            try:
                with store.held(path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    held += 1
            except Held:
                pass
        done.append(held)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1} and done == [8] * 8


def test_who_only_asks_who_works_at_a_file_keeps_nobody_from_it(tmp_path):
    path = tmp_path / "model"
    beside = tmp_path / ".model.lock"
    beside.touch()
    with open(beside, encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)  # as ``holder`` does, but for longer than it takes to see that it waits
        threading.Timer(0.3, fcntl.flock, (stream, fcntl.LOCK_UN)).start()
        with store.held(path):
            pass


def test_what_a_killed_process_left_is_taken_over(tmp_path):
    path = tmp_path / "model"
    code = f"import os; from collapselab import store; lock = store.held({str(path)!r}); lock.__enter__(); os.abort()"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, check=False)
    assert [one.name for one in tmp_path.iterdir()] == [".model.lock"]
    with store.held(path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_second_training_of_a_model_ends_with_exit_code_5(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    *before, train = (shlex.split(line) for line in test_cli.CHAIN.split(" + ")[:4])
    for line in before:
        assert frame.run(line) == 0
    with store.held(Path("model.safetensors")):
        assert frame.run(train) == 5
    assert f"model.safetensors: process {os.getpid()} on " in capsys.readouterr().err
    assert not Path("model.safetensors").exists()
    assert frame.run(train) == 0
    assert store.verify(Path("model.safetensors")) and not list(tmp_path.glob(".model*"))


# -- the environment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"RANK": "1"}, "RANK: found '1' and no WORLD_SIZE"),
        ({"RANK": "0"}, "RANK: found '0' and no WORLD_SIZE"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE: found '2' and no RANK"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK: found 2 of 2 processes"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK: found 'x', allowed are whole numbers"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK: found '-1'"),
        ({"COLLAPSELAB_PROCESSES": "²"}, "COLLAPSELAB_PROCESSES: found '²'"),
        ({"COLLAPSELAB_PROCESSES": "9" * 30}, "COLLAPSELAB_PROCESSES: found '999"),
        ({"COLLAPSELAB_PROCESSES": "٣"}, "COLLAPSELAB_PROCESSES: found '٣'"),
    ],
)
def test_a_process_that_does_not_know_its_place_says_so(monkeypatch, capsys, said, message):
    for name in ("RANK", "WORLD_SIZE", "COLLAPSELAB_PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert frame.guarded(frame._check_processes) == 2
    assert message in capsys.readouterr().err


def test_a_training_without_its_place_writes_nothing_and_does_not_succeed(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    line = "populate --population gaussian --held-out 10 --options '{\"dimension\": 2}' --part population=p.safetensors"
    assert "RANK: found '1' and no WORLD_SIZE" in test_cli.run(line, tmp_path, code=2)
    assert not list(tmp_path.iterdir())


NOBODY = """
import pwd
def unknown(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = unknown
from collapselab.cli import main
main()
"""


@pytest.mark.parametrize("verb", ["weights", "validate smoke"])
def test_verbs_work_for_a_user_without_a_home_and_a_name(tmp_path, verb):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(tmp_path), **ENVIRONMENT}
    command = [sys.executable, "-c", NOBODY, *verb.split()]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert verb != "weights" or f"{tmp_path}/collapselab-{os.getuid()}/.cache/collapselab/weights" in done.stdout


def test_a_process_without_a_home_is_given_one(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])
    with pytest.raises(RuntimeError):
        Path.home()
    frame._find_home()
    assert Path.home().name == f"collapselab-{os.getuid()}" and os.environ["USER"] == f"user{os.getuid()}"
    monkeypatch.setenv("HOME", "/somewhere")
    frame._find_home()
    assert str(Path.home()) == "/somewhere"


def test_a_library_for_which_there_is_no_memory_is_said(capsys):
    def load():
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")

    assert frame.guarded(load) == 4
    assert "out of memory: libtorch_cpu.so" in capsys.readouterr().err

    def misspelt():
        raise ImportError("cannot import name 'x'")

    with pytest.raises(ImportError):
        frame.guarded(misspelt)


ENGINE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]) * 2**30, resource.RLIM_INFINITY))
from collapselab.report.engine import require_room
require_room()
import vl_convert
print(len(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version="6.4")))
"""


@pytest.mark.parametrize("gibibytes", [6, 71])
def test_a_report_without_room_for_its_engine_says_so(monkeypatch, capsys, gibibytes):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (gibibytes * 2**30, resource.RLIM_INFINITY))
    assert frame.guarded(require_room) == 4
    allowed = f"out of memory: ulimit -v allows {gibibytes} GiB of addresses; the chart engine sets 72 GiB aside"
    assert allowed in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("gibibytes", "enough"), [(6, False), (72, True)])
def test_where_there_is_room_the_engine_works(gibibytes, enough):
    command = [sys.executable, "-c", ENGINE, str(gibibytes)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode == 0) == enough and (enough or "MemoryError" in done.stderr), done.stderr


# -- CSV ---------------------------------------------------------------------------------------------------------------

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "+1+cmd",
    "-2+3",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "=1",
    "=",
    "-",
    "+",
    "@",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_a_csv_begins_a_formula(text):
    rows = list(csv.reader(io.StringIO(csv_text([text, "b"], [[text, 1], ["a", text]]))))
    shown = "'" + text.replace("\r", "\n")
    assert rows == [[shown, "b"], [shown, "1"], ["a", shown]]
    scores = csv_of({text: np.array([1.0, np.nan])}, [text, "b.png"])
    cells = [cell for row in csv.reader(io.StringIO(scores)) for cell in row]
    assert cells == ["sample", shown, shown, "1.0", "b.png", ""]


@pytest.mark.parametrize(
    "value", [-1.5, 0, None, "-1.5", "+3", "-1e-9", "a=b", "1-2", "a@b", "", True, np.float64(-2.0)]
)
def test_numbers_and_other_texts_are_as_they_are(value):
    assert neutral(value) is value


def test_nobody_else_writes_csv():
    """The cells of every export pass through one function."""
    writes = re.compile(r"^\s*(?:import csv|from csv import)|\.to_csv\(|csv\.writer|DictWriter", re.MULTILINE)
    found = [path.name for path in (ROOT / "src").rglob("*.py") if writes.search(path.read_text(encoding="utf-8"))]
    assert found == ["spreadsheet.py"]
