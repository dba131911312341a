"""The files of a study: what the verbs leave in a generation's folder, and what the workflow is asked for."""

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ..core.kinds import SHOWN
from ..store.cells import Cell, left_by
from . import looking
from .stopping import decides
from .streams import task_file
from .study import Study
from .thinning import keeps

WRITTEN = ("report.html", "metrics.csv", "summary.csv", "curves.csv", "primary.csv", "summary.json", "verdicts.json")
RECORD = "metrics.json"

GLANCED = ("metrics", "plots")  # what DVC shows


def glances(study: Study) -> dict[str, str]:
    """The folders of what DVC shows of a study, by kind: small text, which git keeps.

    Those of all studies lie side by side, so that none is named which has not run; no study can have their folder's
    name.
    """
    return {kind: f"results/_{kind}/{study.name}" for kind in GLANCED}


def preparing(study: Study) -> str:
    """The verb that makes the study's real data."""
    return "populate" if study.population_name else "prepare"


def parts(study: Study) -> list[str]:
    """The parts that the real data has."""
    of_population = ["population", "held_out", "train"]
    return of_population if study.population_name else list(study.file.data.split.parts())


def real(study: Study) -> list[str]:
    """The files of the real data, and what extractors make of them, for every split of it."""
    return [file for one in study.splits for file in real_of_split(one)]


def real_of_split(study: Study) -> list[str]:
    """The same of the study's split alone."""
    learnt = [study.weights(name) for name in study.trained_extractors]
    tables = [task_file(study, *one) for one in tasks(study)]
    found = [*map(study.part_file, parts(study)), *tables, *learnt, *looking.references(study)]
    return [] if study.file.together else found


def tasks(study: Study) -> list[tuple[str, int]]:
    """The parts of the real data and the tasks of whose rows in them there is a table: those to be measured on and, of
    images, those to be trained on. A population's rows are drawn task by task."""
    there = [] if study.file.data.stream is None else ["held_out", *([] if study.population_name else ["train"])]
    return [(part, task) for part in there for task in range(study.file.generations + 1)]


def verbs_of(study: Study, arm: str, seed: int, generation: int = 1) -> list[str]:
    """What is done with a trained model of an arm at a generation, in order; pictures show the study's own seeds."""
    lineage, sets = study.lineages[arm], study.measured_sets(arm)
    there = {
        "adapt": lineage.adapters(generation),
        "sample": True,
        "sample_raw": "raw" in sets,
        "sample_marked": lineage.marks == "noise",
        "grid": study.kind in SHOWN and study.is_own(seed),
        "transform": lineage.released == "released",
        "ballots": study.awaits_ballots(arm),
        "select": study.selects(arm),
        "extract": True,
        "record": True,
    }
    return [verb for verb, is_there in there.items() if is_there]


def whole(study: Study) -> list[str]:
    """All files of all generations, each once."""
    if study.file.together:
        return records(study)
    return [path for folder, nouns in made(study) for path in (f"{folder}/{noun}" for noun in nouns)]


def made(study: Study) -> Iterator[tuple[str, list[str]]]:
    """Every folder of a generation, with the nouns that are made there: bases first, whose generation 0 arms share."""
    for arm, seed, generation in study.base_cells():
        drawn = left_by("draw") if study.needs_drawing(arm, generation) else []
        yield Cell(study.name, arm, seed, generation).folder, [*drawn, *left_by("train")]
    nouns = cache(lambda arm, own, at: [noun for verb in verbs_of(study, arm, own, at) for noun in left_by(verb)])
    for arm, seed, generation in study.all_cells():
        found = list(nouns(arm, 0 if study.is_own(seed) else study.file.seeds, min(generation, 1)))
        if generation:
            found += [*(left_by("draw") if study.needs_drawing(arm, generation) else []), *left_by("train")]
        found += left_by("stop") if study.file.stop and decides(study, arm, seed, generation) else []
        found += [noun for role in study.auxiliaries(arm, generation) for noun in left_by("auxiliary", role)]
        yield Cell(study.name, arm, seed, generation).folder, found


def missing(study: Study, root: Path = Path()) -> list[str]:
    """The files of generations that are not there, each asked for by its name. root: where ``results`` lies.

    To Snakemake a file that is missing in the middle is no reason to make it again, as long as what was made from it is
    there. Of a generation of which nothing is there its record alone is asked for, which asks for the rest. What was
    made and has gone since, as the study's ``keep`` says, is not asked for: its hash is still there.
    """
    if study.file.together:
        return []
    found = []
    for folder, nouns in made(study):
        there = names_in(root / folder)
        asked = nouns if there or RECORD not in nouns else [RECORD]
        generation = int(folder.rpartition("gen")[2])
        lacking = [noun for noun in asked if not {noun, f"{noun}.sha256"} <= there]
        found += [
            f"{folder}/{noun}" for noun in lacking if f"{noun}.sha256" not in there or keeps(study, generation, noun)
        ]
    return found


def names_in(folder: str | Path) -> set[str]:
    """The names of what lies in a folder; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def records(study: Study) -> list[str]:
    """The files of numbers that the report is drawn from."""
    if study.file.together:
        return [study.table(arm, noun) for noun in ("parquet", "cost.json") for arm in study.lineages]
    return [study.cell(*cell, "metrics.json") for cell in study.all_cells()]


def grids(study: Study) -> list[str]:
    """The pictures, or texts, of all generations, of clips their spectrograms; vectors and categories have none."""
    has_pictures = study.kind in SHOWN and not study.file.together
    return [study.cell(*cell, "grid.safetensors") for cell in study.cells()] if has_pictures else []


def baseline(study: Study) -> list[str]:
    """What a perfect model would score."""
    return [] if study.file.together else [study.report_file("baseline.json")]


def attempts(study: Study) -> tuple[int, str]:
    """The number of the last attempt at the mirror, and why it has failed; 0, and nothing, where there is none."""
    try:
        found = json.loads(Path(study.report_file("tracked.json")).read_text(encoding="utf-8"))
        last, reason = int(found.get("attempt", 0)), "" if found["tracked"] else str(found["reason"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # none yet, or a damaged file
        return 0, ""
    return last, reason


def attempt_due(study: Study) -> int:
    """The number of the attempt at the mirror that the workflow is to make, or has made if it went well.

    A mirror that was away is no result: the next attempt is another job than the last, so that the workflow runs it.
    """
    last, reason = attempts(study)
    return last + bool(reason)


def reported(study: Study) -> list[str]:
    """The files of the report, of the line that a perfect model would reach, and of the mirror."""
    return [*baseline(study), *(study.report_file(name) for name in (*WRITTEN, "tracked.json"))]
