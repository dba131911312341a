"""What of people is told in a report: their closed rounds, and what they said of themselves."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..core.sets import Ballots
from ..select.people import PeopleOptions

SCALE = (1, 2, 3, 4)
"""The survey's answers, from disagreeing to agreeing; four points, so that nobody stands in the middle."""


class Round(NamedTuple):
    """A closed round of judging, and which generation of which lineage was judged in it."""

    arm: str
    seed: int
    generation: int
    ballots: Ballots


class Judged(NamedTuple):
    """All that people, or what stood in for them, did in a study.

    options: by arm, how its rounds were held. rounds: of each arm, those that are closed. turns: rounds that the
    survey asks about. surveys: by arm, the answers of everybody, by question; one that is None was not answered.
    """

    options: Mapping[str, PeopleOptions]
    rounds: Sequence[Round]
    turns: int
    surveys: Mapping[str, Sequence[Mapping[str, int | None]]]


def surveys_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, int | None]]]:
    """The surveys by arm, as they stand in the export: a row for everybody, with the arm and a number by question.

    Raises ValueError for an answer that is not on the scale.
    """
    found: dict[str, list[dict[str, int | None]]] = {}
    for number, row in enumerate(rows, 1):
        answers: dict[str, int | None] = {}
        for name, said in row.items():
            if name in ("arm", "age_group", "profession"):
                continue
            if said and said not in map(str, SCALE):
                raise ValueError(f"row {number}: {name}: found {said!r}, allowed are {', '.join(map(str, SCALE))}")
            answers[name] = int(said) if said else None
        found.setdefault(str(row.get("arm", "")), []).append(answers)
    return found
