"""Who runs a study: one snakemake at a time. Whoever comes second is told so.

It is told before it meets snakemake's own lock, whose text would have a run unlocked that is alive.
"""

import _thread
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..core.errors import Held
from ..core.shipped import shipped
from ..store import held
from ..store.locks import holder
from ..store.provenance import FOLDER
from . import layout
from .study import Study

LOOKS = frozenset(  # options with which snakemake runs nothing
    {
        *("-n", "--dry-run", "--dryrun", "--lint", "--summary", "-S", "--detailed-summary", "-D", "--report", "--list"),
        *("--dag", "--rulegraph", "--filegraph", "--d3dag", "--list-rules", "-l", "--list-target-rules", "--lt"),
        *("--list-changes", "--list-input-changes", "--list-params-changes", "--archive", "--containerize"),
        *("--generate-unit-tests", "--print-compilation", "--list-untracked", "--lu"),
    }
)
UNSAID_RATE = (100, 1)  # jobs and seconds: Snakemake's limit where nobody has said one
_stack = ExitStack()


def snakemake(*words: str) -> list[str]:
    """The command by which Snakemake runs this package's workflow in this folder, with further words.

    In a clone it finds the workflow by itself; anywhere else, and beside a Snakefile of somebody's own, it is told.
    """
    ours = shipped("workflow")
    found = Path("Snakefile").resolve() == (ours.parent / "Snakefile").resolve()
    return ["snakemake", *([] if found else ["--snakefile", str(ours / "Snakefile")]), *words]


def refuse_second(study: Study, arguments: Sequence[str]) -> None:
    """Raise Held where another snakemake runs the study, or makes real data that it needs, unless this one only looks.

    arguments: of this snakemake.
    """
    if LOOKS.intersection(arguments):
        return
    for path, what in _claims(study):
        if found := holder(path):
            number = found.removeprefix("process ").partition(" ")[0]
            ends = f"Ctrl-C there ends its jobs, too; kill {number} lets them finish"
            cure = f"Nothing was begun here, and nothing is to be unlocked: wait, or end it where it runs: {ends}"
            raise Held(f"{what}: {found}, runs it. {cure}")


def allow(study: Study) -> None:
    """Let trainings go on where a study says so on other hardware than they began on.

    That is no part of what a training is: a study may say it afterwards, and nothing runs again.
    """
    if study.file.nonidentical == "allow":
        os.environ["COLLAPSELAB_ALLOW_NONIDENTICAL"] = "1"


def settle(workflow: Any) -> None:
    """Have Snakemake judge jobs by what they are told, and spend less of its time between them.

    That its list of a job's inputs has changed is no reason to run it again: what a job reads is among what it is told,
    which counts, or is read on the way to that. So it may be told of fewer inputs than the run before (``heeded``).

    Its limit of jobs a second starts a timer whenever it has looked for jobs, at whose end it looks again: one more
    with each job that has ended, until it looks for jobs some hundred times a second (snakemake #2967). Cores, and a
    cluster's ``jobs``, bound what is started; a limit that somebody has said stays.
    """
    workflow.dag_settings.rerun_triggers = {one for one in workflow.rerun_triggers if one.name != "INPUT"}
    scheduling = workflow.scheduling_settings
    rate = scheduling and scheduling.max_jobs_per_timespan
    if rate and (rate.max_jobs, rate.timespan) == UNSAID_RATE:
        scheduling.max_jobs_per_timespan = None


def begin(study: Study) -> None:
    """Be whoever runs the study, until this process ends."""
    for path, _ in _claims(study):
        _stack.enter_context(held(path))


def heed_sigterm() -> None:
    """Have snakemake's handler of SIGTERM work in a thread of its own.

    It takes locks that the main thread may hold at that moment, and a handler runs in the main thread: it would wait
    for itself, for ever (snakemake 9.27.1, ``JobScheduler.exit_gracefully``). A bare thread takes no lock to begin.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler):
        signal.signal(signal.SIGTERM, lambda number, frame: _thread.start_new_thread(handler, (number, None)))


def running(study: Study) -> list[str]:
    """Who runs the study, or makes real data that it needs, as they say themselves."""
    return list(dict.fromkeys(found for path, _ in _claims(study) if (found := holder(path))))


def claims(study: Study) -> Iterator[Path]:
    """The places that whoever runs a study holds."""
    return (path for path, _ in _claims(study))


def _claims(study: Study) -> Iterator[tuple[Path, str]]:
    """What a run has for itself: the study, and real data that other studies share as long as it is not there."""
    yield FOLDER / "drivers" / study.name, f"study {study.name}"
    for one in study.splits:
        if not all(Path(file).exists() for file in layout.real_of_split(one)):
            yield FOLDER / "drivers" / f"real-{one.real}", f"the real data {one.real} of study {study.name}"
