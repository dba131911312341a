"""What selecting has done in a study, read from its files: people's ballots and surveys, what was kept and what not."""

import csv
from pathlib import Path

import numpy as np

from .. import store
from ..judge.told import Judged, Round, surveys_of
from .judged import arms_of_people, judging_options
from .study import Study

SHOWN = 10  # samples of each kind, of each generation


def survey_file(study: Study) -> Path:
    """Where the closing survey lies once it is exported: beside the ballots, since nobody can make it again."""
    return Path("ballots", study.name, "survey.csv")


def survey_hash(study: Study) -> dict[str, str]:
    """The survey of a study in which people judge, as what lies outside it: its hash, or that it is not there."""
    path = survey_file(study)
    there = path.exists() and store.hash_path(path).exists()
    return {"survey": store.recorded_hash(path) if there else "none"} if arms_of_people(study) else {}


def ballots(study: Study) -> list[str]:
    """The files of the closed rounds, as the workflow has taken them over."""
    cells = [cell for cell in study.cells() if study.awaits_ballots(cell[0])]
    return [study.cell(*cell, "ballots.parquet") for cell in cells]


def judged(study: Study) -> Judged | None:
    """What people did; None where nobody judges. Raises ValueError for a survey that was changed by hand."""
    arms = arms_of_people(study)
    if not arms:
        return None
    cells = [cell for cell in study.cells() if cell[0] in arms]
    paths = {cell: Path(study.cell(*cell, "ballots.parquet")) for cell in cells}
    rounds = [Round(*cell, store.read_ballots(path)) for cell, path in paths.items() if path.exists()]
    options = {arm: judging_options(study, arm) for arm in arms}
    turns = 1 + max(study.lineages[arm].generations for arm in arms)
    return Judged(options, [one for one in rounds if len(one.ballots)], turns, _surveys(study))


def _surveys(study: Study) -> dict[str, list[dict[str, int | None]]]:
    path = survey_file(study)
    if not path.exists():
        return {}
    if not store.hash_path(path).exists() or store.content_hash(path) != store.recorded_hash(path):
        raise ValueError(f"{path}: is not what its hash says; export it again: collapselab judge export {study.name}")
    try:
        return surveys_of(list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def shown(study: Study) -> list[tuple[str, int, int]]:
    """The cells of which is shown what was kept and what was not: of images, of the first seed, of arms that select."""
    if study.file.together or study.kind != "images":
        return []
    return [cell for cell in study.cells() if cell[1] == 0 and cell[0] in study.file.arms and study.selects(cell[0])]


def files(study: Study) -> list[str]:
    """The files that :func:`kept_and_discarded` reads."""
    return [file for cell in shown(study) for file in (study.released_file(*cell), study.cell(*cell, "kept.parquet"))]


def kept_and_discarded(study: Study) -> dict[str, dict[int, tuple[np.ndarray, np.ndarray]]]:
    """arm -> generation -> the first :data:`SHOWN` samples that were kept, and the first that were not."""
    found: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]] = {}
    for arm, seed, generation in shown(study):
        pool, table = study.released_file(arm, seed, generation), study.cell(arm, seed, generation, "kept.parquet")
        if not (Path(pool).exists() and Path(table).exists()):
            continue
        samples, rows = store.read_samples(Path(pool)), store.read_kept(Path(table)).rows
        if samples.kind != "images" or not len(samples):
            continue
        rest = np.setdiff1d(np.arange(len(samples)), rows)
        pair = (samples.data[rows[:SHOWN]], samples.data[rest[:SHOWN]])
        found.setdefault(arm, {})[generation] = pair
    return found
