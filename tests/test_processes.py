"""Several processes at one piece of work: how they find each other, how they end, and that their training is one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collapselab.machine import processes

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "COLLAPSELAB_DEVICE": "cpu", "PYTHONPATH": str(ROOT / "src")}


def test_one_process_needs_nobody(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    with processes.joined():
        assert not torch.distributed.is_initialized()
        assert (processes.rank(), processes.count(), processes.is_first()) == (0, 1, True)
        numbers = torch.arange(3.0)
        processes.sum_in_place(numbers)
        processes.barrier()
        assert numbers.tolist() == [0, 1, 2]
        assert processes.any_of(True, torch.device("cpu")) and not processes.any_of(False, torch.device("cpu"))


def test_a_number_of_processes_is_a_number(monkeypatch):
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(ValueError, match="RANK: found 'first', allowed are whole numbers"):
        processes.rank()
    monkeypatch.setenv(processes.PROCESSES_VARIABLE, "two")
    with pytest.raises(ValueError, match="COLLAPSELAB_PROCESSES: found 'two', allowed are numbers from 1"):
        processes.wanted()


@pytest.mark.parametrize("many", [1, 2, 3, 5])
def test_parts_are_all_items_once(many, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(many))
    parts = []
    for rank in range(many):
        monkeypatch.setenv("RANK", str(rank))
        parts += processes.share(range(11))
    assert parts == list(range(11))


# -- launching ---------------------------------------------------------------------------------------------------------

# A package of the same name, whose processes do what a test tells them.
STAND_IN = """
import os, signal, sys, time
rank = int(os.environ["RANK"])

def say(*words):  # a line in one piece, which print breaks where output is not buffered: all write to one pipe
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

{body}
"""


@pytest.fixture
def launch(tmp_path):
    """Starts ``processes.launch`` in a process of its own, of processes with this body; the process."""

    def started(body: str, many: int = 2, **environment) -> subprocess.Popen:
        package = tmp_path / "stand_in" / "collapselab"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(STAND_IN.format(body=body))
        code = f"""
import os, sys
from collapselab.machine import processes
processes.PATIENCE_S, processes.GRACE_S = 0.5, 5.0
os.environ["PYTHONPATH"] = {str(package.parent)!r}
sys.exit(processes.launch({many}, ["word"]))
"""
        given = os.environ | ENVIRONMENT | environment
        return subprocess.Popen(
            [sys.executable, "-c", code], env=given, cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )

    return started


def test_every_process_is_told_who_it_is(launch):
    names = ("WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")
    body = f"say(rank, sys.argv[1], *(os.environ[name] for name in {names}), 'MASTER_PORT' in os.environ)"
    process = launch(body, 3)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert sorted(text.split("\n"))[1:] == [f"{rank} word 3 {rank} 127.0.0.1 True" for rank in range(3)]


def test_the_exit_code_is_that_of_the_first_to_fail_and_the_others_are_ended(launch):
    began = time.monotonic()
    process = launch("sys.exit(7) if rank == 1 else time.sleep(60)")
    assert process.wait(30) == 7
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 143), (signal.SIGINT, 130)])
def test_a_signal_reaches_all_once(launch, number, code):
    body = f"""
got = []
for one in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
    signal.signal(one, lambda number, frame: got.append(number))
say("ready")
while not got:
    time.sleep(0.01)
time.sleep(0.3)
say(len(got), int(got[0]))
sys.exit({code})
"""
    process = launch(body)
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    process.send_signal(number)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == code and text == f"1 {int(number)}\n" * 2


def test_processes_that_are_ended_before_they_can_answer_were_asked_to_stop(launch):
    process = launch("say('ready'); time.sleep(60)")
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    process.send_signal(signal.SIGUSR1)
    assert process.wait(30) == 143


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_a_launcher_that_is_killed_takes_its_processes_with_it(launch):
    process = launch("say(os.getpid()); time.sleep(60)")
    started = [int(process.stdout.readline()) for _ in range(2)]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{one}").exists() for one in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{one}").exists() for one in started)
