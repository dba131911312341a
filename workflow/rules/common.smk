# The study, what names may stand in paths, and what a rule asks of the package.

import gc
import inspect
import sys
from functools import cache, partial

from collapselab import study as studies
from collapselab.cli import warm
from collapselab.core.errors import Held
from collapselab.study import drivers, following, heeded, jobs, layout, progress, reasons, requests
from collapselab.store import kept, provenance
from collapselab.store.cells import CELL
from collapselab.study.jobs import Place

# A plan makes objects by the million and drops none of them: to look for garbage among them took a fifth of its time.
gc.set_threshold(500_000)
provenance.remember_in(provenance.FOLDER)
try:
    STUDY = studies.of_workflow(config)
except (ValueError, LookupError) as fault:  # a bad study's, or of an entry that another package brings
    print(fault if isinstance(fault, ValueError) else f"config: {fault!r}", file=sys.stderr)
    sys.exit(2)


if workflow.modifier.path_modifier.prefix:
    reason = "it moves outputs, and jobs are told where they write: leave it out (docs/scale.md)"
    print(f"module: found prefix: {workflow.modifier.path_modifier.prefix!r}; {reason}", file=sys.stderr)
    sys.exit(2)
drivers.allow(STUDY)
following.follow(STUDY)
if workflow.is_main_process:
    try:
        drivers.refuse_second(STUDY, sys.argv)
    except Held as fault:
        print(fault, file=sys.stderr)
        sys.exit(5)


wildcard_constraints:
    study=STUDY.name,
    real="|".join(one.real for one in STUDY.splits),
    arm="|".join([*STUDY.lineages, *STUDY.bases]),  # a base holds only the start that its arms share
    seed="|".join(map(str, STUDY.levels)),
    generation="|".join(str(t) for t in range(STUDY.file.generations + 1)),
    role="[a-z0-9_]+",
    part="|".join(Path(STUDY.part_file(part)).stem for part in layout.parts(STUDY)),
    extractor="|".join(STUDY.extractors),
    variant=r"\.[0-9a-f]{8}",


def cell(noun):
    """A file of one generation, and its hash."""
    return hashed(f"{CELL}/{noun}")


def told_in(verb):
    """Where a verb of one generation says what it does."""
    place = CELL.replace("results", "logs", 1)
    return f"{place}/{verb}.log"


# Whether jobs are sent away, or this is what was sent. Else there are no groups, over which a dry run goes again and
# again, and nothing is asked for but a GPU.
SENT = workflow.resource_settings.nodes is not None or not workflow.is_main_process


def known(function):
    """The function with its signature, which Snakemake asks for at every job, and which takes longest to find out."""
    function.__signature__ = inspect.signature(function)
    return function


@known
def generation(wildcards):
    """One job of a cluster: all of a generation of a lineage after its training, which is a job of its own, since a job
    that fails is begun anew, with the files that it had made."""
    return requests.cell_group(STUDY.name, Place.of(wildcards))


@known
def training(wildcards):
    """The job of a training, and of what is drawn for it where that costs little; else each is one by itself."""
    return requests.training_group(STUDY, Place.of(wildcards))


@known
def judged_generation(wildcards):
    """The same of what follows people's judgement: nobody holds a job while others wait."""
    return requests.judged_group(STUDY, Place.of(wildcards))


if not SENT:
    generation = training = judged_generation = None


@known
def turn(wildcards):
    """Of jobs that are ready, those of an earlier generation come first: then there are curves early, of all arms."""
    return requests.turn(STUDY, Place.of(wildcards))


def asked(verb):
    """What the jobs of a rule ask a cluster for; a GPU is counted where several share a machine, too."""
    gpu = known(lambda wildcards: int(requests.needs_gpu(STUDY, verb, Place.of(wildcards))))
    if not SENT:
        return {"gpu": gpu if requests.may_need_gpu(STUDY) else 0}
    asks = {
        "gpu": lambda wildcards: gpu(wildcards) or None,
        "gres": lambda wildcards: requests.gres(STUDY, verb, Place.of(wildcards)),
        "cpus_per_task": lambda wildcards: requests.cpus(STUDY, verb, Place.of(wildcards)),
    }
    if workflow.is_main_process:  # what was sent has its time and its memory
        asks["runtime"] = lambda wildcards, attempt: requests.again(STUDY, verb, wildcards, attempt).minutes
        asks["mem_mb"] = lambda wildcards, attempt: requests.again(STUDY, verb, wildcards, attempt).memory_mb
    return asks


def hashed(*files):
    """Outputs: each file and its hash, which is written after it."""
    return [name for file in files for name in (file, f"{file}.sha256")]


names = cache(layout.names_in)  # as they are while the plan is made


def content(*files, **dated):
    """Inputs: only the hash counts, so that a checkout or a touched date replans nothing.

    dated: of files by name, whether the date of the hash counts."""
    found = [heeded.content(file, names, counts) for file, counts in (dict.fromkeys(files, True) | dated).items()]
    return [name if counts else ancient(name) for one in found for name, counts in one.items()]


settle = cache(partial(drivers.settle, workflow))  # its settings come after the rules, and before their inputs


def read_by(verb):
    """The files that a job reads, as far as Snakemake has to know of them."""

    def inputs(wildcards):
        settle()
        return content(**heeded.inputs(STUDY, verb, Place.of(wildcards), names))

    return known(inputs)


def waited_for_by(verb):
    """The decisions that a job waits for: nothing is trained again since one was made anew."""
    return known(
        lambda wildcards: [ancient(file) for file in hashed(*jobs.decisions(STUDY, verb, Place.of(wildcards)))]
    )


def told(verb):
    """What a job is told."""
    return known(lambda wildcards: jobs.arguments(STUDY, verb, Place.of(wildcards)))


def source(*verbs):
    """The hash of the source that a job depends on, and of what lies outside the study."""
    return known(lambda wildcards: " ".join(jobs.identity(STUDY, verb, Place.of(wildcards)) for verb in verbs))


onstart:
    gc.freeze()  # what the plan has made stays until the end, and is not looked through again
    drivers.begin(STUDY)
    drivers.heed_sigterm()
    reasons.remember(STUDY)
    if workflow.local_exec:  # jobs of a cluster run elsewhere
        warm.start()


def say_who_has_ended():
    """Lineages that diverged, or were stopped: their jobs have succeeded, and nobody has said so yet."""
    for line in progress.ended(STUDY):
        print(f"collapselab: {line}", file=sys.stderr)


onsuccess:
    say_who_has_ended()
    kept.forget_below(f"results/{STUDY.name}")
    said = Path(f"logs/{STUDY.name}/track.log")
    if said.exists():
        print(said.read_text(encoding="utf-8").strip(), file=sys.stderr)


onerror:
    say_who_has_ended()
    shell("collapselab explain {log:q} >&2 || true")
