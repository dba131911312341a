"""What jobs ask a cluster for, and what it is asked for again: by the family's need, and by what was lacking."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from project import Project

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.sets import SampleSet
from collapselab.machine import slurm
from collapselab.models import MODELS
from collapselab.study import jobs, requests
from collapselab.study.jobs import Place
from collapselab.study.loading import find

ROOT = Path(__file__).parents[1]
CELL = Place("fully_synthetic", 0, 1)


@pytest.fixture(scope="module")
def closed():
    return find(ROOT / "config" / "smoke.yaml")


@pytest.fixture(scope="module")
def network():
    return find(ROOT / "config" / "quickstart.yaml")


@pytest.fixture(autouse=True)
def nothing_measured(tmp_path, monkeypatch):
    """No throughput of this user's is known, and no job has left anything."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(requests.GRES_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    requests._timed.cache_clear()
    yield
    requests._timed.cache_clear()


def test_a_closed_form_asks_for_no_gpu_and_for_minutes(closed):
    for verb, place in jobs.every(closed):
        if verb not in ("compose", "report", "track"):
            asked = requests.request(closed, verb, place)
            assert (asked.gpus, asked.cpus) == (0, 1) and requests.gres(closed, verb, place) is None, verb
            assert asked.minutes <= 60 and 1000 < asked.memory_mb < 3000, (verb, asked)
    assert requests.request(closed, "train", CELL).minutes < 20


def test_a_network_asks_for_a_gpu_and_for_processors(network):
    asked = requests.request(network, "train", CELL)
    assert asked.gpus == 1 and asked.cpus > 1 and asked.memory_mb > 3500
    assert requests.gres(network, "train", CELL) == "gpu:1"
    assert requests.request(network, "record", CELL).gpus == 0


def test_the_time_of_a_network_that_nobody_has_timed_is_guessed_from_its_steps_and_operations(network, monkeypatch):
    """A tiny one by its steps, one that takes longer for its operations by those; at most a day, as where GPUs lack."""
    model = network.model_of(CELL.arm)
    images, batch = network.images_seen(CELL.arm, CELL.generation), network.parsed_options(model).batch
    assert 0 < requests._operations(network, model)["training"] < requests.GPU_FLOPS * requests.STEP_S / batch

    def minutes(verb="train"):
        return requests.request(network, verb, CELL).minutes

    steps = -(-images // batch) * requests.STEP_S
    assert minutes() == requests.TRAINING_MINUTES + -(-requests.GUESS * steps // 60)
    assert requests.BEGIN_MINUTES < minutes("sample") < 60
    each = 2 * requests.GPU_FLOPS * requests.STEP_S / batch  # so that the operations take twice as long as the steps
    monkeypatch.setattr(requests, "_operations", lambda study, model: {"training": each})
    assert minutes() == requests.TRAINING_MINUTES + -(-requests.GUESS * 2 * steps // 60)
    monkeypatch.setenv(requests.GRES_VARIABLE, "")  # there are no GPUs
    assert minutes() == requests.TRAINING_MINUTES + 1440


def test_every_network_says_of_how_many_images_a_step_is():
    for name, family in MODELS.items():
        if family.uses_torch:
            options = family.Options(**family.Options.smallest(family.takes[0]))
            assert options.batch >= 1 and options.sample_batch >= 1, name


def test_a_measured_network_asks_for_the_time_that_its_images_take(network, tmp_path):
    model = network.model_of(CELL.arm)
    said = {
        "device": "A GPU that is elsewhere",
        "torch": "2",
        "family": network.family(model),
        "source": "0",
        "options": network.parsed_options(model).settled().model_dump(mode="json"),
        "shape": network.shape,
        "training_images_per_second": 10.0,
        "sampling_images_per_second": 1.0,
        "spread": 0.0,
        "watts": 1.0,
        "energy_source": "nvml",
        "peak_memory_bytes": 1,
    }
    cache = tmp_path / "cache" / "collapselab" / "throughput.json"
    cache.parent.mkdir(parents=True)
    cache.write_text(json.dumps({"throughput": [said]}))
    images = network.images_seen(CELL.arm, CELL.generation)
    train, sample = (requests.request(network, verb, CELL).minutes for verb in ("train", "sample"))
    assert train == requests.TRAINING_MINUTES + -(-requests.MARGIN * images // 600)
    assert sample == requests.BEGIN_MINUTES + -(-requests.MARGIN * network.file.samples // 60)


def test_what_shares_a_job_of_slurm_asks_for_the_same_gpu(network, monkeypatch):
    """Snakemake refuses a group whose members say different words."""
    assert {requests.gres(network, verb, CELL) for verb in requests.GROUPED} == {"gpu:1"}
    monkeypatch.setenv(requests.GRES_VARIABLE, "gpu:a100:1")
    assert {requests.gres(network, verb, CELL) for verb in ("train", *requests.GROUPED)} == {"gpu:a100:1"}
    monkeypatch.setenv(requests.GRES_VARIABLE, " ")  # a cluster without GPUs
    assert {requests.gres(network, verb, CELL) for verb in ("train", *requests.GROUPED)} == {None}


PEOPLE = {"people": {"share": 0.5, "judges": 4, "per_judge": 800, "overlap": 2}}


def test_people_are_waited_for_without_a_gpu(network, tmp_path, monkeypatch):
    """What follows their judgement is a job of its own, and asks for what it needs itself."""
    text = yaml.safe_load((ROOT / "config" / "quickstart.yaml").read_text())
    text |= {"name": "judged", "samples": 1600}
    text["arms"] = {"judged": {"model": next(iter(text["models"])), "regime": "fully_synthetic", "select": PEOPLE}}
    path = tmp_path / "judged.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    study, place = find(path), Place("judged", 0, 1)
    assert requests.judged_group(study, place) == "judged/judged/seed0/gen1/judged"
    assert {verb: requests.gres(study, verb, place) for verb in requests.JUDGED} == dict.fromkeys(requests.JUDGED)
    others = set(requests.GROUPED) - set(requests.JUDGED)
    assert {requests.gres(study, verb, place) for verb in others} == {"gpu:1"}


def test_what_only_passes_on_that_a_lineage_has_ended_asks_for_next_to_nothing(tmp_path):
    """After a decision, after samples of a model that diverged, and after a training that is a marker."""
    text = (ROOT / "config" / "quickstart.yaml").read_text() + "stop: {when: collapsed, below: 0.1}\n"
    path = tmp_path / "stopping.yaml"
    path.write_text(text.replace("name: quickstart", "name: stopping"))
    study = find(path)
    decision = Path(study.cell(*CELL.cell[:2], 0, "stop.json"))
    model = Path(study.cell(*CELL.cell, "model.safetensors"))
    samples = Path(study.cell(*CELL.cell[:2], 0, "samples.safetensors"))

    def asked():
        little = requests.Request(0, 1, requests.TRAINING_MINUTES, requests.FRAME_MB)
        own = {verb: requests.request(study, verb, CELL) for verb in ("train", "sample", "record")}
        none = [verb for verb in own if requests.gres(study, verb, CELL) is None]
        return [verb for verb in own if own[verb]._replace(minutes=little.minutes) == little and verb in none]

    assert asked() == []
    store.write_json(decision, {"stopped": None})
    assert asked() == []
    store.write_json(decision, {"stopped": {"generation": 0, "when": "collapsed", "rule": {}, "values": []}})
    assert asked() == ["train"]
    store.write_tensors(model, {}, {"lineage": {"diverged": {"generation": 1}}})
    assert asked() == ["train", "sample", "record"]
    store.write_json(decision, {"stopped": None})
    assert asked() == ["sample", "record"]
    store.write_samples(samples, SampleSet(np.empty(0), lineage={"diverged": {"generation": 0}}))
    assert asked() == ["train", "sample", "record"]


class Wildcards(list):
    """Wildcards as snakemake hands them over: words with names."""

    def __init__(self, **named):
        super().__init__(named.values())
        vars(self).update(named)


WILDCARDS = Wildcards(study="quickstart", arm="fully_synthetic", seed="0", generation="1")
ENDS = {
    "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***": (2, 1),
    "slurmstepd-vm: error: *** STEP 46.0 ON vm CANCELLED AT 2026-01-01T00:00:00 ***": (2, 1),
    "collapselab: interrupted after 64 images; the same command goes on from there": (2, 1),
    "slurmstepd: error: Detected 1 oom_kill event in StepId=5.0. Some of the step tasks have been OOM Killed.": (1, 2),
    "Killed": (1, 2),
    "": (1, 2),
}


@pytest.mark.parametrize("said", ENDS)
@pytest.mark.parametrize("where", ["job", "group", "verb"])
def test_an_attempt_after_the_time_limit_has_more_time_and_another_one_more_memory(network, said, where):
    places = {
        "job": ".snakemake/slurm_logs/rule_train/quickstart_fully_synthetic_0_1/5.log",
        "group": ".snakemake/slurm_logs/group_quickstart/fully_synthetic/seed0/gen1/train_draw_train/5.log",
        "verb": "logs/quickstart/fully_synthetic/seed0/gen1/train.log",
    }
    log = Path(places[where])
    log.parent.mkdir(parents=True)
    log.write_text(f"begins\n{said}\n", encoding="utf-8")
    first, second = (requests.again(network, "train", WILDCARDS, attempt) for attempt in (1, 2))
    assert first == requests.request(network, "train", CELL)
    assert (second.minutes / first.minutes, second.memory_mb / first.memory_mb) == ENDS[said]


def test_the_last_of_several_attempts_counts(network):
    folder = Path(".snakemake/slurm_logs/rule_train/quickstart_fully_synthetic_0_1")
    folder.mkdir(parents=True)
    for number, said in enumerate(ENDS):
        (folder / f"{number}.log").write_text(said)
        os.utime(folder / f"{number}.log", (number, number))
    asked = requests.again(network, "train", WILDCARDS, 3)
    first = requests.request(network, "train", CELL)
    assert asked.minutes == first.minutes and asked.memory_mb == 3 * first.memory_mb


# -- the profiles ------------------------------------------------------------------------------------------------------


def test_every_key_of_the_profiles_has_a_comment():
    """At the key's own line, at one above it in its paragraph, or at the key that it stands under."""
    for path in sorted((ROOT / "profiles").glob("*/profile.yaml")):
        told = []  # (indent, whether a comment is there)
        comment = False
        for line in path.read_text().splitlines():
            text = line.strip()
            if not text:
                comment = False
            elif text.startswith("#"):
                comment = True
            else:
                indent = len(line) - len(line.lstrip())
                told = [one for one in told if one[0] < indent]
                has = comment or " #" in line or any(there for _, there in told)
                assert has or indent, f"{path}: {text}"
                told.append((indent, has))


def test_the_slurm_profile_counts_no_gpu_where_slurm_would_add_it_up():
    """The plugin would ask srun for the sum of what runs side by side, and sbatch for less."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text())
    said = {rule for rule, asks in profile["set-resources"].items() if asks.get("gpu") == 0}
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    never = {"prepare", "task", "record", "stop", "baseline", "replicate"}  # which ask for none, whatever the study
    assert said == set(re.findall(r'\*\*asked\("(\w+)"\)', rules)) - never
    assert profile["slurm-status-command"] == "squeue"


def test_what_is_told_ahead_of_its_limit_asks_for_more_time_than_that(closed, network):
    """A job whose warning comes as long before its end as it lasts is over at once."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text())
    told = {rule: asks["slurm_extra"] for rule, asks in profile["set-resources"].items() if "slurm_extra" in asks}
    assert set(told) == {"draw", *requests.TRAINING}
    for rule, said in told.items():
        ahead_minutes = int(re.search(r"--signal=TERM@(\d+)", said)[1]) / 60
        for study in (closed, network):
            asked = requests.request(study, rule, CELL).minutes
            assert asked >= ahead_minutes + 1 + requests.BEGIN_MINUTES, (rule, asked)  # Slurm is a minute early at most


def test_the_manifest_for_kubernetes_runs_what_there_is(tmp_path):
    """Its command, with -n: a study is planned, on as many GPUs as the pod has."""
    manifest = yaml.safe_load((ROOT / "profiles/kubernetes/job.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "Job")
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command = container["args"][0].rpartition("exec ")[2]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == int(re.search(r"--resources gpu=(\d+)", command)[1])
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    done = Project.create(tmp_path).run(*command.replace("study=mine", "study=smoke").split(), "-n", "--quiet", "rules")
    assert "train" in done.stdout


# -- the doctor --------------------------------------------------------------------------------------------------------

CONFIG = "AccountingStorageType   = accounting_storage/{}\nMinJobAge               = {} sec\n"


@pytest.mark.parametrize(
    ("command", "kept", "storage", "fault"),
    [
        ("squeue", 300, "none", ""),
        ("squeue", 60, "none", "slurm-init-seconds-before-status-checks: 20"),
        ("squeue", 60, "slurmdbd", "say sacct"),
        ("sacct", 300, "none", "set slurm-status-command: squeue"),
        ("sacct", 5, "slurmdbd", ""),
    ],
)
def test_the_doctor_says_how_jobs_have_to_be_asked_after(command, kept, storage, fault):
    profile = {"slurm-status-command": command, "slurm-init-seconds-before-status-checks": 40}
    status, accounting = slurm.asking(profile, CONFIG.format(storage, kept), storage != "none")
    assert fault in status.fault and bool(fault) == bool(status.fault)
    assert bool(accounting.advice) == (storage == "none")


def test_the_doctor_advises_nothing_on_what_a_cluster_that_does_not_answer_has_not_told(monkeypatch):
    """No job is forgotten 0 s after its end, and no partition is missing, only since nobody was asked."""
    (status,) = slurm.asking({"slurm-status-command": "squeue"}, "", False)
    assert not status.fault and not status.advice and "says nothing" in status.found
    monkeypatch.setattr(slurm, "_said", lambda *command, **_: "")
    for told in (["mem_mb=2", "slurm_partition=gpu"], {"slurm_partition": "gpu"}):
        (partitions,) = slurm._partitions({"default-resources": told})
        assert "is the controller up?" in partitions.fault and not partitions.advice
    monkeypatch.setattr(slurm, "_said", lambda *command, **_: "cpu*|1:00|2|up|(null)")
    for told in (["mem_mb=2", "slurm_partition=gpu"], {"slurm_partition": "gpu"}):
        assert "asks for 'gpu', which is none of them" in next(slurm._partitions({"default-resources": told})).fault


@pytest.mark.parametrize(
    ("said", "about"),
    [
        ("sbatch: error: Invalid generic resource (gres) specification", True),
        ("sbatch: error: Batch job submission failed: Requested node configuration is not available", True),
        ("sbatch: fatal: Could not establish a configuration source", False),
        ("sbatch: error: invalid partition specified: nope", False),
    ],
)
def test_a_job_that_is_refused_for_what_it_asks_says_what_to_ask_for(said, about):
    assert said in slurm.refused(said, "gpu:1") and ("COLLAPSELAB_GRES" in slurm.refused(said, "gpu:1")) == about
    assert slurm.refused(said, "") == said


def test_a_controller_that_does_not_answer_holds_no_doctor_up(monkeypatch, tmp_path):
    monkeypatch.setattr(slurm, "SUBMITS_S", 0.05)
    assert slurm._submitted("sleep", "9") == ("", "sbatch does not answer within 0 s")
    monkeypatch.setattr(slurm, "SUBMITS_S", 60)
    assert slurm._submitted("sh", "-c", "echo 12; echo word >&2") == ("12", "word")
    assert slurm._submitted("sh", "-c", "echo no; exit 1") == ("", "")


THERE = {"package": "/home/me/src", "gpus": ["GPU 0: A"], "visible": "0", "scratch": "/tmp", "scratch_gb": 9.0}
THERE |= {"time": 1000.0, "lock": "held", "seen": "yes"}


@pytest.mark.parametrize(
    ("changes", "what", "words"),
    [
        ({}, "", ""),
        ({"package": "", "package_error": "No module named 'collapselab'"}, "environment", "shared file system"),
        ({"gpus": [], "visible": ""}, "GPU", "asked for gpu:1 and was given none"),
        ({"scratch_gb": 0.5}, "scratch", "set TMPDIR"),
        ({"scratch_error": "Read-only file system"}, "scratch", "cannot be written: Read-only"),
        ({"time": 4600.0}, "clock", "the node's clock is another"),
        ({"time": -2600.0}, "clock", "the node's clock is another"),
        ({"lock": "free"}, "locks", "never run two"),
        ({"lock": "No locks available"}, "locks", "never run two drivers"),
        ({"seen": ""}, "shared files", "raise latency-wait"),
    ],
)
def test_the_doctor_says_what_is_wrong_with_a_node(changes, what, words, monkeypatch):
    monkeypatch.setattr(slurm.time, "time", lambda: 1002.0)
    wrong = {line.what: line.fault or line.advice for line in slurm.found_there(THERE | changes, 999.0, "gpu:1")}
    assert {name: said for name, said in wrong.items() if said} == ({what: wrong[what]} if what else {})
    assert not what or words in wrong[what]


def test_the_doctor_of_a_cluster_that_is_none_says_so(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    (line,) = slurm.examine({}, "gpu:1")
    assert line.found == "not found" and "sbatch" in line.fault and "not on the PATH" in line.fault
    assert frame.run(["doctor", "--profile", "nothing"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "found 'nothing'" in said and "profiles/nothing/profile.yaml" in said
    Path("profile.yaml").write_text("executor: local\n", encoding="utf-8")
    monkeypatch.setattr("collapselab.machine.doctor.examine", list)
    assert frame.run(["doctor", "--profile", "profile.yaml"]) == 2
    assert "no executor: slurm" in " ".join(capsys.readouterr().err.split())
