"""What may be freed of a study: what its ``keep`` leaves out, what it no longer has, and what was left over.

Nothing goes that a job still reads, nor what people judged, nor what was found out: ballots, records and costs.
"""

import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..store import beats
from ..store.cells import Cell
from ..store.locks import holder
from . import drivers, jobs, layout
from .file import STUDY_NAME_PATTERN
from .reasons import BLOCK
from .study import Study
from .thinning import keeps, kind_of

INPUT = re.compile(r"^\s*input: (.*)$", re.MULTILINE)
RESULTS = re.compile(r"^(ballots\.parquet|metrics\.json|stop\.json|replicates\..*|.*\.cost\.json)(\.sha256)?$")
TEMPORARY = re.compile(r"^\..*\.[0-9]{1,10}\.tmp$")
CHECKPOINT = re.compile(r"^\.(.+)\.training$")


class Freed(NamedTuple):
    """A file that may go: its path, its bytes and why. Of what is only thinned its hash stays."""

    path: Path
    bytes: int
    why: str
    thinned: bool = False


# -- what a study reads ------------------------------------------------------------------------------------------------


def read_by(study: Study, planned: str = "") -> set[str]:
    """The files that something still reads: the jobs of a dry run, the report and its mirror whenever they are drawn
    again, and, unless ``keep`` says otherwise, one more generation.

    planned: what ``snakemake --dry-run`` prints.
    """
    found = read_by_jobs(planned)
    for verb in ("report", "track"):
        found |= set(jobs.inputs(study, verb, jobs.Place()))
    return found | (next_reads(study) if study.file.keep.next else set())


def next_reads(study: Study) -> set[str]:
    """The files that one more generation of every arm would read."""
    after = study.file.generations + 1
    longer = study.longer(after)
    todo = [one for one in jobs.every(longer) if one[1].generation == after and not longer.file.together]
    return {file for verb, place in todo for file in jobs.inputs(longer, verb, place)}


def thinned_away(study: Study, planned: str) -> list[str]:
    """The files that jobs of a dry run read and that have been thinned: each is made again, and what hangs from it."""
    gone = [file for file in read_by_jobs(planned) if kind_if_cell(file) and not Path(file).exists()]
    return sorted(file for file in gone if Path(f"{file}.sha256").exists())


def read_by_jobs(planned: str) -> set[str]:
    """The files that the jobs of a dry run read."""
    return {file for _, block in BLOCK.findall(planned) for text in INPUT.findall(block) for file in text.split(", ")}


def kind_if_cell(file: str) -> str:
    """What ``keep`` calls a file; empty for one that is of no generation, or always kept."""
    where = Cell.parse(file)
    return kind_of(where[1]) if where else ""


# -- what may go -------------------------------------------------------------------------------------------------------


def freed(study: Study, read: Collection[str]) -> Iterator[Freed]:
    """All that may go of the study's own folder. read: the files that something still reads."""
    root = Path(study.report_file("")).parent
    known = {*study.lineages, *study.bases, "report"}
    for folder in _folders(root):
        if folder.name not in known:
            yield from _whole(folder, f"of an arm that the study no longer has: {folder.name}")
    yield from _thinned(study, read)
    for arm in (*study.lineages, *study.bases):
        yield from _not_had(study, root / arm)
    for folder in (root / name for name in known):
        yield from _leftovers(folder)


def _thinned(study: Study, read: Collection[str]) -> Iterator[Freed]:
    if study.file.together:
        return
    for folder, nouns in layout.made(study):
        generation = int(folder.rpartition("gen")[2])
        for noun in nouns:
            path = Path(folder, noun)
            if keeps(study, generation, noun) or str(path) in read or not path.exists():
                continue
            if path.with_name(f"{noun}.sha256").exists():  # else it is being made
                yield Freed(path, path.stat().st_size, f"{kind_of(noun)} that keep leaves out", thinned=True)
        if not keeps(study, generation, "model.safetensors") and f"{folder}/model.safetensors" not in read:
            for snapshots in Path(folder).glob("*.snapshots"):
                yield from _whole(snapshots, "snapshots of weights that keep leaves out")


def _not_had(study: Study, arm: Path) -> Iterator[Freed]:
    """Seeds and generations that the study no longer has."""
    for seed in _folders(arm, "seed"):
        if int(seed.name.removeprefix("seed")) not in study.levels:
            yield from _whole(seed, "of a seed that the study no longer has")
            continue
        for generation in _folders(seed, "gen"):
            if int(generation.name.removeprefix("gen")) > study.file.generations:
                yield from _whole(generation, "of a generation that the study no longer has")


def _leftovers(folder: Path) -> Iterator[Freed]:
    for path in _files(folder):
        checkpoint = next((part for part in path.parents if CHECKPOINT.match(part.name)), None)
        if path.name.endswith(".damaged"):
            yield Freed(path, path.stat().st_size, "left over: damaged, and made again since")
        elif path.name.endswith(beats.SUFFIX) and (sign := beats.sign_in(path, time.time())) and not sign.lives:
            yield Freed(path, path.stat().st_size, "left over: a sign of life of a process that is gone")
        elif TEMPORARY.match(path.name):
            yield Freed(path, path.stat().st_size, "left over: half-written by a process that is gone")
        elif checkpoint is not None and _is_trained(checkpoint):
            yield Freed(path, path.stat().st_size, "left over: the checkpoint of a finished training")


def _is_trained(checkpoint: Path) -> bool:
    model = checkpoint.with_name(f"{CHECKPOINT.match(checkpoint.name)[1]}.safetensors.sha256")
    return model.exists()


def freed_of_real(used: Iterable[Study]) -> Iterator[Freed]:
    """The real data, and what extractors made of it, that no study of some reads."""
    studies = [one for study in used for one in study.splits]
    read = {file for study in studies for file in layout.real_of_split(study)}
    folders = {study.real for study in studies if not study.file.together}
    for path in _files(Path("results/real")):
        plain = str(path).removesuffix(".sha256")
        if path.parent.name not in folders or (plain not in read and path.suffix != ".made"):
            yield Freed(path, path.stat().st_size, "real data that no study in config/ reads")


def others(names: Collection[str]) -> list[str]:
    """The folders of results that are of none of some studies."""
    named = [folder.name for folder in _folders(Path("results")) if re.fullmatch(STUDY_NAME_PATTERN, folder.name)]
    return [name for name in named if name not in {*names, "real"}]


def _whole(folder: Path, why: str) -> Iterator[Freed]:
    for path in _files(folder):
        if not RESULTS.match(path.name):
            yield Freed(path, path.stat().st_size, why)


def _folders(folder: Path, prefix: str = "") -> list[Path]:
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    is_named = re.compile(f"{prefix}[0-9]+" if prefix else ".+").fullmatch
    return [path for path in there if path.is_dir() and not path.is_symlink() and is_named(path.name)]


def _files(folder: Path) -> list[Path]:
    """All files below a folder, in order; no link is followed, since what lies behind it is somebody else's."""
    found = [Path(where, name) for where, _, names in os.walk(folder) for name in names]
    return sorted(path for path in found if not path.is_symlink())


# -- whether one may ---------------------------------------------------------------------------------------------------


def held_by_run(study: Study) -> str:
    """Why nothing may go now: a run holds the study, or Snakemake's lock; empty where none does."""
    for path in drivers.claims(study):
        if found := holder(path):
            return f"study {study.name}: {found}, runs it; wait for its end"
    locks = Path(".snakemake/locks")
    if locks.is_dir() and any(locks.iterdir()):
        return f"{locks}: a run is going on in this folder, or one was killed; wait for it, or start it again first"
    return ""
