"""Several processes at one piece of work, one a GPU: torchrun's environment says which of them this one is."""

import ctypes
import datetime
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

PROCESSES_VARIABLE = "COLLAPSELAB_PROCESSES"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
POLL_S = 0.1
PATIENCE_S = 10.0  # in which processes may end by themselves after one has failed
GRACE_S = 60.0  # in which processes that were asked to stop write their state

Item = TypeVar("Item")


def wanted() -> int:
    """How many processes ``COLLAPSELAB_PROCESSES`` asks for; 1 by default. Raises ValueError for anything else."""
    text = os.environ.get(PROCESSES_VARIABLE, "1").strip()
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{PROCESSES_VARIABLE}: found {text!r}, allowed are numbers from 1, one process a GPU")
    return int(text)


def rank() -> int:
    """Which process this one is, from 0."""
    return _number("RANK", 0)


def count() -> int:
    """How many processes there are."""
    return _number("WORLD_SIZE", 1)


def _number(variable: str, usual: int) -> int:
    """A number of torchrun's environment."""
    text = os.environ.get(variable, str(usual))
    if not text.isdigit():
        raise ValueError(f"{variable}: found {text!r}, allowed are whole numbers, as torchrun sets them")
    return int(text)


def is_first() -> bool:
    """Whether this is the one that writes and reports."""
    return rank() == 0


def share(items: Sequence[Item]) -> Sequence[Item]:
    """This process's part of the items: the parts follow one another in the order of the processes."""
    here, many = rank(), count()
    return items[len(items) * here // many : len(items) * (here + 1) // many]


@contextmanager
def joined() -> Iterator[None]:
    """Within it the processes can wait for one another and add up tensors.

    Nothing happens where there is only one, or where they have joined already.
    """
    if count() == 1:
        yield
        return
    import torch
    from torch import distributed

    if distributed.is_initialized():
        yield
        return

    from .device import device

    where = device()
    if where.type == "cuda":
        torch.cuda.set_device(where)
    # Long: one process may compile, measure or store while the others wait for it.
    waits = datetime.timedelta(minutes=60)
    if where.type == "cuda":  # named, since a barrier before the first sum would guess the device by the rank
        distributed.init_process_group("nccl", timeout=waits, device_id=where)
    else:
        distributed.init_process_group("gloo", timeout=waits)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def barrier() -> None:
    """Wait until all processes are here."""
    if count() > 1:
        from torch import distributed

        distributed.barrier()


def sum_in_place(tensor: "torch.Tensor") -> None:
    """Put the sum over the processes in the tensor's place."""
    if count() > 1:
        from torch import distributed

        distributed.all_reduce(tensor)


def total(number: float, where: "torch.device | str") -> float:
    """The sum over the processes, in each of them."""
    if count() == 1:
        return number
    import torch

    summed = torch.tensor(number, dtype=torch.float64, device=where)
    sum_in_place(summed)
    return summed.item()


def any_of(flag: bool, where: "torch.device") -> bool:
    """Whether the flag is up in any process: all get the same answer."""
    return total(float(flag), where) > 0


def launch(many: int, arguments: Sequence[str]) -> int:
    """Run ``collapselab`` with these arguments as ``many`` processes that know of each other; their exit code.

    It is torchrun's environment without its agent, which would turn every exit code into 1. A signal to this process is
    passed on to all. When one fails the others, which would wait for it for ever, are ended after a while in which they
    may find out for themselves; the code is that of the one that failed first.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(many), "LOCAL_WORLD_SIZE": str(many)}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    common |= {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // many)))}
    command = [sys.executable, "-m", "collapselab", *arguments]
    started: list[subprocess.Popen] = []
    passed_on: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        passed_on.append(number)
        for process in started:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        for rank in range(many):
            environment = os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            # In groups of their own: a terminal's Ctrl-C comes to them once, from here.
            started.append(subprocess.Popen(command, env=environment, process_group=0, preexec_fn=_end_with_parent))
            if passed_on:
                started[-1].send_signal(passed_on[0])
        return _first_failure(started, passed_on)
    finally:
        _end(started)
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_failure(started: Sequence[subprocess.Popen], passed_on: Sequence[int]) -> int:
    """The exit code of the process that failed first; 0 once all have ended without."""
    first, since = 0, 0.0
    while any(process.poll() is None for process in started):
        time.sleep(POLL_S)
        codes = [process.returncode for process in started if process.poll()]
        if codes and not first:
            # One that a signal ended is why the others fail, be it in the same moment.
            first, since = min(codes), time.monotonic()
        if first and time.monotonic() - since > PATIENCE_S:
            break
    first = first or next((process.returncode for process in started if process.returncode), 0)
    if first >= 0:
        return first
    if -first not in passed_on:
        name = signal.Signals(-first).name
        said = f"one of {len(started)} processes was ended by {name}; a training goes on from its last checkpoint"
        print(f"collapselab: {said}", file=sys.stderr)
    # A process that a signal ends before it can answer it was asked to stop, too.
    return 128 - first if -first not in passed_on else 130 if first == -signal.SIGINT else 143


def _end_with_parent() -> None:
    """Ask the system to stop this process when its parent is killed; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _end(started: Sequence[subprocess.Popen]) -> None:
    """Ask the processes that still run to stop, and end those that do not."""
    until = time.monotonic() + GRACE_S
    for process in started:
        if process.poll() is None:
            process.terminate()
    for process in started:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
