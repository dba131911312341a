"""The files of a study: what the verbs leave in a generation's folder, and what the workflow is asked for."""

import json
from pathlib import Path

from ..store.cells import left_by
from . import looking
from .study import Study

WRITTEN = ("report.html", "metrics.csv", "summary.csv", "curves.csv", "primary.csv", "summary.json", "verdicts.json")

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
    return [] if study.file.together else [*map(study.part_file, parts(study)), *learnt, *looking.references(study)]


def verbs_of(study: Study, arm: str, seed: int) -> list[str]:
    """What is done with a trained model of an arm, in order; pictures show the study's own seeds."""
    lineage, sets = study.lineages[arm], study.measured_sets(arm)
    there = {
        "adapt": lineage.adapt,
        "sample": True,
        "sample_raw": "raw" in sets,
        "sample_marked": lineage.marks == "noise",
        "grid": study.kind == "images" and study.is_own(seed),
        "transform": lineage.released == "released",
        "ballots": study.awaits_ballots(arm),
        "select": study.selects(arm),
        "extract": True,
        "record": True,
    }
    return [verb for verb, is_there in there.items() if is_there]


def whole(study: Study) -> list[str]:
    """All files of all generations: asked for one by one, since a file that is missing in the middle is no reason to
    Snakemake to make it again, as long as what was made from it is there.
    """
    if study.file.together:
        return records(study)
    return list(dict.fromkeys(file for cell in study.all_cells() for file in _whole(study, *cell)))


def _whole(study: Study, arm: str, seed: int, generation: int) -> list[str]:
    drawn = ["draw"] if study.needs_drawing(arm, generation) else []
    nouns = [noun for verb in (*drawn, "train", *verbs_of(study, arm, seed)) for noun in left_by(verb)]
    nouns += [noun for role in study.auxiliaries(arm, generation) for noun in left_by("auxiliary", role)]
    return [study.cell(arm, seed, generation, noun) for noun in nouns]


def records(study: Study) -> list[str]:
    """The files of numbers that the report is drawn from."""
    if study.file.together:
        return [study.table(arm, noun) for noun in ("parquet", "cost.json") for arm in study.lineages]
    return [study.cell(*cell, "metrics.json") for cell in study.all_cells()]


def grids(study: Study) -> list[str]:
    """The pictures of all generations; vectors and categories have none."""
    has_pictures = study.kind == "images" and not study.file.together
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
