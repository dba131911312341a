"""Who works at a file: one process at a time, and the next is told which."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import Held

PATIENCE_S = 2.0
"""How long a lock is waited for: who only asks after its holder has it for a moment, and so may a process that its
holder was about to start when it was killed."""


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Within it this process alone works at what will be at ``path``. Raises Held where another one does.

    The lock is the system's own, on a file beside it: it ends with the process, however that ends, and holds over all
    machines that share the file system, if that has locks.
    """
    beside = Path(path).with_name(f".{Path(path).name}.lock")
    beside.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(path, beside)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _holder().encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()  # before the lock ends: who opens it then finds that it is another file
        os.close(descriptor)


def holder(path: Path) -> str:
    """Who works at what will be at ``path``; empty where nobody does, or nobody can tell."""
    beside = Path(path).with_name(f".{Path(path).name}.lock")
    try:
        with open(beside, encoding="utf-8", errors="replace") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return stream.read(200) or "another process"
    except OSError:
        pass
    return ""


def _holder() -> str:
    """This process, as whoever comes after it is told."""
    job = f", Slurm's job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
    return f"process {os.getpid()} on {socket.gethostname()}{job}, since {time.strftime('%Y-%m-%d %H:%M:%S')}"


def _locked(path: Path, beside: Path) -> int:
    end = time.monotonic() + PATIENCE_S
    while True:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(descriptor).st_ino == beside.stat().st_ino:
                    return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace") or "another process"
            os.close(descriptor)
            if time.monotonic() > end:
                raise Held(f"{path}: {holder} works at it; wait for it, or end it") from None
            time.sleep(0.02)
            continue
        except OSError:  # a file system without locks: as it was before there were any
            return descriptor
        os.close(descriptor)
