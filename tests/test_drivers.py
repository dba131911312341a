"""Who runs a study, what failed jobs leave, and what a user is told of both."""

import os
import subprocess
import sys

import pytest
from project import Project, said

from collapselab import store
from collapselab.cli import learning
from collapselab.cli import run as frame
from collapselab.core.errors import Held
from collapselab.store.locks import holder
from collapselab.study import drivers, jobs
from collapselab.study.jobs import Place
from collapselab.study.loading import find

ALLOW = "COLLAPSELAB_ALLOW_NONIDENTICAL"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project without results, in which this process stands."""
    found = Project.create(tmp_path / "project")
    monkeypatch.chdir(found.folder)
    return found


def test_a_second_driver_is_told_who_runs_the_study_and_has_nothing_to_unlock(project):
    study = find("smoke")
    (own, _), (shared, what) = drivers._claims(study)
    for path, words in ((own, ("--unlock",)), (shared, ("--cores", "1"))):
        with store.held(path):
            done = project.run("snakemake", "--config", "study=smoke", *words, code=5)
            assert f"process {os.getpid()} on " in done.stderr and "nothing is to be unlocked" in done.stderr
            assert "--unlock" not in said(done) and "Traceback" not in said(done)
    assert what.startswith("the real data gaussian-")
    assert not holder(own) and not holder(shared)


def test_a_driver_holds_its_study_until_it_ends_however_it_ends(project):
    code = (
        "import sys; from collapselab.study import drivers; from collapselab.study.loading import find;"
        "drivers.begin(find('smoke')); print('begun', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    driver = subprocess.Popen([sys.executable, "-c", code], env=project.environment, **pipes)
    study = find("smoke")
    try:
        assert driver.stdout.readline() == "begun\n"
        with pytest.raises(Held, match=rf"study smoke: process {driver.pid} on .* Ctrl-C there ends"):
            drivers.refuse_second(study, ["snakemake", "--cores", "2"])
        drivers.refuse_second(study, ["snakemake", "-n"])
        other = find("theory-gaussian")
        drivers.refuse_second(other, ["snakemake", "--cores", "2"])  # another study, with other real data
    finally:
        driver.kill()
        driver.communicate()
    drivers.refuse_second(study, ["snakemake", "--cores", "2"])


TERMINATED = """
import os, signal, sys
from snakemake.cli import main
from snakemake.scheduling.job_scheduler import JobScheduler

takes = JobScheduler.update_available_resources

def taken(scheduler, selected):  # where the main thread holds the scheduler's lock
    assert scheduler._lock.locked()
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):  # it is heeded between two steps of the interpreter
        pass
    return takes(scheduler, selected)

JobScheduler.update_available_resources = taken
main(["--cores", "1", "--config", "study=smoke", "--", *sys.argv[1:]])
"""


def test_a_driver_that_is_terminated_while_it_holds_its_own_lock_ends(project):
    """Snakemake's handler would wait for it in the thread that holds it. The one job ends, and no other begins."""
    command = [sys.executable, "-c", TERMINATED, find("smoke").cell("base_moments", 0, 0, "model.safetensors")]
    pipes = {"capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run(command, cwd=project.folder, env=project.environment, **pipes)
    assert done.returncode == 1 and "Traceback" not in said(done), said(done)
    assert len(project.hashes()) == 1
    project.run(
        "snakemake", "--cores", 1, "--config", "study=smoke", "--", next(iter(project.hashes()))
    )  # no unlocking


def test_a_study_may_allow_other_hardware_at_any_time_and_no_job_runs_again(project, monkeypatch):
    monkeypatch.delenv(ALLOW, raising=False)
    place = Place("fully_synthetic", 0, 1)
    refuses = find("smoke")
    drivers.allow(refuses)
    assert refuses.file.nonidentical == "refuse" and ALLOW not in os.environ
    project.edit("config/smoke.yaml", ("\nseed: 1\n", "\nseed: 1\nnonidentical: allow\n"))
    allows = find("smoke")
    for ask in (jobs.inputs, jobs.arguments, jobs.identity):
        assert ask(allows, "train", place) == ask(refuses, "train", place)
    drivers.allow(allows)
    assert os.environ[ALLOW] == "1"  # which every training reads
    monkeypatch.delenv(ALLOW)
    monkeypatch.setattr(learning, "put_back", lambda *told: False)

    def begun_elsewhere():
        raise ValueError("the training was begun otherwise: device; allowed is --allow-nonidentical")

    with pytest.raises(ValueError, match="a study says so by nonidentical: allow"):
        learning.leave(project.folder / "m", "gaussian", None, {}, None, begun_elsewhere, None, False)


# -- what failed jobs leave --------------------------------------------------------------------------------------------


def test_what_failed_attempts_said_stays_when_their_log_begins_anew(project):
    log = project.folder / "train.log"
    command = [sys.executable, "-m", "collapselab", "sample", "--model", "none.safetensors"]
    command += ["--count", "1", "--study-seed", "1", "--seed", "0", "--generation", "0", "--out", "samples.safetensors"]
    for _ in range(2):
        with open(log, "wb") as stream:  # as a shell's 2> does
            assert subprocess.run(command, env=project.environment, stderr=stream).returncode == 2
    before = (project.folder / "train.log.failed").read_text()
    assert before.count("no such file: none.safetensors") == 2 and before.count("-- 20") == 2
    with open(log, "wb") as stream:
        assert not subprocess.run(
            [*command[:3], "families"], env=project.environment, stderr=stream, stdout=stream
        ).returncode
    assert (project.folder / "train.log.failed").read_text() == before


SNAKEMAKE = """
Error in rule train:
    message: SLURM-job '41' failed, SLURM status is: 'TIMEOUT'. Detailed failure reason unavailable.
    jobid: 3
    log: logs/train.log, {folder}/slurm_logs/rule_train/smoke_a_0_2/41.log (check log file(s) for error details)
Error in group x:
    message: SLURM-job '42' failed, SLURM status is: 'FAILED'. For further error details see the log.
    log: {folder}/slurm_logs/group_smoke/a/seed0/gen2_sample/42.log (check log file(s) for error details)
Error in rule train:
    message: SLURM-job '43' failed, SLURM status is: 'FAILED'. For further error details see the log.
    log: logs/other.log, {folder}/slurm_logs/rule_train/smoke_a_1_2/43.log (check log file(s) for error details)
"""


def test_the_driver_says_in_a_line_each_why_slurm_ended_jobs_and_what_verbs_said(project, capsys):
    folder = project.folder
    slurm = {
        "rule_train/smoke_a_0_2/41": "slurmstepd: error: *** JOB 41 ON n1 CANCELLED DUE TO TIME LIMIT ***\n",
        "group_smoke/a/seed0/gen2_sample/42": "srun: error: Unable to create step: More processors requested\n",
        "rule_train/smoke_a_1_2/43": "srun: cluster configuration lacks support for cpu binding\n",
    }
    logs = {f"slurm_logs/{name}.log": text for name, text in slurm.items()}
    logs |= {"logs/train.log": "", "logs/other.log": "collapselab: out of memory: 3 GB\n"}
    logs |= {"snakemake.log": SNAKEMAKE.format(folder=folder)}
    for name, text in logs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    assert not frame.run(["explain", "snakemake.log"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "met its time limit" in lines[0] and "Slurm's job 41" in lines[0]
    assert "Unable to create step" in lines[1] and "Slurm's job 42" in lines[1]
    assert lines[2] == "out of memory: 3 GB (logs/other.log)"
