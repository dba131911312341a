"""The closing survey: asked once at the end, and stored apart from whoever answers."""

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from ..core.spreadsheet import csv_text
from ..select.judging import Judging, Question
from . import database as db
from .answers import Invalid, Place, Refused

SCALE = (1, 2, 3, 4)
"""From disagreeing to agreeing; four points, so that nobody stands in the middle."""

AGE_GROUPS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
MOST_LETTERS = 200  # of a profession


def words_of(options: Judging, question: str, language: str) -> str | None:
    """How a study words a question of its own; None for one that is shipped."""
    own = next((one for one in options.survey if isinstance(one, Question) and one.id == question), None)
    return own.text[language] if own else None


def answer(
    connection: Connection,
    judge: Mapping[str, Any],
    place: Place,
    answers: Mapping[str, int],
    age_group: str | None = None,
    profession: str | None = None,
) -> None:
    """Store the answers, by question, apart from the judge, of whom is written down only that they have answered.

    Raises Refused where it is not the time, and Invalid for a question without a point of the scale, or a background
    that the study does not ask about.
    """
    if place.stage != "survey":
        raise Refused(
            "the survey is answered already" if judge["surveyed"] else "the survey comes after the last round"
        )
    asked = place.options.questions(place.turns)
    if set(answers) != set(asked) or not set(answers.values()) <= set(SCALE):
        lacking = [one for one in asked if answers.get(one) not in SCALE]
        raise Invalid(f"answers: {', '.join(lacking) or 'found some that were not asked'}; allowed are 1 to 4 for each")
    written = "".join(sign if sign.isprintable() else " " for sign in profession or "")
    profession = " ".join(written.split())[:MOST_LETTERS] or None
    background = {"age_group": age_group or None, "profession": profession}
    if unasked := [name for name, said in background.items() if said and name not in place.options.background]:
        raise Invalid(f"{unasked[0]}: the survey does not ask for it")
    if background["age_group"] not in (None, *AGE_GROUPS):
        raise Invalid(f"age_group: found {age_group!r}; allowed are {', '.join(AGE_GROUPS)}")
    row = {"word": secrets.token_hex(8), "study": judge["study"], "arm": judge["arm"]}
    row["answers"] = {name: answers[name] for name in asked}  # in the survey's order, not in that of a form
    connection.execute(insert(db.surveys).values(**row, **background))
    connection.execute(update(db.judges).where(db.judges.c.id == judge["id"]).values(surveyed=True))


def answered(connection: Connection, study: str, arm: str | None = None) -> list[dict[str, Any]]:
    """Every survey of a study, in the order of its random words: arm, a value by question, age_group, profession."""
    asked = select(db.surveys).where(db.surveys.c.study == study).order_by(db.surveys.c.word)
    if arm is not None:
        asked = asked.where(db.surveys.c.arm == arm)
    return [
        {"arm": row["arm"], **row["answers"], "age_group": row["age_group"], "profession": row["profession"]}
        for row in connection.execute(asked).mappings()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """The surveys as CSV, without codes, times or anything else that leads to a judge."""
    background = ("age_group", "profession")
    names = list(dict.fromkeys(name for row in rows for name in row if name not in background))
    columns = [*names, *background]
    return csv_text(columns, ([row.get(name) for name in columns] for row in rows))
