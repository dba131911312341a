"""How far a study is, from its files alone: no workflow need run here, and none is asked.

A generation is measured where its record and the record's hash are there. What is at work says so beside its output
(:mod:`~collapselab.store.beats`), what failed in its log. Folders are listed once each, and not a file is hashed: this
is a look, and whoever reads a file verifies it.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from ..store import beats
from ..store.beats import Sign
from ..store.cells import NOUNS, Cell, left_by
from . import drivers, layout, stopping
from .judged import closed_round
from .study import Study

State = Literal["failed", "silent", "waiting", "running", "next", "later", "diverged", "stopped", "measured"]
STATES: Mapping[str, str] = {
    "failed": "failed",
    "silent": "silent (killed?)",
    "waiting": "waits for people",
    "running": "at work",
    "next": "next",
    "later": "later",
    "diverged": "diverged",
    "stopped": "stopped",
    "measured": "measured",
}
"""state -> its words, those first that call for somebody: of several generations the first of them is told."""

DONE = ("measured", "diverged", "stopped")
RECORD = "metrics.json"
HEAD_BYTES = 16_384  # of a record, in which one without numbers says why it has none
SAMPLED = 8  # costs of a verb of an arm that a rate is made of: those of the latest generations
TOLD = 20  # lineages that have ended, at the end of a run
TAIL_BYTES = 4096  # of a log, in which a job says why it failed


class Seen(NamedTuple):
    """A generation of a lineage as it was found. seed: None for all seeds of an arm, which run together.

    about: what is said of it: why it failed, which pool waits. signs: of life, of its jobs. seconds: what is
    left of it at the rates measured so far, None where none was.
    """

    arm: str
    seed: int | None
    generation: int
    state: State
    about: str = ""
    signs: tuple[Sign, ...] = ()
    seconds: float | None = 0.0


class Look(NamedTuple):
    """A study as it was found. lineages: (arm, seed) -> its generations; real: the signs of life beside real data;
    drivers: who runs it, in words.
    """

    study: str
    lineages: Mapping[tuple[str, int | None], Sequence[Seen]]
    real: Sequence[Sign]
    drivers: Sequence[str] = ()

    @property
    def cells(self) -> list[Seen]:
        """All generations, lineage by lineage."""
        return [one for lineage in self.lineages.values() for one in lineage]

    @property
    def counts(self) -> Counter[str]:
        """How many generations are in each state."""
        return Counter(one.state for one in self.cells)

    @property
    def at_work(self) -> list[Sign]:
        """The signs of life of all processes that are at work, each once."""
        every = [*self.real, *(sign for one in self.cells for sign in one.signs)]
        return list({(one.beat.host, one.beat.process): one for one in every if one.lives}.values())

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to be measured."""
        return all(one.state in DONE for one in self.cells)

    def left(self) -> dict[str, float] | None:
        """The seconds that are left at the rates measured so far; None where no job of a kind has ended yet.

        one: of one job after the other; longest: of the longest lineage, which nothing makes shorter; about: with as
        many jobs side by side as are at work, only where some are.
        """
        each = [[one.seconds for one in lineage] for lineage in self.lineages.values()]
        if any(seconds is None for lineage in each for seconds in lineage):
            return None
        totals = [sum(lineage) for lineage in each]
        found = {"one": sum(totals), "longest": max(totals, default=0.0)}
        many = len(self.at_work)
        return found | ({"about": max(found["one"] / many, found["longest"])} if many else {})


def look(study: Study) -> Look:
    """What is there of a study now."""
    results = Path("results")
    now = beats.now_in(results) if results.is_dir() else 0.0
    real = [one for split in study.splits for one in _beats_in(results / "real" / split.real, now)]
    if study.file.together:
        arms = {(arm, None): [_together(study, arm, now)] for arm in study.lineages}
        return Look(study.name, arms, real, drivers.running(study))
    found, folders = {}, _Folders(study)
    for arm, seed in dict.fromkeys((arm, seed) for arm, seed, _ in study.all_cells()):
        generations = range(study.lineages[arm].generations + 1)
        found[arm, seed] = _in_order([_seen(study, folders, Cell(study.name, arm, seed, t), now) for t in generations])
    return Look(study.name, _with_seconds(study, folders, found), real, drivers.running(study))


def ended(study: Study) -> list[str]:
    """The lineages that have ended before the study, a line each, of many the first: where, and why."""
    decisions = stopping.stopped(study) if study.file.stop else {}
    lines = []
    for (arm, seed), lineage in look(study).lineages.items():
        decision = decisions.get(arm, {}).get(seed)
        first = next((one for one in lineage if one.state in ("diverged", "stopped")), None)
        if decision is not None:
            lines.append(f"{arm} seed {seed}: {stopping.why(decision)}")
        elif first is not None:
            lines.append(f"{arm} seed {seed}: {first.state} at generation {first.generation}")
    if len(lines) > TOLD:
        lines[TOLD:] = [f"and {len(lines) - TOLD} lineages more: collapselab status {study.name}"]
    return lines


# -- one generation ----------------------------------------------------------------------------------------------------


class _Folders:
    """The names in the folders of a study and of its logs, each listed once, and only where there is one."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._there: dict[Path, frozenset[str]] = {}

    def names(self, folder: Path) -> frozenset[str]:
        """What is in a folder; nothing where its parent has no such folder."""
        if folder not in self._there:
            listed = folder.parent == folder or folder.name in self._listed(folder.parent)
            self._there[folder] = _names(folder) if listed else frozenset()
        return self._there[folder]

    def _listed(self, parent: Path) -> frozenset[str]:
        if parent not in self._there:
            self._there[parent] = _names(parent)
        return self._there[parent]

    def of(self, cell: Cell, root: str = "results") -> list[tuple[Path, frozenset[str]]]:
        """The folders of a generation, or of its logs: its own, and for generation 0 that of its base."""
        arms = [cell.arm, *([self._study.lineages[cell.arm].base] if cell.generation == 0 else [])]
        paths = [Path(cell._replace(arm=arm).folder.replace("results", root, 1)) for arm in arms]
        return [(path, self.names(path)) for path in paths]


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _seen(study: Study, folders: _Folders, cell: Cell, now: float) -> Seen:
    (own, names), *base = folders.of(cell)
    where = cell.arm, cell.seed, cell.generation
    if {RECORD, f"{RECORD}.sha256"} <= names:
        return Seen(*where, _status(own / RECORD))
    signs = tuple(one for folder, there in [(own, names), *base] for one in _beats(folder, there, now))
    if any(one.lives for one in signs):
        return Seen(*where, "running", signs=tuple(one for one in signs if one.lives))
    there = names.union(*(more for _, more in base))
    if study.awaits_ballots(cell.arm) and _waits(study, cell, there):
        pool = study.released_file(*where)
        return Seen(*where, "waiting", f"{pool}: collapselab judge serve {study.name}")
    if fault := _fault(folders.of(cell, "logs"), there):
        return Seen(*where, "failed", fault)
    return Seen(*where, "silent" if signs else "later", signs=signs)


def _in_order(lineage: list[Seen]) -> list[Seen]:
    """A lineage in which the first generation that nobody works at yet is the next one."""
    first = next((at for at, one in enumerate(lineage) if one.state not in DONE), None)
    if first is not None and lineage[first].state == "later":
        lineage[first] = lineage[first]._replace(state="next")
    return lineage


def _status(record: Path) -> State:
    """Whether a record says that its training diverged, or its lineage was stopped: at its beginning, since one that
    does has no numbers before.
    """
    try:
        with open(record, encoding="utf-8") as stream:
            head = stream.read(HEAD_BYTES)
    except (OSError, ValueError):
        return "measured"
    found = re.search(r'^ "status": "(diverged|stopped)"', head, re.MULTILINE)
    return found[1] if found else "measured"


def _beats_in(folder: Path, now: float) -> list[Sign]:
    return list(_beats(folder, _names(folder), now))


def _beats(folder: Path, names: frozenset[str], now: float) -> Iterator[Sign]:
    """The signs of life in a folder, but those of what has been written since: who was killed in the last moment."""
    for name in sorted(names):
        out = name.removeprefix(".").removesuffix(beats.SUFFIX)
        found = beats.sign_in(folder / name, now) if name == beats.beat_path(Path(out)).name else None
        if found and (found.lives or f"{out}.sha256" not in names):
            yield found


def _waits(study: Study, cell: Cell, names: frozenset[str]) -> bool:
    pool = Path(study.released_file(cell.arm, cell.seed, cell.generation)).name
    if f"{pool}.sha256" not in names or "ballots.parquet" in names:
        return False
    return not closed_round(study, cell.arm, cell.seed, cell.generation).exists()


def _fault(logs: Sequence[tuple[Path, frozenset[str]]], names: frozenset[str]) -> str:
    """What the log of a verb says that failed: of those whose outputs are not there, the first in their order."""
    for verb in dict.fromkeys(noun.verb for noun in NOUNS.values()):
        made = left_by(verb, "*")
        for folder, there in logs:
            log = folder / f"{verb}.log"
            failed = log.name in there and not {f"{noun}.sha256" for noun in made} <= names
            if failed and (said := _failure(log)):
                return f"{verb}: {said} ({log})"
    return ""


def _failure(log: Path) -> str:
    """The words with which a log ends that says of a failure; empty for one that only tells progress, or warns."""
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    begin = next((line for line in lines if line.startswith("collapselab: ")), "")
    if begin or not any(line.startswith("Traceback (most recent call last)") for line in lines):
        return begin.removeprefix("collapselab: ")
    return next((line for line in reversed(lines) if line.strip()), "")


def _together(study: Study, arm: str, now: float) -> Seen:
    """All seeds and generations of an arm, which one job runs."""
    table = Path(study.table(arm, "parquet"))
    names, log = _names(table.parent), Path("logs", study.name, arm)
    where = arm, None, study.lineages[arm].generations
    if f"{table.name}.sha256" in names:
        return Seen(*where, "measured")
    signs = tuple(_beats(table.parent, names, now))
    if lives := tuple(one for one in signs if one.lives):
        left = [one.beat.seconds_left for one in lives]
        return Seen(*where, "running", signs=lives, seconds=left[0])
    if said := _failure(log / "replicate.log"):
        return Seen(*where, "failed", f"replicate: {said} ({log / 'replicate.log'})", seconds=None)
    return Seen(*where, "silent" if signs else "next", signs=signs, seconds=None)


# -- what is left ------------------------------------------------------------------------------------------------------


def _with_seconds(
    study: Study, folders: _Folders, found: Mapping[tuple[str, int], Sequence[Seen]]
) -> dict[tuple[str, int], list[Seen]]:
    """The generations with what is left of each: of its verbs that have left no cost yet, the mean of those before."""
    measured = [one for lineage in found.values() for one in lineage if one.state not in ("diverged", "stopped")]
    rates, shared, timed = _Rates(study, folders, measured), set(), {}
    for key, lineage in found.items():
        timed[key], ended = [], False
        for one in lineage:
            cell = Cell(study.name, one.arm, one.seed, one.generation)
            base = study.lineages[one.arm].base, one.seed
            seconds: float | None = 0.0
            ended |= one.state == "stopped"
            for verb in _costly(study, cell) if one.state not in DONE and not ended else ():
                if verb == "train" and cell.generation == 0 and (base in shared or shared.add(base)):
                    continue  # it is trained once for all arms that begin there
                if not any(f"{verb}.cost.json.sha256" in names for _, names in folders.of(cell)):
                    rate = rates.of(one.arm, verb)
                    running = [sign.beat.seconds_left for sign in one.signs if sign.beat.verb == verb]
                    part = running[0] if running and running[0] is not None else rate
                    seconds = None if part is None or seconds is None else seconds + part
            timed[key].append(one._replace(seconds=seconds))
    return timed


def _costly(study: Study, cell: Cell) -> list[str]:
    """The stages of a generation that say what they cost."""
    verbs = ["train", *layout.verbs_of(study, cell.arm, cell.seed, cell.generation)]
    roles = study.auxiliaries(cell.arm, cell.generation)
    return [verb for verb in verbs if f"{verb}.cost.json" in NOUNS] + [f"auxiliary-{role}" for role in roles]


class _Rates:
    """What a stage has taken on average, in an arm; where it has ended in none of its generations, in all arms."""

    def __init__(self, study: Study, folders: _Folders, measured: Sequence[Seen]) -> None:
        self._folders = folders
        self._own: dict[tuple[str, str], list[float]] = {}
        self._cells: dict[str, list[Cell]] = {}
        for one in measured:  # what has ended costs next to nothing
            self._cells.setdefault(one.arm, []).append(Cell(study.name, one.arm, one.seed, one.generation))
        for cells in self._cells.values():
            cells.sort(key=lambda cell: -cell.generation)

    def of(self, arm: str, verb: str) -> float | None:
        """Seconds by the clock on the wall; None where the stage has ended nowhere."""
        own = self._seconds(arm, verb)
        every = own or [one for other in self._cells for one in self._seconds(other, verb)]
        return sum(every) / len(every) if every else None

    def _seconds(self, arm: str, verb: str) -> list[float]:
        if (arm, verb) not in self._own:
            own = self._own[arm, verb] = []
            for cell in self._cells.get(arm, ()):
                for folder, names in self._folders.of(cell):
                    if f"{verb}.cost.json.sha256" in names and len(own) < SAMPLED:
                        own += _wall_seconds(folder / f"{verb}.cost.json")
                if len(own) >= SAMPLED:
                    break
        return self._own[arm, verb]


def _wall_seconds(cost: Path) -> list[float]:
    try:
        return [float(json.loads(cost.read_text(encoding="utf-8"))["wall_seconds"])]
    except (OSError, ValueError, LookupError, TypeError):
        return []
