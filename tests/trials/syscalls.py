"""Faults at every single write, fsync, rename and unlink of the writers of the store and of a training's state.

strace kills the writer at its N-th call, or lets that call fail, for N = 1, 2, ... until it ends by itself. What lies
there then has to be the old content, the new one, or something that its reader refuses.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.errors import Damaged
from collapselab.core.sets import Ballots, KeptTable, Reference, SampleSet, TrainingTable
from collapselab.engine.checkpoint import Checkpoint

CALLS = ("write", "fsync", "rename", "unlink")
FAULTS = {
    **{f"kill at {call}": (call, "signal=KILL") for call in CALLS},
    **{
        f"{error} at {call}": (call, f"error={error}")
        for error in ("ENOSPC", "EIO")
        for call in CALLS
        if call != "unlink"
    },
}
STATE, REFUSED = "a training's state", "refused"
PR_SET_PTRACER = 0x59616D61  # of <linux/prctl.h>
MOST = 60  # calls of one kind, more than any writer has
CELL = Path("results/s/a/seed0/gen1")


def _samples(value):
    return SampleSet(np.full((20, 30), float(value)), lineage={"generation": 1})


def _training(value):
    part = Reference("0" * 64, "x", np.full(5, value), "real", "fixed", 0, np.arange(5), 1.0)
    return TrainingTable((part,), {"recipe": {"generation": 1}})


WRITERS = {
    "samples.safetensors": (
        lambda path, value: store.write_samples(path, _samples(value)),
        lambda path: int(store.read_samples(path).data[0, 0]),
    ),
    "model.safetensors": (
        lambda path, value: store.write_tensors(path, {"w": np.full(900, float(value))}, {"family": "x"}),
        lambda path: int(store.read_tensors(path)[0]["w"][0]),
    ),
    "training.parquet": (
        lambda path, value: store.write_training(path, _training(value)),
        lambda path: int(store.read_training(path).references[0].rows[0]),
    ),
    "kept.parquet": (
        lambda path, value: store.write_kept(path, KeptTable(np.array([value]), np.zeros(1), ("",), "all", {})),
        lambda path: int(store.read_kept(path).rows[0]),
    ),
    "ballots.parquet": (
        lambda path, value: store.write_ballots(path, Ballots(np.array([value]), ("a",), ("b",), np.zeros(1), {})),
        lambda path: int(store.read_ballots(path).rows[0]),
    ),
    "metrics.json": (
        lambda path, value: store.write_json(path, {"value": value}),
        lambda path: int(store.read_json(path)["value"]),
    ),
    STATE: (
        lambda path, value: _next_state(path, value),
        lambda path: int(Checkpoint(path, "x").read().tensors["w"][0]),
    ),
}
"""file -> how it is written with a value, and how that is read."""


def _next_state(path, value):
    """Write a state as a training does that goes on: beside the one that it read."""
    checkpoint = Checkpoint(path, "x")
    checkpoint.read()
    checkpoint.write({"w": np.full(900, float(value))}, 8 * value, {})


def run(nouns=tuple(WRITERS), faults=tuple(FAULTS), folder=Path()):
    """Each fault at each call of each writer; a record a trial. Stops of itself where a writer has no more calls."""
    for noun in nouns:
        for fault in faults:
            for number in range(1, MOST):
                record = _trial(noun, fault, number, folder / "writing")
                if record is None:
                    break
                yield record


def _trial(noun, fault, number, folder):
    """What comes of a fault at the N-th call; None where the writer ended before it."""
    write, read = WRITERS[noun]
    path = folder / CELL / noun
    shutil.rmtree(folder, ignore_errors=True)
    for old in (1, 2) if noun == STATE else (2,):
        write(path, old)
    call, how = FAULTS[fault]
    options = ["-e", f"trace={call}", "-e", f"inject={call}:{how}:when={number}"]
    code, said, calls = _traced(options, lambda: write(path, 3), folder)
    if calls.count(f"{call}(") < number:
        assert code == 0 and read(path) == 3, said
        return None
    left = _left(read, path)
    value = 3 if left != 3 else 4
    write(path, value)
    again, leftovers = read(path) == value, len(list(path.parent.rglob(".*.tmp")))
    told = _is_told(code, said, fault, str(folder))
    right = left in ((2, 3) if noun == STATE else (2, 3, REFUSED)) and again and not leftovers and told
    return {
        "trial": fault, "noun": noun, "call": number, "left": {2: "old", 3: "new"}.get(left, left), "code": code,
        "right": right, "again": again, "leftovers": leftovers, "told": told, "said": said[-300:],
    }  # fmt: skip


def _is_told(code, said, fault, place):
    """Whether a writer that was not killed ends with the code for want of room and names a file, without a trace."""
    if "kill" in fault:
        return code == -signal.SIGKILL
    return code == 0 or (code == frame.EXIT_RESOURCES and place in said and "Traceback" not in said)


def _left(read, path):
    try:
        return read(path)
    except (Damaged, OSError):
        return REFUSED


def _traced(options, work, folder):
    """A child of this process does the work, which strace begins to watch just before: (code, what it says, calls)."""
    said, calls = folder / "said", folder / "calls"
    child = os.fork()
    if not child:
        try:
            ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)  # else only an ancestor may watch
            stream = os.open(said, os.O_WRONLY | os.O_CREAT)
            os.dup2(stream, 2)
            sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", closefd=False)  # pytest has put another in its place
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(frame.guarded(work))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(99)
    os.waitpid(child, os.WUNTRACED)
    command = ["strace", "-f", "-p", str(child), "-o", str(calls), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        line = strace.stderr.readline()
        if "attached" not in line:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise RuntimeError(f"strace cannot watch a process here: {line}{strace.stderr.read()}")
        os.kill(child, signal.SIGCONT)
        status = os.waitpid(child, 0)[1]
        strace.stderr.read()
    code = os.waitstatus_to_exitcode(status)
    return code, said.read_text(encoding="utf-8"), calls.read_text(encoding="utf-8", errors="replace")
