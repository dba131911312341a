"""Which GPU of a machine a job takes: the one that fewest others use, and by turns where no more may share one.

Jobs know nothing of one another: each holds a lock of the system's, on a file for each GPU and each place at it, until
it ends, however it ends. A job of Slurm has GPUs of its own, and its parts take turns among themselves.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

VARIABLE = "COLLAPSELAB_JOBS_A_GPU"
VISIBLE = "CUDA_VISIBLE_DEVICES"
SLURM_JOB = "SLURM_JOB_ID"
MANY = 1000  # places at a GPU where nobody has said how many
POLL_S = 0.2

_held: list[int] = []  # descriptors: a lock ends with them


def places() -> int | None:
    """How many jobs may share a GPU: as ``COLLAPSELAB_JOBS_A_GPU`` says, one within a job of Slurm; None: any number.

    Raises ValueError for anything else than a number from 1.
    """
    text = os.environ.get(VARIABLE, "1" if SLURM_JOB in os.environ else "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{VARIABLE}: found {text!r}, allowed are numbers from 1: so many jobs share a GPU")
    return int(text)


def visible() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA takes: numbers, or what the environment says."""
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip() not in ("", "-1")]
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            return [str(number) for number in range(pynvml.nvmlDeviceGetCount())]
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # no driver, or no library of it: no GPU
        return []


def take(gpus: Sequence[str], most: int | None, waits: Callable[[], None] = lambda: None) -> str | None:
    """The GPU with the fewest jobs, of which this process is one from now on; None where there is none.

    most: jobs at a GPU; where all have so many, it waits for one to end. waits: called once before.
    """
    told = False
    while gpus:
        for place in range(most or MANY):
            for gpu in gpus:
                if _locked(_file(gpu, place, os.environ)):
                    return gpu
        if not told:
            told = True
            waits()
        time.sleep(POLL_S)
    return None


def _file(gpu: str, place: int, environment: Mapping[str, str]) -> Path:
    folder = Path(tempfile.gettempdir()) / f"collapselab-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    name = "".join(letter if letter.isalnum() else "-" for letter in gpu)
    return folder / f"{environment.get(SLURM_JOB, 'here')}.{name}.{place}"


def _locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True
