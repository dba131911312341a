"""The workflow on a real Slurm of one node, which the tests bring up and down: what a cluster does to jobs, and to the
driver, costs nothing that was made whole, and no bit."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from project import Project, said

from collapselab.study import requests
from collapselab.study.jobs import Place
from collapselab.study.loading import find

SLURM = Path(__file__).with_name("slurm.sh")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
LOOK_S = 4  # seconds until the driver first asks after a job: a minute's wait for each would be most of the test
GPUS = 1
README = ("snakemake", "--config", "study={}", "--workflow-profile", "profiles/slurm")
NETS = """
name: nets
seed: 1
seeds: 2
generations: 0
data: {population: {gaussian: {dimension: 2}}, split: {held_out: 100}}
models: {points: {diffusion: {preset: points}}}
initial: {real: 100}
train: {images_seen: 128000}
samples: 2000
extractors: [identity]
metrics: [frechet_distance]
primary: {metric: frechet_distance, extractor: identity}
control: none
arms: {net: {model: points, regime: fully_synthetic}}
"""

lacking = subprocess.run([SLURM, "lacks"], capture_output=True, text=True)
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(lacking.returncode), reason=f"no Slurm to start: missing are {lacking.stdout.strip()}"),
]


@pytest.fixture(scope="module", params=["none", "database"], ids=["without accounting", "with accounting"])
def slurm(request):
    """A Slurm of one node with one GPU, in which nobody has run anything; whether it has accounting."""
    folder = Path(tempfile.mkdtemp(prefix="collapselab-slurm-"))  # where others than root may enter, too: the database
    try:
        up = subprocess.run(
            [SLURM, "up", folder, str(GPUS), request.param], capture_output=True, text=True, timeout=120
        )
        if up.returncode == 3:
            pytest.skip(up.stderr.strip())
        assert not up.returncode, said(up)
        yield request.param == "database"
    finally:
        left = _left_behind(folder)
        subprocess.run([SLURM, "down", folder], check=True, timeout=120)
        shutil.rmtree(folder, ignore_errors=True)
        assert not left or not [process for process in left.read_text().split() if Path("/proc", process).exists()]


def _left_behind(folder):
    """Where a job that is not over writes its process, and that of a child that has left it; None where none runs."""
    if not Path("/etc/slurm/slurm.conf").exists():
        return None
    left = Path(tempfile.mkdtemp(prefix="collapselab-left-")) / "processes"
    job = f"setsid sleep 900 & echo $! $$ > {left}; sleep 900"
    subprocess.run(["sbatch", "--output=/dev/null", "--mem=1", f"--wrap={job}"], check=True, timeout=60)
    until(lambda: left.exists() and len(left.read_text().split()) == 2, "a job that runs", 60)
    return left


@pytest.fixture
def alone(slurm):
    """That Slurm, for tests that it is enough to run once."""
    if slurm:
        pytest.skip("was tested without accounting")
    return slurm


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The study of a network as it runs here, uninterrupted, without a cluster."""
    project = Project.create(tmp_path_factory.mktemp("reference") / "project")
    (project.folder / "config" / "nets.yaml").write_text(NETS)
    project.snakemake(study="nets")
    return project


@pytest.fixture
def nets(reference, tmp_path):
    """The same study with its real data, to be run on the cluster."""
    project = Project.create(tmp_path / "project")
    shutil.copy(reference.folder / "config" / "nets.yaml", project.folder / "config")
    return project


@pytest.fixture
def drive():
    """Starts drivers, and ends those that still run after the test, with their jobs."""
    started = []

    def start(*words):
        started.append(Driver(*words))
        return started[-1]

    yield start
    for driver in started:
        if driver.process.poll() is None:
            driver.process.send_signal(signal.SIGINT)
            driver.process.wait(60)


def _heed_interrupts():
    """A shell that puts the tests into the background has them ignore SIGINT, and all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Driver:
    """A snakemake that runs a study on the cluster, in the background."""

    def __init__(self, project, study, *words):
        self.log = project.folder / f"driver{len(list(project.folder.glob('driver*.log')))}.log"
        command = [word.format(study) for word in README]
        command += ["--slurm-init-seconds-before-status-checks", str(LOOK_S), *words]
        environment = project.environment | {"COLLAPSELAB_CHECKPOINT_SECONDS": "0.2"}
        said = {"cwd": project.folder, "env": environment, "start_new_session": True, "preexec_fn": _heed_interrupts}
        with open(self.log, "wb") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream, **said)

    @property
    def said(self):
        return self.log.read_text()

    def end(self, code=0, seconds=500):
        """Wait for its end, and check its exit code."""
        assert self.process.wait(seconds) == code, self.said[-6000:]
        return self.said


def ask(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def jobs(states="RUNNING"):
    """comment -> Slurm's number, of the jobs in some states: the comment says which job of the workflow it is."""
    lines = ask("squeue", "-h", f"--states={states}", "-o", "%i|%k").splitlines()
    return {comment: int(number) for number, _, comment in (line.partition("|") for line in lines)}


def facts(number):
    """What Slurm knows of a job."""
    return dict(word.partition("=")[::2] for word in ask("scontrol", "show", "job", "-o", str(number)).split())


def minutes(limit):
    """A time limit as Slurm writes it: days-hours:minutes:seconds."""
    days, _, clock = limit.rpartition("-")
    hours, rest, _ = clock.split(":")
    return 1440 * int(days or 0) + 60 * int(hours) + int(rest)


def until(found, what, seconds=240):
    """What a function finds, as soon as it finds anything."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s in vain for {what}; jobs: {ask('squeue', '-o', '%i %T %r %k')}")


def process_of(project, verb, *words):
    """The process of a verb of a project, with some words on its command line; None where there is none."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            inside = os.readlink(entry / "cwd") == str(project.folder)
        except OSError:
            continue
        itself = Path(line[1] if len(line) > 1 else "").name == "collapselab"  # not the shell that waits for it
        if inside and itself and verb in line and all(any(word in one for one in line) for word in words):
            return int(entry.name)
    return None


def states_of(project, seed):
    return list((project.folder / f"results/nets/base_points/seed{seed}/gen0/.model.training").glob("*.sha256"))


def training(seed):
    """The running job of a seed's training, if there is one."""
    return next((number for comment, number in jobs().items() if f"seed{seed}/gen0/train" in comment), None)


def same(project, reference):
    found, expected = project.hashes("results/nets"), reference.hashes("results/nets")
    assert expected and found == expected


# -- as the README says ------------------------------------------------------------------------------------------------


def test_the_smoke_study_runs_as_the_readme_says(slurm, finished, tmp_path, drive):
    """Also that what it says of itself is right: every job is in the queue under its own name, none asks for a GPU."""
    assert " ".join(README).format("mine") in (Path(__file__).parents[2] / "README.md").read_text()
    project = Project.create(tmp_path / "project")
    if slurm:  # with accounting one seed is enough: what differs is how jobs are asked after
        project.edit("config/smoke.yaml", ("\nseeds: 2\n", "\nseeds: 1\n"))
    driver = drive(project, "smoke")
    seen = {}  # Slurm forgets a job some minutes after its end: what it knows is asked for while it does
    while driver.process.poll() is None:
        seen |= {comment: facts(number) for comment, number in jobs("all").items() if comment not in seen}
        time.sleep(1)
    driver.end()
    made, expected = project.hashes("results/smoke"), finished.hashes("results/smoke")
    assert made and made == {file: digest for file, digest in expected.items() if file in made}
    assert slurm or made == expected
    assert "Nothing to be done" in said(project.run("snakemake", "-n", "--config", "study=smoke"))
    names = [comment for comment in seen if "smoke/" in comment]
    for name in ("smoke/control/seed0/gen2/train_draw_train", "smoke/k_memory/seed0/gen2_extract_record_sample"):
        assert f"rule_{name}" in names, names
    assert "rule_train_wildcards_smoke_k_memory_0_2" in seen, seen
    assert not any("gpu" in one.get("TresPerNode", "") for one in seen.values())
    results = project.folder / "results"
    assert not [*results.rglob(".*.whole*"), *results.rglob(".*.lock")]
    if slurm:  # and as the profile says where it may be otherwise
        drive(project, "smoke", "--slurm-status-command", "sacct", "--forcerun", "baseline").end()


# -- what happens to jobs ----------------------------------------------------------------------------------------------


def test_what_a_cluster_does_to_jobs_costs_neither_bits_nor_what_is_whole(alone, nets, reference, drive):
    """One run in which a node is drained and resumed, a job meets its time limit, one is requeued, one is cancelled,
    and one is killed behind a finished training. Both trainings wait for the one GPU.
    """

    def at_work(verb, seed):
        return process_of(nets, verb, f"seed{seed}/")

    host = ask("hostname", "-s").strip()
    ask("scontrol", "update", f"nodename={host}", "state=drain", "reason=test")
    driver = drive(nets, "nets")
    until(lambda: jobs("PENDING"), "a job that waits for the drained node")
    assert not jobs()
    ask("scontrol", "update", f"nodename={host}", "state=resume")

    (first,) = until(lambda: [seed for seed in (0, 1) if training(seed) and states_of(nets, seed)], "a training")
    second = 1 - first
    number = training(first)
    assert "gpu:1" in facts(number)["TresPerNode"]
    os.kill(at_work("train", first), signal.SIGSTOP)  # until Slurm wakes it up to tell it that its time is over
    study = find(nets.folder / "config" / "nets.yaml")
    asked = sum(requests.request(study, verb, Place("base_points", first, 0)).minutes for verb in ("draw", "train"))
    assert minutes(facts(number)["TimeLimit"]) == asked
    ask("scontrol", "update", f"jobid={number}", "timelimit=1")
    assert not training(second)  # there is one GPU
    until(lambda: facts(number)["JobState"] in ENDED, "the time limit", 300)
    # A training that writes its state when it is told ends by itself before Slurm ends it: both are what a limit does.
    ended = facts(number)["JobState"]
    assert ended in ("TIMEOUT", "FAILED"), driver.said[-3000:]
    assert states_of(nets, first)

    number = until(lambda: training(second), "the second training")
    until(lambda: states_of(nets, second), "its state")
    ask("scontrol", "requeue", str(number))

    # What comes next is Slurm's to choose.
    limit = model = None
    cancelled = False
    while driver.process.poll() is None:
        if facts(number)["Reason"] == "BeginTime":  # what is requeued is held back for some minutes
            ask("scontrol", "update", f"jobid={number}", "starttime=now")
        if limit is None and (again := training(first)):
            limit = facts(again)["TimeLimit"]
        if not cancelled and training(second) and facts(number)["Restarts"] == "1" and at_work("train", second):
            ask("scancel", str(number))
            cancelled = True
        if model is None and (killed := at_work("sample", first)):
            model = nets.folder / f"results/nets/base_points/seed{first}/gen0/model.safetensors"
            before = model.stat()
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.1)
    text = driver.end()
    assert cancelled and minutes(limit) == 2 * asked
    assert (model.stat().st_ino, model.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    same(nets, reference)
    assert re.search(rf"JOB {number} .*CANCELLED", text)  # in what failed jobs said
    log = nets.folder / f"logs/nets/base_points/seed{first}/gen0/train.log.failed"
    if log.exists():  # what was killed could say nothing more
        assert "the same command goes on from there" in log.read_text()


STOPPING = NETS.replace("name: nets", "name: stopping\nstop: {when: collapsed, above: 0}")
STOPPING = STOPPING.replace("seeds: 2", "seeds: 1").replace("generations: 0", "generations: 1")
STOPPING = STOPPING.replace("images_seen: 128000", "images_seen: 256")


def test_what_passes_on_that_a_lineage_was_stopped_asks_for_next_to_nothing(alone, tmp_path, drive):
    """No GPU, little memory, and minutes: the network before it asked for a GPU."""
    project = Project.create(tmp_path / "project")
    (project.folder / "config" / "stopping.yaml").write_text(STOPPING)
    driver, seen = drive(project, "stopping"), {}
    while driver.process.poll() is None:
        # Slurm still knows of the jobs of other tests.
        own = {comment: number for comment, number in jobs("all").items() if "stopping/" in comment}
        seen |= {comment: facts(number) for comment, number in own.items() if comment not in seen}
        time.sleep(1)
    driver.end()
    of = {
        generation: [facts for comment, facts in seen.items() if f"gen{generation}" in comment] for generation in (0, 1)
    }
    assert any("gpu:1" in one.get("TresPerNode", "") for one in of[0])
    assert of[1] and not any("gpu" in one.get("TresPerNode", "") for one in of[1])
    asked = {
        comment: (minutes(one["TimeLimit"]), one["MinMemoryNode"]) for comment, one in seen.items() if "gen1" in comment
    }
    assert all(limit <= 60 and memory == "1500M" for limit, memory in asked.values()), (asked, driver.said[-3000:])
    record = json.loads((project.folder / "results/stopping/net/seed0/gen1/metrics.json").read_text())
    assert record["status"] == "stopped"


# -- what happens to the driver ----------------------------------------------------------------------------------------


def test_a_driver_that_is_killed_and_one_that_is_interrupted(alone, nets, reference, drive, monkeypatch):
    """Killed: its jobs run on, the next driver's are told who holds their files, and nothing is trained twice.
    Interrupted: its jobs are cancelled, and what they had finished is there.
    """
    monkeypatch.setenv("COLLAPSELAB_GRES", "")  # no job waits for the GPU that another has
    first = drive(nets, "nets")
    (seed, *_) = until(lambda: [one for one in (0, 1) if states_of(nets, one)] or None, "a training")
    at_work = process_of(nets, "train", f"seed{seed}/")
    os.kill(at_work, signal.SIGSTOP)  # so that it is there when the second comes
    first.process.kill()
    first.process.wait()
    nets.run("snakemake", "--unlock", "--config", "study=nets")
    text = drive(nets, "nets", "--retries", "0").end(code=1)
    os.kill(at_work, signal.SIGCONT)
    held = r"(training\.parquet|model\.safetensors): process \d+ on .*, Slurm's job \d+, since .* works at it"
    assert re.search(held, text), text[-3000:]
    until(lambda: not jobs("PENDING,RUNNING"), "the end of the first driver's jobs")
    third = drive(nets, "nets")
    until(lambda: process_of(nets, "sample", f"seed{seed}/"), "samples")  # the other's are there: the second went on
    models = sorted(nets.folder.glob("results/nets/base_points/seed*/gen0/model.safetensors"))
    before = [path.stat().st_mtime_ns for path in models]
    third.process.send_signal(signal.SIGINT)
    third.process.wait(120)
    until(lambda: not jobs("PENDING,RUNNING"), "the end of the cancelled jobs", 60)
    assert [path.stat().st_mtime_ns for path in models] == before
    drive(nets, "nets").end()
    same(nets, reference)
    logs = nets.folder.glob("logs/nets/base_points/seed*/gen0/train.log*")
    assert (
        sum("it is put back" in path.read_text() for path in logs)
        or [path.stat().st_mtime_ns for path in models] == before
    )


# -- the doctor --------------------------------------------------------------------------------------------------------


def test_the_doctor_finds_this_cluster_well(slurm, tmp_path):
    project = Project.create(tmp_path / "project")
    done = project.run("collapselab", "doctor", "--profile", "slurm", code=None)
    text = said(done)
    for what in ("submission", "GPU", "scratch", "clock", "locks", "hard links", "status command", "accounting"):
        assert re.search(rf"^(ok|FAULT|advice) +{what}", text, re.MULTILINE), (what, text)
    assert not re.search("^FAULT +(submission|GPU|scratch|clock|locks|status)", text, re.MULTILINE), text
