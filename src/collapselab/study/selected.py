"""What selecting has done in a study, read from its files: people's ballots and surveys, what was kept and what not."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from .. import store
from ..core.sets import KeptTable
from ..core.spreadsheet import csv_rows
from ..judge.told import Judged, Round, surveys_of
from ..verbs.select import effective
from .judged import arms_of_people, judging_options
from .study import Study

SHOWN = 10  # samples of each kind, of each generation


class Selecting(NamedTuple):
    """What selecting has done in a study.

    judged: what people did, or None. sorted_out: arm -> generation -> the first samples that were kept, and the first
    that were not, (n, C, H, W) uint8 each. topped_up: arm -> generation -> which share of what was kept chance had to
    add, a mean over seeds, of the arms in which it had to. counted: arm -> generation -> as which share of the kept
    rows their weights count, (sum w)^2 / sum w^2 over their number, a mean over seeds, of the arms that have weights.
    """

    judged: Judged | None = None
    sorted_out: Mapping[str, Mapping[int, tuple[np.ndarray, np.ndarray]]] = MappingProxyType({})
    topped_up: Mapping[str, Mapping[int, float]] = MappingProxyType({})
    counted: Mapping[str, Mapping[int, float]] = MappingProxyType({})


def selecting(study: Study) -> Selecting:
    """All of it, as far as it is there."""
    return Selecting(judged(study), kept_and_discarded(study), topped_up(study), counted(study))


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
    arms = arms_of_people(study)
    cells = [cell for cell in study.cells() if cell[0] in arms]
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
        return surveys_of(csv_rows(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def selected(study: Study) -> list[tuple[str, int, int]]:
    """The cells in which samples are selected, but for those in which chance keeps as many as in another arm."""
    arms = [] if study.file.together else [arm for arm in study.file.arms if study.selects(arm)]
    return [cell for cell in study.cells() if cell[0] in arms]


def shown(study: Study) -> list[tuple[str, int, int]]:
    """The cells of which is shown what was kept and what was not: of images, of the first seed, of arms that select."""
    return [cell for cell in selected(study) if cell[1] == 0] if study.kind == "images" else []


def files(study: Study) -> list[str]:
    """The files that :func:`selecting` reads, but for the survey, which lies outside the study."""
    kept = [study.cell(*cell, "kept.parquet") for cell in selected(study)]
    return [*ballots(study), *kept, *(study.released_file(*cell) for cell in shown(study))]


def topped_up(study: Study) -> dict[str, dict[int, float]]:
    """arm -> generation -> which share of what was kept chance had to add; nothing of arms in which it never had to."""
    found = _shares(study, lambda kept: kept.lineage.get("topped_up", 0) / len(kept.rows))
    return {arm: of for arm, of in found.items() if any(of.values())}


def counted(study: Study) -> dict[str, dict[int, float]]:
    """arm -> generation -> as which share of the kept rows their weights count; nothing of arms without weights."""
    return _shares(study, lambda kept: None if kept.weights is None else effective(kept.weights) / len(kept.rows))


def _shares(study: Study, share: Callable[[KeptTable], float | None]) -> dict[str, dict[int, float]]:
    """arm -> generation -> a share of what was kept, a mean over seeds, of the arms that select and have one."""
    shares: dict[str, dict[int, list[float]]] = {}
    for arm, seed, generation in selected(study):
        path = Path(study.cell(arm, seed, generation, "kept.parquet"))
        if path.exists() and len((kept := store.read_kept(path)).rows) and (found := share(kept)) is not None:
            shares.setdefault(arm, {}).setdefault(generation, []).append(found)
    return {
        arm: {generation: float(np.mean(several)) for generation, several in sorted(of.items())}
        for arm, of in shares.items()
    }


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
