"""What Snakemake is told of a study plans the same jobs as all that its jobs read, and grows with them no faster."""

import json
import os
import random
import time
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from project import missing_parts
from snakemake.settings.enums import RerunTrigger
from snakemake.settings.types import DAGSettings, MaxJobsPerTimespan, SchedulingSettings

from collapselab.store.cells import left_by
from collapselab.study import drivers, heeded, jobs, layout
from collapselab.study.loading import check
from collapselab.study.streams import task_file

ROOT = Path(__file__).parents[1]
STUDIES = [None, *sorted((ROOT / "config").glob("*.yaml"))]
CHAIN = {
    "name": "chain",
    "seeds": 1,
    "generations": 5,
    "data": {"population": {"gaussian": {"dimension": 2}}, "split": {"held_out": 50}},
    "models": {"moments": {"gaussian": {"ddof": 0}}},
    "initial": {"real": 50},
    "samples": 50,
    "extractors": ["identity"],
    "metrics": ["frechet_distance"],
    "primary": {"metric": "frechet_distance", "extractor": "identity"},
    "arms": {"accumulating": {"model": "moments", "regime": "accumulate"}},
    "control": "none",
}


def of(said):
    """A study of what a file would say."""
    found, faults = check(said, said["name"])
    assert not faults
    return found


@cache
def small(path):
    """A study of config/ with four generations, or one whose generations eat all before them."""
    return missing_parts(path)[0].longer(4) if path else of(CHAIN)


def graph(study):
    """(verb, place) -> the files that the job makes, each with its hash; trainings are composed in the same job."""
    made = {}
    for verb, place in jobs.every(study):
        if verb != "compose":
            made[verb, place] = outputs(study, verb, place)
    return made


def outputs(study, verb, place):
    """The files that a job makes."""
    if nouns := left_by(verb, place.role):
        return [study.cell(*place.cell, noun) for noun in nouns]
    there = study if len(study.splits) == 1 else study.with_split(place.seed, place.real)
    if verb in ("prepare", "populate"):
        return [there.part_file(place.part)]
    if verb == "task":
        return [task_file(there, place.part, place.generation)]
    if verb in ("learn", "extract_real"):
        return [there.extractor_file({"learn": "weights"}.get(verb, "features"), place.extractor)]
    report = {"baseline": layout.baseline(study), "report": [study.report_file(name) for name in layout.WRITTEN]}
    report |= {"track": [study.report_file("tracked.json")]}
    return report.get(verb) or [study.table(place.arm, noun) for noun in ("parquet", "cost.json")]


class Disk:
    """The names that lie in folders, as a plan looks them up."""

    def __init__(self, files):
        self.folders = {}
        for file in files:
            folder, _, name = file.rpartition("/")
            self.folders.setdefault(folder, set()).update((name, f"{name}.sha256"))

    def names(self, folder):
        return self.folders.get(folder, set())

    def has(self, file):
        folder, _, name = file.rpartition("/")
        return name in self.names(folder)

    def delete(self, file):
        folder, _, name = file.rpartition("/")
        self.folders[folder].discard(name)


def planned(made, told, disk, changed):
    """The jobs that Snakemake would run: those that changed, those that make what is missing of what they read, and
    those that read what is made again, by its hash.

    told: job -> the files that Snakemake is told it reads, hashes too.
    """
    maker = {name: job for job, files in made.items() for file in files for name in (file, f"{file}.sha256")}
    readers = {}
    for job, files in told.items():
        for file in files:
            if file in maker and file.endswith(".sha256"):
                readers.setdefault(maker[file], set()).add(job)
    found, queue = set(changed), list(changed)
    while queue:
        job = queue.pop()
        more = {maker[file] for file in told[job] if file in maker and not disk.has(file)}
        more |= readers.get(job, set())
        queue += more - found
        found |= more
    return found


def everything(study, job):
    """All that a job reads, and the hash of each."""
    return [name for file in jobs.inputs(study, *job) for name in (file, f"{file}.sha256")]


def what_is_told(study, job, disk):
    """What Snakemake is told of it, as the workflow's rules say."""
    return [name for file in heeded.inputs(study, *job, disk.names) for name in heeded.content(file, disk.names)]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem if path else "chain")
def test_what_is_told_plans_the_same_jobs_as_all_that_is_read(path):
    """Of unbegun, finished and half-finished studies, from which files were deleted or thinned, whatever changed."""
    study, draws = small(path), random.Random(0)
    made = graph(study)
    full = {job: everything(study, job) for job in made}
    for share in (0.0, 1.0, 0.5):
        order = list(made)  # in the order of time: what is done is done with all that it hangs on
        done = order[: round(share * len(order))]
        for gone in (0, 3):
            disk = Disk(file for job in done for file in made[job])
            there = [file for job in done for file in made[job]]
            for file in draws.sample(there, min(gone, len(there))):
                disk.delete(file)
                if draws.random() < 0.5:
                    disk.delete(f"{file}.sha256")
            told = {job: what_is_told(study, job, disk) for job in made}
            for job in draws.sample(order, min(5, len(order))):
                assert planned(made, told, disk, [job]) == planned(made, full, disk, [job]), (job, share, gone)


def test_what_is_told_grows_with_the_generations_and_not_with_their_square():
    study = of(CHAIN)
    counts = {}
    for generations in (10, 20):
        longer = study.longer(generations)
        finished = Disk(file for files in graph(longer).values() for file in files)
        for disk in (Disk(()), finished):
            told = {job: what_is_told(longer, job, disk) for job in graph(longer) if job[0] not in ("report", "track")}
            counts.setdefault(disk is finished, []).append({len(files) for files in told.values()})
    assert all(shorter == longer for shorter, longer in counts.values()), counts
    assert max(max(one) for both in counts.values() for one in both) <= 5


def test_the_training_of_an_accumulating_arm_is_told_of_the_generation_before_it_alone():
    study = of(CHAIN)
    place = jobs.Place("accumulating", 0, 5)
    before = [study.cell("accumulating", 0, one, "samples.safetensors") for one in range(5)]
    assert set(before) < set(jobs.inputs(study, "train", place))
    finished = Disk(file for files in graph(study).values() for file in files)
    drawn = study.cell(*place.cell, "drawn.safetensors")
    told = set(heeded.inputs(study, "train", place, finished.names))
    assert before[-1] in told <= {drawn, before[-1]}
    finished.delete(before[2])  # thinned: its hash is still there
    found = heeded.inputs(study, "train", place, finished.names)
    assert found[before[-1]] and not found[before[2]]  # only lately told of it: its date says nothing
    assert list(heeded.content(before[2], finished.names)) == [before[2], f"{before[2]}.sha256"]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem if path else "chain")
def test_what_a_job_reads_is_among_what_it_is_told_or_upstream_of_that(path):
    """So a job whose inputs are others is told otherwise, or reads what is made anew: their list need not count."""
    study = small(path)
    made = graph(study)
    maker = {file: job for job, files in made.items() for file in files}
    said = {job: jobs.arguments(study, *job) for job in made}
    said |= {job: f"{said[job]} {jobs.arguments(study, 'compose', job[1])}" for job in made if job[0] == "train"}
    for job in made:
        if job[0] in ("report", "track"):  # which are told the whole study
            assert "--planned" in said[job]
            continue
        reads = jobs.inputs(study, *job)
        above, queue = set(), list(reads)
        while queue:  # all that is upstream of what it reads
            new = set(jobs.inputs(study, *maker[one])) - above if (one := queue.pop()) in maker else set()
            above |= new
            queue += new
        unsaid = [file for file in reads if file not in said[job] and file not in above]
        assert not unsaid, (job, unsaid)


def test_only_the_list_of_inputs_and_the_unsaid_rate_are_settled():
    for said, left in (("100/1s", None), ("5/1m", (5, 60))):
        dag = DAGSettings()
        scheduling = SchedulingSettings(max_jobs_per_timespan=MaxJobsPerTimespan.parse_choice(said))
        before = set(dag.rerun_triggers)
        settings = {"dag_settings": dag, "scheduling_settings": scheduling}
        drivers.settle(SimpleNamespace(rerun_triggers=before, **settings))
        assert before - set(dag.rerun_triggers) == {RerunTrigger.INPUT} and set(dag.rerun_triggers) < before
        rate = scheduling.max_jobs_per_timespan
        assert (rate and (rate.max_jobs, rate.timespan)) == left


def test_a_finished_study_that_was_thinned_and_moved_runs_nothing(smoke):
    """Of a file that has gone Snakemake is told only then: that its hash has a late date is no change of it."""
    smoke.edit(
        "config/smoke.yaml", ("samples: 200", "samples: 200\nkeep: {weights: none, samples: all, features: all}")
    )
    gone = smoke.folder / "results/smoke/base_moments/seed0/gen0/model.safetensors"
    gone.unlink()
    late = time.time() + 1000
    os.utime(f"{gone}.sha256", (late, late))
    assert smoke.plan() == {}


def test_a_finished_study_whose_inputs_were_listed_otherwise_runs_nothing(smoke):
    """As those were that an earlier version has run."""
    records = [path for path in (smoke.folder / ".snakemake/metadata").rglob("*") if path.is_file()]
    texts = {path: json.loads(path.read_text(encoding="utf-8")) for path in records}
    listed = [path for path, said in texts.items() if said["rule"] in ("train", "record") and said["input"]]
    assert listed
    for path in listed:
        more = {"results/smoke/control/seed0/gen0/samples.safetensors.sha256", *texts[path]["input"]}
        path.write_text(json.dumps(texts[path] | {"input": sorted(more)}), encoding="utf-8")
    assert smoke.plan() == {}
    path = listed[0]
    path.write_text(json.dumps(texts[path] | {"params": ["'another'"]}), encoding="utf-8")
    assert smoke.plan()[texts[path]["rule"]] >= 1  # what it is told counts
