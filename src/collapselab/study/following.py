"""What a run says while it goes on: a line for each job that ends, a block for one that fails, and how much is left.

Snakemake's own account of a job is ten lines of paths. What of it a person looks for is which arm, seed and generation
has come how far, and what has been found; the whole account stays in Snakemake's log file.
"""

import json
import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..store.cells import Cell
from . import reasons
from .progress import RECORD
from .study import Study
from .telling import duration as duration

TAIL_BYTES = 16_384  # of a log in which the reason of a failure is looked for
TAIL_LINES = 12  # of a log that are shown
OF_A_CLUSTER = ("slurmstepd", "srun:")  # how lines begin that say why a job was ended from outside
WAITS = "waiting for people"  # how a job begins that people's judgement is asked for
UNTIMED = frozenset({"all", "measured", "real", "report", "track", "baseline"})  # each once or next to nothing
SAID = {"seed": "seed ", "generation": "generation ", "role": "", "extractor": "", "part": ""}
"""wildcard -> the word before its value, in the order in which they name a job after its arm."""


class Job(NamedTuple):
    """A job that has begun. where: wildcard -> value; began_at: seconds, by any clock."""

    verb: str
    where: Mapping[str, str]
    outputs: Sequence[str]
    began_at: float

    @property
    def name(self) -> str:
        """``train control seed 0 generation 1``."""
        return name_of(self.verb, self.where)


class Left(NamedTuple):
    """What is left. seconds: at the rates of this run, None where no job has ended; is_all: whether all kinds of jobs
    that are left have been timed, else it is at least that."""

    seconds: float | None
    is_all: bool

    @property
    def words(self) -> str:
        """``about 5 min left``; empty where nothing can be said."""
        if self.seconds is None or self.seconds < 1:
            return ""
        return f"{'about' if self.is_all else 'at least'} {duration(self.seconds)} left"


def name_of(verb: str, where: Mapping[str, str]) -> str:
    """A job in words."""
    arm = [where["arm"]] if "arm" in where else []
    return " ".join([verb, *arm, *(f"{word}{where[key]}" for key, word in SAID.items() if key in where)])


class Following:
    """A run as it is followed: what is planned, at work, ended and failed."""

    def __init__(self, planned: Mapping[str, int] | None = None) -> None:
        self.planned = Counter(planned or {})
        self.at_work: dict[int, Job] = {}
        self.failed: dict[int, str] = {}
        self._seconds: dict[str, list[float]] = {}
        self._first = self._busy = 0.0

    @property
    def done(self) -> int:
        """How many jobs have ended well."""
        return sum(map(len, self._seconds.values()))

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return self.planned.total()

    def begin(self, number: int, job: Job) -> None:
        """A job has begun. number: by which it is told from others."""
        self._first = self._first or job.began_at
        self.at_work[number] = job

    def end(self, number: int, now: float) -> tuple[Job, float] | None:
        """A job has ended well: the job, and its seconds; None where nobody has told of its beginning.

        Of one that waited for its turn on a cluster the seconds are those of which its cost tells.
        """
        job = self.at_work.pop(number, None)
        if job is None:
            return None
        seconds = min([now - job.began_at, *_costs(job.outputs)])
        self._seconds.setdefault(job.verb, []).append(seconds)
        self._busy += seconds
        self.failed.pop(number, None)  # one that was tried again
        return job, seconds

    def fail(self, number: int, what: str) -> None:
        """A job has failed. what: how a person is told of it."""
        self.at_work.pop(number, None)
        self.failed[number] = what

    def left(self, now: float) -> Left:
        """What is left: jobs by the mean seconds of their kind, over as many at a time as there have been on average.

        Jobs that others wait for in vain count, too: they may be run after all.
        """
        todo = self.planned - Counter({verb: len(ended) for verb, ended in self._seconds.items()})
        means = {verb: sum(ended) / len(ended) for verb, ended in self._seconds.items()}
        alone = sum(count * means.get(verb, 0.0) for verb, count in todo.items())
        running = [(now - job.began_at, job.verb) for job in self.at_work.values()]
        alone -= sum(min(lasted, means.get(verb, 0.0)) for lasted, verb in running)
        elapsed = now - self._first
        if not means or elapsed <= 0:
            return Left(None, False)
        at_a_time = max(1.0, (self._busy + sum(lasted for lasted, _ in running)) / elapsed)
        return Left(max(0.0, alone) / at_a_time, set(todo) <= means.keys() | UNTIMED)


def _costs(outputs: Iterable[str]) -> list[float]:
    """The seconds of which a job's cost tells, if it leaves one."""
    for file in outputs:
        if file.endswith(".cost.json"):
            try:
                return [float(json.loads(Path(file).read_text(encoding="utf-8"))["wall_seconds"])]
            except (OSError, ValueError, LookupError, TypeError):
                return []
    return []


# -- what was found ----------------------------------------------------------------------------------------------------


def found_by(study: Study, outputs: Sequence[str]) -> str:
    """What the record says that a job has left: ``recall 0.41, from 0.83 at generation 0``; empty of any other job.

    Of a lineage that has ended it is said that it has.
    """
    cell = next((found[0] for file in outputs if (found := Cell.parse(file)) and found[1] == RECORD), None)
    if cell is None:
        return ""
    record = _record(cell)
    if (status := record.get("status")) in ("diverged", "stopped"):
        return str(status)
    now, first = (_primary(study, one) for one in (record, _record(cell._replace(generation=0))))
    if now is None:
        return ""
    since = f", from {first:.3g} at generation 0" if cell.generation and first is not None else ""
    return f"{study.file.primary.metric} {now:.3g}{since}"


def _record(cell: Cell) -> Mapping[str, Any]:
    try:
        found = json.loads(Path(cell.path(RECORD)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _primary(study: Study, record: Mapping[str, Any]) -> float | None:
    """The primary endpoint in a record, of the samples as they were sampled; None where it is not determined."""
    primary = study.file.primary
    wanted = {"metric": primary.metric, "extractor": primary.extractor, "set": "sampled"}
    of_all_tasks = (one for one in record.get("values", ()) if "task" not in one)
    return next((one.get("value") for one in of_all_tasks if wanted.items() <= one.items()), None)


def why(reason: str) -> str:
    """Why a job would run, in the words of :func:`reasons.words`; Snakemake lists every file."""
    study, before, now = followed(), {}, {}
    if study is not None and "Params have changed" in reason:
        before, now = _sources(study)
    return "; ".join(reasons.words(reason, before, now))


@cache
def _sources(study: Study) -> tuple[reasons.Sources, reasons.Sources]:
    return reasons.remembered(), reasons.sources(study)


# -- what failed -------------------------------------------------------------------------------------------------------


def failure(name: str, logs: Sequence[str], status: int = 0, told: str = "") -> list[str]:
    """A failed job as a block of lines: what failed, what its log says last, where the log is, what to do.

    What this package says of a failure is shown whole; of any other log its last lines, and whatever a cluster says of
    having ended the job. status: with which its command ended, 128 and more where a signal ended it. told: what the
    executor says of it, as that a queue has refused it.
    """
    tails = {log: _tail(Path(log)) for log in logs}
    said = {log: _said(lines) for log, lines in tails.items()}
    own = next((log for log, (is_own, _) in said.items() if is_own), None)
    log = own or next((log for log, (_, lines) in reversed(said.items()) if lines), None)
    lines = said[log][1] if log else []
    ended = dict.fromkeys(line for found in tails.values() for line in found if line.startswith(OF_A_CLUSTER))
    lines = [*lines, *_by(told), *(line for line in ended if line not in lines)]
    waits = bool(lines) and lines[0].startswith(WAITS)
    block = [f"{'WAITS' if waits else 'FAILED'}: {name}{_killed(status)}", *(f"  {line}" for line in lines)]
    block += [f"  log: {log or (logs[0] if logs else 'none')}{'' if log else ', in which nothing is said'}"]
    after = "when they have judged" if waits else "what is said here mended"
    return [*block, f"  What does not hang on it goes on; {after}, the same command goes on from here."]


def _by(told: str) -> list[str]:
    """An executor's words: without the command that it called, and without its advice to read logs."""
    said = told.partition("sbatch call:")[0].partition("For further error details")[0]
    return [line.strip() for line in said.splitlines() if line.strip()][:TAIL_LINES]


def _killed(status: int) -> str:
    """By which signal a command was ended, if by one."""
    if status <= 128:
        return ""
    return f", killed by signal {status - 128}{', as for want of memory' if status - 128 == signal.SIGKILL else ''}"


def _tail(log: Path) -> list[str]:
    """The lines at the end of a log; none of one that cannot be read."""
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _said(lines: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether a log has a failure in this package's own words, and its lines from there on; else its last lines."""
    begin = next((at for at, line in enumerate(lines) if line.startswith("collapselab: ")), None)
    if begin is None:
        return False, [line for line in lines if line.strip()][-TAIL_LINES:]
    first, *more = lines[begin:]
    return True, [first.removeprefix("collapselab: "), *more][: 2 * TAIL_LINES]


def shortfall(run: Following) -> list[str]:
    """What has failed, a line each, and how much has not been run for want of it; nothing where all went well."""
    if not run.failed:
        return []
    rest = run.total - run.done - len(run.failed)
    waiting = f"; {rest} more of {run.total} did not run" if rest > 0 else ""
    many = len(run.failed)
    return [f"{many} job{'s' * (many > 1)} failed{waiting}:", *(f"  {what}" for what in run.failed.values())]


# -- who is followed ---------------------------------------------------------------------------------------------------

_followed: list[Study] = []


def follow(study: Study) -> None:
    """Let what this process says of its run be about a study: the workflow has read it, and nobody reads it again."""
    _followed[:] = [study]


def followed() -> Study | None:
    """The study of this process's workflow, if it has one."""
    return _followed[-1] if _followed else None
