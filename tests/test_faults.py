"""Faults by the few, as ``python tests/trials`` has them by the hundred: kills, failing calls, bits that flip."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import forked
import in_process
import pytest
import test_cli
import whole_study
from project import ENVIRONMENT, ROOT, said
from trials import flips, swaps, syscalls, training

from collapselab.cli import run as frame

pytestmark = pytest.mark.slow

FEW = 25
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished study of every verb, and its folder, in which this process is."""
    with pytest.MonkeyPatch.context() as patch, whole_study.entries():
        study = whole_study.study_of()
        patch.chdir(tmp_path_factory.mktemp("whole"))
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        in_process.run(study)
        yield study


def wrong(records, *wanted):
    """The trials in which something that is wanted does not hold."""
    return [one for one in records if not all(one[name] for name in wanted)]


def test_trainings_that_are_killed_go_on_to_the_same_bytes(tmp_path):
    records = training.run(FEW, "diffusion", seed=1, folder=tmp_path)
    assert len(records) == FEW and wrong(records, "killed", "same") == []
    assert sum(one["resumed"] > 0 for one in records) > FEW // 2


def test_verbs_that_are_killed_leave_nothing_half_written_and_end_with_the_same_bytes(tmp_path):
    """In a process of its own: a child of this one could wait for threads of libraries that other tests have used."""
    out = tmp_path / "verbs.jsonl"
    words = [sys.executable, "tests/trials", "verbs", "--count", "2", "--out", str(out)]
    kept = {"capture_output": True, "text": True}
    done = subprocess.run(words, cwd=ROOT, env=forked.own_environment() | ENVIRONMENT, **kept, timeout=1200)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    records = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len({one["verb"] for one in records}) == 19
    assert wrong(records, "killed", "same") == []
    assert [one for one in records if one["leftovers"] or "wrong" in one["left"] or one["code"]] == []


@needs_strace
@pytest.mark.parametrize("noun", ["samples.safetensors", syscalls.STATE])
def test_at_each_call_of_a_writer_a_fault_leaves_old_or_new_or_what_is_refused(tmp_path, noun):
    records = list(syscalls.run((noun,), folder=tmp_path))
    assert {one["trial"] for one in records} == set(syscalls.FAULTS)
    assert len([one for one in records if one["trial"] == "kill at fsync"]) >= 4
    assert wrong(records, "right") == []


def test_every_bit_that_flips_is_found_and_named(whole):
    assert wrong(list(flips.run(whole, FEW)), "found", "named") == []


def test_files_of_another_study_are_found_too(whole):
    other = whole_study.study_of("other", 9)
    in_process.run(other)
    try:
        records = list(swaps.run(whole, 20 * FEW, "other"))
        assert len(records) == 20 * FEW and wrong(records, "found", "named") == []
        assert any(one["differs"] == ["study"] for one in records)
    finally:
        shutil.rmtree(Path("results", "other"))


def test_the_table_in_the_docs_is_of_trials_by_these_names():
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    for command in re.findall(r"python tests/trials (\w+)", text):
        assert command in ("training", "verbs", "syscalls", "flips", "swaps")


# -- machines that are not as they should be ---------------------------------------------------------------------------


def test_clocks_that_go_wrong_replan_nothing(smoke):
    """Of two nodes one is an hour ahead, or a day behind: hashes decide."""
    files = sorted(path for path in (smoke.folder / "results").rglob("*") if path.is_file())
    for index, path in enumerate(files):
        when = path.stat().st_mtime + (3600, -86400, 86400, 0)[index % 4]
        os.utime(path, (when, when))
    assert smoke.plan() == {}
    assert "lie where they belong" in smoke.run("collapselab", "verify", "smoke").stdout


def test_a_study_runs_in_a_folder_with_odd_signs_and_writes_nothing_outside(finished, tmp_path):
    odd = tmp_path / "odd a?b#c%41&d"
    project = finished.copy(odd)
    files = (project.folder / "results" / "smoke" / "k_memory" / "seed0" / "gen2").iterdir()
    for path in [*files, *(project.folder / "results" / "smoke" / "report").glob("*.*")]:
        path.unlink()
    for path in (project.folder / "mlflow.db", project.folder / "mlflow.db.lock"):
        path.unlink(missing_ok=True)
    before = finished.hashes()
    project.snakemake()
    assert project.hashes() == before
    assert (project.folder / "mlflow.db").is_file()
    assert "lie where they belong" in project.run("collapselab", "verify", "smoke").stdout
    assert [path.name for path in tmp_path.iterdir()] == [odd.name]


def test_a_second_driver_is_refused_while_the_first_runs(smoke):
    """Snakemake's own lock, and its own words; the first is not disturbed."""
    lock = smoke.folder / ".snakemake" / "locks"
    for path in (smoke.folder / "results" / "smoke" / "report").glob("*.*"):
        path.unlink()
    command = ["snakemake", "--cores", "1", "--config", "study=smoke"]
    with subprocess.Popen(
        command, cwd=smoke.folder, env=smoke.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as first:
        while first.poll() is None and not list(lock.glob("*.output.lock")):
            time.sleep(0.05)
        second = smoke.run(*command, code=None)
        assert first.wait(300) == 0, first.stderr.read()
    assert second.returncode and "lock" in second.stderr.lower()
    assert smoke.plan() == {}


def test_a_folder_that_cannot_be_written_is_said_before_a_training_begins(tmp_path):
    """Exit code 4, the folder's name, and no work; root is made to ask for leave as anybody is."""
    prefix = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("nothing is read-only to root, and there is no setpriv")
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    *before, train = test_cli.CHAIN.split(" + ")[:4]
    test_cli.run(" + ".join(before), tmp_path)
    tmp_path.chmod(0o555)
    try:
        command = [*prefix, sys.executable, "-m", "collapselab", *shlex.split(train)]
        environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    finally:
        tmp_path.chmod(0o755)
    assert done.returncode == frame.EXIT_RESOURCES, done.stderr
    assert "model.safetensors" in done.stderr and "Permission denied" in done.stderr
    assert not list(tmp_path.glob("*model*"))


TARGET = "results/smoke/fully_synthetic/seed0/gen1/metrics.json"
RUN = f"snakemake --cores 1 --config study=smoke -- {TARGET}"
NO_PLACE = """
mount -t tmpfs -o size=64k none results/smoke || exit 99
{run} > first.log 2>&1 ; echo $? > first.code
mount -o remount,size=64m results/smoke
{run} > second.log 2>&1 ; echo $? > second.code
collapselab verify smoke > verify.log 2>&1 ; echo $? > verify.code
cp {target}.sha256 made.sha256
"""


def test_a_disk_that_is_full_is_said_and_the_next_run_goes_on(smoke):
    """The disk is a file system of 64 kB, in a place of its own for these processes; then it has grown."""
    expected = (smoke.folder / f"{TARGET}.sha256").read_text()
    shutil.rmtree(smoke.folder / "results" / "smoke")
    (smoke.folder / "results" / "smoke").mkdir()
    script = NO_PLACE.format(run=RUN, target=TARGET)
    done = smoke.run("unshare", "-m", "sh", "-c", script, code=None) if shutil.which("unshare") else None
    if done is None or done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip("mounting a small file system takes root")
    codes = {name: (smoke.folder / f"{name}.code").read_text().strip() for name in ("first", "second", "verify")}
    first = (smoke.folder / "first.log").read_text()
    assert codes == {"first": "1", "second": "0", "verify": "0"}, first[-3000:]
    assert "No space left on device" in first and "Traceback" not in first, first[-3000:]
    assert (smoke.folder / "made.sha256").read_text() == expected


@pytest.mark.parametrize("words", ["collapselab plan smoke", RUN])
def test_a_project_of_somebody_else_is_said_to_be_one_in_a_line(smoke, words):
    """Snakemake writes down what it remembers in every dry run, and ends with a trace where it may not."""
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    if prefix and shutil.which("setpriv") is None:
        pytest.skip("nothing is read-only to root, and there is no setpriv")
    memory = smoke.folder / ".snakemake" / "iocache"
    memory.mkdir(exist_ok=True)
    memory.chmod(0o555)
    try:
        done = smoke.run(*prefix, *shlex.split(words), code=None)
        assert smoke.run(*prefix, "collapselab", "status", "smoke").returncode == 0
    finally:
        memory.chmod(0o755)
    assert done.returncode and f"{memory}: cannot be written" in said(done) and "copy the project" in said(done)
    assert "Traceback" not in said(done), said(done)


def test_results_that_cannot_be_written_are_said_by_the_workflow_and_the_next_run_goes_on(smoke):
    """Root is made to ask for leave as anybody is."""
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    if prefix and shutil.which("setpriv") is None:
        pytest.skip("nothing is read-only to root, and there is no setpriv")
    before = smoke.hashes()
    folder = (smoke.folder / TARGET).parent
    for path in folder.iterdir():
        path.unlink()
    (folder / "note").touch()  # snakemake wants to remove an empty folder at its end, and fails with a trace
    for one in (folder, folder.parent):
        one.chmod(0o555)
    try:
        done = smoke.run(*prefix, *shlex.split(RUN), code=1)
    finally:
        for one in (folder.parent, folder):
            one.chmod(0o755)
    (folder / "note").unlink()
    assert "Permission denied" in said(done) and "gen1" in said(done) and "Traceback" not in said(done), said(done)
    smoke.run(*shlex.split(RUN))
    assert smoke.hashes() == before
