"""Commands as processes of their own that begin at once: forked from one that has imported what they need.

To start Python and to import Snakemake or torch takes longer than most of what the tests ask a command. A fork of a
process that has done nothing but import says and writes the same. Where a command's environment or its package is
another than the one that was imported, and for every other program, a process is started as ever.
"""

import atexit
import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src"
MODULES = ("numpy", "snakemake.cli", "collapselab.study.jobs", "collapselab.cli.warm")
READ_AT_IMPORT = ("PYTHON", "LC_", "LANG", "OMP_", "MKL_", "CUDA_", "MALLOC_")
"""How the names of variables begin that an interpreter or a library reads once, as it begins."""
LENGTH = 8

AT_FIRST = dict(os.environ)  # before any test changes it
_server: list = []  # the process and where it listens


def own_environment():
    """This process's environment, with the programs of this Python and this repository's package."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return os.environ | {"PATH": path, "PYTHONPATH": str(PACKAGE)}


def run(words, folder, environment=None, timeout=300, **options):
    """What a command says and its exit code, as :func:`subprocess.run` gives them, whose options there may be."""
    words = [str(word) for word in words]
    environment = environment or own_environment()
    named = words[2:] if words[:2] == [sys.executable, "-m"] else words
    if options or named[0] not in ENTRIES or not _is_as_imported(environment):
        text = {"capture_output": True, "encoding": "utf-8", "errors": "replace"}
        return subprocess.run(words, cwd=folder, env=environment, timeout=timeout, **text, **options)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(_place())
        asked = json.dumps({"words": named, "folder": str(folder), "environment": dict(environment)}).encode()
        socket.send_fds(connection, [len(asked).to_bytes(LENGTH, "big")], [out.fileno(), err.fileno()])
        connection.sendall(asked)
        process = int.from_bytes(_all_of(connection, LENGTH), "big")
        connection.settimeout(timeout)
        try:
            code = int.from_bytes(_all_of(connection, LENGTH), "big", signed=True)
        except TimeoutError:
            os.killpg(process, signal.SIGKILL)
            raise subprocess.TimeoutExpired(words, timeout) from None
        said = [_text(file) for file in (out, err)]
    return subprocess.CompletedProcess(words, code, *said)


def _is_as_imported(environment):
    """Whether a command would import what the forking process has imported, and in such an environment."""
    told, own = (
        {name: value for name, value in one.items() if name.startswith(READ_AT_IMPORT) and name != "PYTHONPATH"}
        for one in (environment, AT_FIRST)
    )
    return told == own and _is_ours(Path(environment.get("PYTHONPATH", "")))


def _is_ours(folder):
    """Whether the package in a folder is this repository's: the same files of the same sizes and dates."""
    return folder == PACKAGE or _files(folder) == _files(PACKAGE)


def _files(folder):
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            entry = os.stat(os.path.join(place, name))
            found[os.path.relpath(os.path.join(place, name), folder)] = entry.st_size, entry.st_mtime_ns
    return found


def _text(file):
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _place():
    """Where the forking process of this process listens; the first command starts it, in an environment as it was."""
    if not _server:
        place = Path(tempfile.mkdtemp(prefix="forked-"), "socket")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(place))
        listening.listen(16)
        command = [sys.executable, __file__, str(listening.fileno())]
        own = AT_FIRST | {"PYTHONPATH": str(PACKAGE)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        process = subprocess.Popen(command, env=own, pass_fds=[listening.fileno()], start_new_session=True, **pipes)
        listening.close()
        _server.extend([process, str(place)])
        atexit.register(shutil.rmtree, place.parent, ignore_errors=True)
    return _server[1]


# -- the forking process -----------------------------------------------------------------------------------------------


def _snakemake(words):
    from snakemake.cli import main

    sys.argv = words
    main(words[1:])


def _collapselab(words):
    from collapselab import __main__
    from collapselab.cli import main
    from collapselab.cli.run import clock

    sys.argv = [__main__.__file__, *words[1:]]
    clock.begin()
    main()


ENTRIES = {"snakemake": _snakemake, "collapselab": _collapselab}


def serve(listening):
    """Fork for whoever connects, until the process that has started this one ends."""
    for name in MODULES:
        import_module(name)
    for name in import_module("collapselab.cli.warm").MODULES:
        import_module(name)
    gc.collect()
    gc.freeze()  # what is shared stays so: nobody's search for garbage writes to it
    assert threading.active_count() == 1, "a fork would leave a thread behind"
    while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
        connection, _ = listening.accept()
        if not os.fork():
            listening.close()
            _pass_on(connection)
        connection.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # those before, who have told how their commands ended
                pass


def _pass_on(connection):
    """Fork the command, and tell its number and how it has ended."""
    length, files, _, _ = socket.recv_fds(connection, LENGTH, 2)
    asked = json.loads(_all_of(connection, int.from_bytes(length, "big")))
    process = os.fork()
    if not process:
        connection.close()
        _work(asked, files)
    connection.sendall(process.to_bytes(LENGTH, "big"))
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with contextlib.suppress(OSError):  # who asked has waited long enough
        connection.sendall(code.to_bytes(LENGTH, "big", signed=True))
    os._exit(0)


def _work(asked, files):
    """Be the command."""
    os.setsid()
    for target, file in enumerate([os.open(os.devnull, os.O_RDONLY), *files]):
        os.dup2(file, target)
    for file in files:
        os.close(file)
    # Standard streams anew: the old ones remember of what kind their files were.
    sys.stdin = os.fdopen(0, "r", encoding=sys.stdin.encoding, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding=sys.stderr.encoding, errors=sys.stderr.errors, closefd=False)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    code = 0
    try:
        ENTRIES[asked["words"][0]](asked["words"])
    except SystemExit as end:
        code = end.code or 0
        assert isinstance(code, int), code
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()  # all that an interpreter does at its end but to free what it has imported
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _all_of(connection, length):
    found = b""
    while len(found) < length:
        if not (more := connection.recv(length - len(found))):
            raise ConnectionError("the forking process is gone")
        found += more
    return found


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
