"""Signs of life: what a verb that is at work says of itself, in a small file beside what it writes.

The file is hidden, is no output of anybody, has no hash, and goes when the verb ends, however it ends short of being
killed. It is written by a thread of its own, so that a slow file system holds up no training, and a training changes in
no bit by being watched. A file that nobody has touched for a while is of a process that is gone, or stands still.
"""

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .bytes import runs, temporary_of

EVERY_S = 5.0  # between two signs
GONE_S = 2 * EVERY_S  # after which a process of this machine that its system does not know has ended
SILENT_S = 60.0  # after which one of any machine counts as gone
SUFFIX = ".at_work"


class Beat(NamedTuple):
    """What a verb says of itself. since, told: seconds of its own clock; done, of: images, or whatever it counts.

    begun: what was done when it first told so, at the time ``begun_at``: a resumed training does not begin at 0.
    """

    verb: str
    host: str
    process: int
    since: float
    told: float
    done: int | None = None
    of: int | None = None
    loss: float | None = None
    begun: int | None = None
    begun_at: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """How long it still takes at the rate so far; None where nothing can be said."""
        if None in (self.done, self.of, self.begun, self.begun_at) or self.done <= self.begun:
            return None
        return max(0.0, (self.of - self.done) * (self.told - self.begun_at) / (self.done - self.begun))


def beat_path(out: Path) -> Path:
    """Where a verb that writes ``out`` says that it is at work."""
    return Path(out).with_name(f".{Path(out).name}{SUFFIX}")


# -- who writes --------------------------------------------------------------------------------------------------------

_now: list[Beat] = []


def tell(done: int, of: int | None, loss: float | None) -> None:
    """How far the verb at work is; nothing where none says that it is."""
    if _now:
        one, told = _now[-1], time.time()
        begun = {} if one.begun is not None else {"begun": done, "begun_at": told}
        _now[-1] = one._replace(done=int(done), of=of, loss=None if loss is None else float(loss), told=told, **begun)


@contextlib.contextmanager
def beating(verb: str, out: Path) -> Iterator[None]:
    """Within it a verb says, every few seconds, that it is at work at ``out``, and how far. It fails nobody's work."""
    path, ends = beat_path(out), threading.Event()
    _now.append(Beat(verb, socket.gethostname(), os.getpid(), time.time(), time.time()))

    def say() -> None:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            for beat in _now[-1:]:
                _write(path, beat)
            if ends.wait(EVERY_S):
                return

    thread = threading.Thread(target=say, name="beats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(timeout=EVERY_S)  # a file system that hangs is told by what the verb itself writes
        _now.pop()
        with contextlib.suppress(OSError):
            path.unlink()


def _write(path: Path, beat: Beat) -> None:
    """Put a sign in its place in one step; not synced, since after a crash it says nothing that is true."""
    with contextlib.suppress(OSError):
        temporary = temporary_of(path)
        temporary.write_text(json.dumps(beat._asdict()), encoding="utf-8")
        os.replace(temporary, path)


# -- who reads ---------------------------------------------------------------------------------------------------------


class Sign(NamedTuple):
    """A sign of life as it was found: its age in seconds, and whether the process that gave it is at work."""

    beat: Beat
    age_s: float
    lives: bool


def sign_in(path: Path, now: float) -> Sign | None:
    """The sign in a file; None where there is none, or nothing that says one. now: of the file system, in seconds."""
    try:
        beat, age = Beat(**json.loads(path.read_text(encoding="utf-8"))), now - path.stat().st_mtime
        here = beat.host == socket.gethostname()
    except (OSError, ValueError, TypeError):
        return None
    known = age <= GONE_S or not here or runs(beat.process)
    return Sign(beat, age, age <= SILENT_S and known)


def now_in(folder: Path) -> float:
    """The time by the clock of a folder's file system, which may be another machine's; else by this one's."""
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=folder) as one:
        return os.fstat(one.fileno()).st_mtime
    return time.time()
