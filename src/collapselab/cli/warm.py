"""A process that has imported what jobs need, and forks one for each: they begin at once.

To start Python and import torch takes longer than many a small training. So the workflow starts one such process beside
its driver, and jobs find it by :data:`cli.handing.PLACE`. What works for a job is a copy of a process that has done
nothing but import: it gives the same bits. For a job of another environment, which libraries may have read as they were
imported, nobody works: it does so itself, as where there is no warm process.
"""

import contextlib
import ctypes
import gc
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from .handing import LENGTH, PLACE, REFUSED, TAKEN

OWN = {"PWD", "OLDPWD", "SHLVL", "_"}  # what shells say anew in every process, and no library reads
VERBS = ("prepare", "compose", "train", "adapt", "sample", "transform", "select", "extract", "record")
MODULES = ("numpy", "safetensors.numpy", "scipy.linalg", "torch", *(f"collapselab.cli.{verb}" for verb in VERBS))
"""What is imported: nothing that starts a thread, which a fork would leave behind."""
PATIENCE_S = 30.0  # for a job to say what it asks
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl

_kept: list[subprocess.Popen] = []  # whose standard input ends with this process


def start() -> None:
    """Start a warm process, which ends when this one does, and tell what is started from now on where it listens.

    Nothing where the user has said something else, or nothing, by :data:`PLACE`.
    """
    if PLACE in os.environ:
        return
    place = Path(tempfile.mkdtemp(prefix="collapselab-"), "warm")  # a folder that nobody else may enter
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen(128)  # from here on jobs wait for the process, which has not begun
        words, number = [sys.executable, "-m", __name__, str(place)], listening.fileno()
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "pass_fds": [number]}
        _kept.append(subprocess.Popen([*words, str(number)], start_new_session=True, **pipes))
    os.environ[PLACE] = str(place)


class Warm:
    """The warm process. It imports at the first job, in that one's environment."""

    def __init__(self, place: Path, listening: socket.socket):
        self.place, self.listening = place, listening
        self.environment: Mapping[str, str] | None = None
        self.works: dict[int, socket.socket] = {}  # process -> whom it works for
        self.watched = selectors.DefaultSelector()

    def serve(self) -> None:
        """Work for whoever comes, until whoever started this ends, and then until the last work is done."""
        woken, wakes = socket.socketpair()
        for end in (woken, wakes):
            end.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno())
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: it is for the jobs, who pass theirs on
        self.watched.register(self.listening, selectors.EVENT_READ, self.take)
        self.watched.register(woken, selectors.EVENT_READ, lambda: (woken.recv(4096), self.bury()))
        self.watched.register(sys.stdin.fileno(), selectors.EVENT_READ, self.be_left)
        is_wanted = True
        while is_wanted or self.works:
            for key, _ in self.watched.select():
                key.data()
            is_wanted = self.listening.fileno() != -1
        shutil.rmtree(self.place.parent, ignore_errors=True)

    def be_left(self) -> None:
        """Whoever started this is gone: nobody else is taken."""
        self.watched.unregister(sys.stdin.fileno())
        self.watched.unregister(self.listening)
        self.listening.close()

    def take(self) -> None:
        """Let a job in, and fork what works for it."""
        try:
            connection, _ = self.listening.accept()
        except OSError:  # who came is gone, or this has just been left
            return
        connection.settimeout(PATIENCE_S)
        files: list[int] = []
        try:
            length, files, _, _ = socket.recv_fds(connection, LENGTH, 3)
            asked = json.loads(_all_of(connection, int.from_bytes(length, "big")))
            if not self.suits(asked["environment"]):
                connection.sendall(REFUSED)
                connection.close()
                return
            connection.sendall(TAKEN)
            process = os.fork()
            if not process:
                self.work(asked, files, connection)
            self.works[process] = connection
            self.watched.register(connection, selectors.EVENT_READ, lambda: self.hear(process))
        except (OSError, ValueError):  # who asked is gone
            connection.close()
        finally:
            for file in files:
                os.close(file)

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether what is imported would be so in a job's environment; the first job's is the one that counts."""
        told = {name: value for name, value in environment.items() if name not in OWN}
        if self.environment is None:
            self.environment = told
            os.environ.clear()
            os.environ.update(environment)
            try:
                for name in MODULES:
                    import_module(name)
                # At the first numbers that have a shape and no values, as in a network's outline, torch imports sympy.
                sys.modules["torch"].randn(1, device="meta")
            except Exception:  # each job meets it by itself, and says so where it is looked for
                traceback.print_exc()
                self.environment = {}
            gc.collect()
            gc.freeze()  # what is shared stays so: nobody's search for garbage writes to it
        return told == self.environment

    def hear(self, process: int) -> None:
        """Pass on the signals that a job sends; what works for a job that is gone is killed, as the job was."""
        if (connection := self.works.get(process)) is None:
            return  # its work has just ended
        try:
            numbers = connection.recv(64)
        except OSError:
            numbers = b""
        for number in numbers or [signal.SIGKILL]:
            os.kill(process, number)
        if not numbers:
            self.watched.unregister(connection)

    def bury(self) -> None:
        """Tell jobs how the work for them has ended: by its exit code, or 128 and the number of a signal."""
        for process in list(self.works):
            found, status = os.waitpid(process, os.WNOHANG)
            if not found:
                continue
            code = os.waitstatus_to_exitcode(status)
            connection = self.works.pop(process)
            with contextlib.suppress(KeyError, ValueError):
                self.watched.unregister(connection)
            with contextlib.suppress(OSError):
                connection.sendall(bytes([code if code >= 0 else 128 - code]))
            connection.close()

    def work(self, asked: Mapping[str, Any], files: list[int], own: socket.socket) -> NoReturn:
        """Be what works for a job, in a process of its own."""
        try:
            _die_with_parent()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()  # a terminal's signals come by the job alone, and once
            for connection in (self.listening, own, *self.works.values()):
                connection.close()
            for target, file in enumerate(files):
                os.dup2(file, target)
            sys.stdin, sys.stdout = _anew(sys.stdin, "r"), _anew(sys.stdout, "w", 1 if os.isatty(1) else -1)
            sys.stderr = _anew(sys.stderr, "w", 1)
            os.umask(asked["mask"])
            os.chdir(asked["folder"])
            os.environ.clear()
            os.environ.update(asked["environment"])
            sys.argv = asked["words"]
            from .run import clock, main

            clock.begin()
            main()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)


def _all_of(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        if not (more := connection.recv(length - len(found))):
            raise ConnectionError
        found += more
    return found


def _anew(stream: Any, mode: str, buffering: int = -1) -> Any:
    """A standard stream for another file at its number: the old one remembers whether that could be sought in."""
    return os.fdopen(stream.fileno(), mode, buffering, stream.encoding, stream.errors, closefd=False)


def _die_with_parent() -> None:
    """Let this process be killed when the one that has forked it ends. Linux alone has it."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    Warm(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))).serve()
