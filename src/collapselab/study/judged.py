"""Pools of samples that wait for people: which there are, and where the ballots of each go."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..select import SELECTORS
from ..select.judging import LANGUAGES, Judging
from ..store import hash_path
from .faults import Fault
from .study import Study


class Waits(NamedTuple):
    """A generation whose samples are there, and whose people have not judged yet. turns, seeds: rounds of the arm."""

    arm: str
    seed: int
    generation: int
    pool: Path
    export: Path
    turns: int
    seeds: int


def closed_round(study: Study, arm: str, seed: int, generation: int) -> Path:
    """Where the ballots of a closed round lie: beside the results, since nobody can compute them again."""
    return Path("ballots", study.name, arm, f"seed{seed}", f"gen{generation}.parquet")


def arms_of_people(study: Study) -> list[str]:
    """The arms whose samples people judge on the page; a selector of somebody's own may follow other ballots."""
    awaiting = [arm for arm in study.lineages if study.awaits_ballots(arm)]
    return [arm for arm in awaiting if isinstance(judging_options(study, arm), Judging)]


def judging_options(study: Study, arm: str) -> Any:
    """What a study says of the people of an arm: the options of the selector that follows them."""
    choice = next(one for one in study.lineages[arm].select if SELECTORS[one.name].needs.ballots)
    return study.parsed(SELECTORS, choice)


def people_faults(study: Study) -> Iterator[Fault]:
    """People who are not the first of a chain, words that the judging page has no place for, and lacking languages."""
    for arm in study.file.arms:
        asked = [index for index, one in enumerate(study.lineages[arm].select) if SELECTORS[one.name].needs.ballots]
        for index in asked:
            name = study.lineages[arm].select[index].name
            if index and index == asked[0]:
                message = f"{name!r} is number {index + 1} of its chain; allowed is the first: people see all samples"
                yield Fault(("arms", arm, "select", index), message)
            elif index:
                message = f"{name!r} is asked a second time; allowed is once: a generation has one round of judging"
                yield Fault(("arms", arm, "select", index), message)
        for index, choice in enumerate(study.lineages[arm].select):
            options = study.parsed(SELECTORS, choice)
            if isinstance(options, Judging) and (options.texts or set(options.languages) - set(LANGUAGES)):
                from ..judge.texts import faults  # reads the words that are shipped

                place = ("arms", arm, "select", *([index] if len(study.file.arms[arm].select) > 1 else []))
                yield from (Fault((*place, choice.name), message) for message in faults(options))


def waiting(study: Study) -> Iterator[Waits]:
    """The pools that can be judged now, in the order of the generations."""
    cells = [cell for cell in study.all_cells() if study.awaits_ballots(cell[0])]
    for arm, seed, generation in sorted(cells, key=lambda cell: (cell[2], cell[1], cell[0])):
        pool, export = Path(study.released_file(arm, seed, generation)), closed_round(study, arm, seed, generation)
        if pool.exists() and hash_path(pool).exists() and not (export.exists() and hash_path(export).exists()):
            turns = study.lineages[arm].generations + 1
            rounds = sum(cell[0] == arm for cell in cells)
            yield Waits(arm, seed, generation, pool, export, turns, rounds // turns)
