# The study, what names may stand in paths, and what a rule asks of the package.

import sys

from collapselab import study as studies
from collapselab.study import jobs, layout, looking, reasons
from collapselab.store import provenance
from collapselab.store.cells import CELL
from collapselab.study.jobs import Place

provenance.remember_in(provenance.FOLDER)
try:
    STUDY = studies.of_workflow(config)
except (ValueError, LookupError) as fault:  # a bad study's, or of an entry that another package brings
    print(fault if isinstance(fault, ValueError) else f"config: {fault!r}", file=sys.stderr)
    sys.exit(2)


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


def after_judging(wildcards):
    """The group of what follows people's judgement: the jobs of a generation are one of a cluster, but nobody waits."""
    arms = wildcards.arm, STUDY.yoked.get(wildcards.arm, wildcards.arm)
    judged = "_judged" if any(map(STUDY.awaits_ballots, arms)) else ""
    return f"generation_{wildcards.generation}{judged}"


def hashed(*files):
    """Outputs: each file and its hash, which is written after it."""
    return [name for file in files for name in (file, f"{file}.sha256")]


def content(*files):
    """Inputs: only the hash counts, so that a checkout or a touched date replans nothing."""
    return [name for file in files for name in (ancient(file), f"{file}.sha256")]


def read_by(verb):
    """The files that a job reads."""
    return lambda wildcards: content(*jobs.inputs(STUDY, verb, Place.of(wildcards)))


def told(verb):
    """What a job is told."""
    return lambda wildcards: jobs.arguments(STUDY, verb, Place.of(wildcards))


def source(*verbs):
    """The hash of the source that a job depends on, and of what lies outside the study."""
    return lambda wildcards: " ".join(jobs.identity(STUDY, verb, Place.of(wildcards)) for verb in verbs)


onstart:
    reasons.remember(STUDY)


onsuccess:
    said = Path(f"logs/{STUDY.name}/track.log")
    if said.exists():
        print(said.read_text(encoding="utf-8").strip(), file=sys.stderr)


onerror:
    shell("collapselab explain {log:q} >&2 || true")
