"""Commands that tests fork say, write and end as processes that are started do."""

import os
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["collapselab", "init", "mine"], 0),
        (["collapselab", "validate", "nosuch"], 2),
        (["collapselab", "trian"], 2),
        (["snakemake", "--config"], 1),
    ],
    ids=["init", "no study", "misspelt", "no words"],
)
def test_a_forked_command_is_the_command(tmp_path, words, code):
    environment = forked.own_environment()
    found = []
    for name in ("forked", "started"):
        (tmp_path / name / "here").mkdir(parents=True)
        given = {"words": words, "folder": tmp_path / name / "here", "environment": environment}
        done = forked.run(**given) if name == "forked" else _started(**given)
        files = {path.name: path.read_bytes() for path in given["folder"].rglob("*") if path.is_file()}
        found.append((done.returncode, done.stdout, done.stderr.replace(f"/{name}/", "/"), files))
    assert found[0] == found[1] and found[0][0] == code and (code or found[0][3])


def _started(words, folder, environment):
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_what_is_imported_otherwise_is_started(tmp_path):
    """Another locale, another package: of such a command nobody has imported what it would."""
    own = forked.own_environment()
    forked.run(["collapselab", "--version"], tmp_path, own)
    assert forked._is_as_imported(own)
    assert not forked._is_as_imported(own | {"LC_ALL": "C.other"})
    assert not forked._is_as_imported(own | {"PYTHONPATH": str(tmp_path)})
    assert not forked._is_as_imported(own | {"PYTHONPATH": os.pathsep.join([own["PYTHONPATH"], str(tmp_path)])})
    assert forked.run(["collapselab", "--version"], tmp_path, own, preexec_fn=lambda: None).returncode == 0


def test_a_command_that_takes_too_long_is_ended(tmp_path):
    forked.run(["collapselab", "--version"], tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        forked.run(["collapselab", "doctor"], tmp_path, timeout=0.01)


def test_the_forking_process_ends_with_the_one_that_started_it(tmp_path):
    code = "import forked, sys; forked.run(['collapselab', '--version'], sys.argv[1]); print(forked._server[0].pid)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = forked.own_environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(forked.__file__).parent), environment["PYTHONPATH"]])
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    process, end = int(done.stdout), time.monotonic() + 60
    while runs(process) and time.monotonic() < end:
        time.sleep(0.05)
    assert not runs(process)


def runs(process):
    """Whether a process is there and no zombie, which has no command line any more."""
    try:
        return bool(Path("/proc", str(process), "cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False
