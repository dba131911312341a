"""A PostgreSQL of a test's own, which listens to a socket in a folder alone."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PROGRAMS = next((path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
if PROGRAMS is None and (found := shutil.which("initdb")):
    PROGRAMS = Path(found).parent


@contextlib.contextmanager
def served_by_postgres(name):
    """The address of an empty database of a name."""
    folder, who = Path(tempfile.mkdtemp(prefix=f"{name}-")), {}
    if os.getuid() == 0:  # it runs for no root, and pytest's own folders are its user's alone
        who = {"user": "postgres"}
        shutil.chown(folder, "postgres")

    def run(program, *words):
        done = subprocess.run([PROGRAMS / program, *words], capture_output=True, text=True, cwd=folder, **who)
        assert done.returncode == 0, done.stdout + done.stderr

    run("initdb", "-D", folder / "data", "-U", "judge", "--auth=trust", "--no-sync")
    settings = f"-c listen_addresses= -c unix_socket_directories={folder}"
    run("pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-o", settings, "start")
    try:
        run("createdb", "-h", folder, "-U", "judge", name)
        yield f"postgresql://judge@/{name}?host={folder}"
    finally:
        run("pg_ctl", "-D", folder / "data", "-m", "fast", "stop")
        shutil.rmtree(folder)
