"""Whether the files of a study are those that were written, and where they belong; and what hangs on one that is not.

Nothing is computed, renamed or removed here. The work is linear in the files and in the inputs of the jobs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .. import store
from ..core.errors import Damaged
from ..core.progress import counted
from ..core.spreadsheet import BadTable, csv_rows
from ..store.cells import Cell, left_by
from . import jobs, layout
from .judged import closed_round
from .streams import task_file
from .study import Study
from .thinning import keeps

SHARED = {"compose": ["training.parquet"], "train": ["model.safetensors", "train.cost.json"]}
"""What each of two verbs leaves that run as one job."""


class Fault(NamedTuple):
    """A file that is not as it should be. message: whole, with the file's name."""

    path: str
    message: str


def outputs(study: Study, verb: str, place: jobs.Place) -> list[str]:
    """The files that a job leaves and that have a hash."""
    study = study.with_split(place.seed, place.real)
    beside = {
        "prepare": lambda: [study.part_file(place.part)],
        "populate": lambda: [study.part_file(place.part)],
        "task": lambda: [task_file(study, place.part, place.generation)],
        "learn": lambda: [study.weights(place.extractor)],
        "extract_real": lambda: [study.extractor_file("features", place.extractor)],
        "baseline": lambda: [study.report_file("baseline.json")],
        "replicate": lambda: [study.table(place.arm, noun) for noun in ("parquet", "cost.json")],
        "report": lambda: [study.report_file(name) for name in layout.WRITTEN],
        "track": lambda: [study.report_file("tracked.json")],
    }
    if verb in beside:
        return beside[verb]()
    nouns = SHARED.get(verb) or left_by(verb, place.role)
    return [study.cell(*place.cell, noun) for noun in nouns]


def made_of(study: Study) -> dict[str, list[str]]:
    """file -> the files that its job reads, of all files of a study, in the order in which jobs are listed."""
    found = {}
    for verb, place in jobs.every(study):
        reads = jobs.inputs(study, verb, place)
        if verb == "train":
            reads = [*reads, study.cell(*place.cell, "training.parquet")]
        found |= dict.fromkeys(outputs(study, verb, place), reads)
    return found


def eaten_by(made: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """file -> the files that are made of it."""
    found: dict[str, list[str]] = {}
    for file, reads in made.items():
        for one in reads:
            found.setdefault(one, []).append(file)
    return found


def listed(study: Study, made: Mapping[str, Iterable[str]]) -> list[str]:
    """The files to look at: those of the study, and whatever else lies among them with a hash beside it.

    Which figures a report has, its page says.
    """
    folders = [f"results/{study.name}", *(one.real_file("") for one in study.splits)]
    beside = (str(path).removesuffix(".sha256") for one in folders for path in sorted(Path(one).rglob("*.sha256")))
    closed = (str(closed_round(study, *cell)) for cell in study.all_cells() if study.awaits_ballots(cell[0]))
    there = (path for path in closed if Path(path).exists())
    return list(dict.fromkeys([*made, *figures(study), *beside, *there]))


def figures(study: Study) -> list[str]:
    """The figures that lie beside the page of a study's report; none where that is not drawn yet, or damaged."""
    try:
        page = Path(study.report_file("report.html")).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return [study.report_file(name) for name in figures_of(page)]


def figures_of(page: str) -> list[str]:
    """The names of the figures beside a report's page: one for each chart that the page has a place for."""
    return [f"figures/{name}.pdf" for name in re.findall(r'\bdata-chart="([\w.-]+)"', page)]


def faults(study: Study, files: Iterable[str], eaten: Mapping[str, Iterable[str]]) -> Iterator[Fault | None]:
    """Of each file what is wrong with it, None for nothing.

    One that is not there is missing if something was made of it, and the study's ``keep`` does not let it go; of the
    report's figures, which nothing is made of, any that is listed. A report is made of the generations that its table
    has: those that a study has been given since are not made yet.
    """
    drawn, reported = f"{study.report_file('figures')}/", _reported(study)
    for file in counted(files, "files"):
        path, found = Path(file), None
        if path.exists():
            try:
                store.examine(path)
            except Damaged as error:
                found = Fault(str(error.path), str(error))
            except (ValueError, OSError) as error:
                found = Fault(file, f"{file}: cannot be read: {error}")
        elif file.startswith(drawn):  # listed, so the page has a place for it, or its hash is there
            found = Fault(file, f"{file}: is missing; say collapselab report {study.name}, which draws it again")
        elif not _may_be_gone(study, file):
            there = (one for one in eaten.get(file, ()) if Path(one).exists())
            made = next((one for one in there if Cell.parse(one) or _in_report(file, reported)), None)
            found = Fault(file, f"{file}: is missing, and {made} was made of it") if made else None
        yield found


def _reported(study: Study) -> set[Cell] | None:
    """The generations of lineages that the report which is there was made of, by its table; None where that is not
    there, or says nothing."""
    try:
        table = csv_rows(Path(study.report_file("metrics.csv")).read_text(encoding="utf-8"))
        rows = {(row["arm"], row["seed"], row["generation"]) for row in table}
        return {Cell(study.name, arm, int(seed), int(generation)) for arm, seed, generation in rows}
    except (OSError, KeyError, TypeError, ValueError, BadTable):
        return None


def _in_report(file: str, reported: set[Cell] | None) -> bool:
    """Whether what is made of the whole study was made of a file, too. Of decisions nobody knows: a rule may have been
    added since, and each but the last of a lineage is told by the next one."""
    found = Cell.parse(file)
    if found is None:
        return True
    cell, noun = found
    return noun != "stop.json" and (reported is None or cell in reported)


def _may_be_gone(study: Study, file: str) -> bool:
    found = Cell.parse(file)
    return found is not None and not keeps(study, found[0].generation, found[1])


def hanging(file: str, eaten: Mapping[str, Iterable[str]]) -> list[str]:
    """The files that are there and that were made of a file, of what was made of it, and so on."""
    found, queue = {file: None}, [file]
    for one in queue:  # it grows on the way
        further = [other for other in eaten.get(one, ()) if other not in found]
        found |= dict.fromkeys(further)
        queue += further
    return [one for one in queue[1:] if Path(one).exists()]


def in_words(files: Iterable[str]) -> list[str]:
    """Files as the generations of lineages that they are of, a line a lineage, and by their names where of none."""
    lineages: dict[str, dict[int, None]] = {}
    others = []
    for file in files:
        if found := Cell.parse(file):
            cell, _ = found
            lineages.setdefault(f"{cell.arm}, seed {cell.seed}", {})[cell.generation] = None
        else:
            others.append(file)
    told = [f"{name}: generation {_spans(sorted(generations))}" for name, generations in lineages.items()]
    return [*told, *others]


def _spans(numbers: list[int]) -> str:
    """Numbers in rising order, those that follow each other as one span."""
    spans: list[list[int]] = []
    for one in numbers:
        if spans and one == spans[-1][1] + 1:
            spans[-1][1] = one
        else:
            spans.append([one, one])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in spans)
