"""The training screen: what people are shown before the first item, and what they must tell apart."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.engine import RowMapping

from ..core import seeds
from ..select.judging import ANSWERS
from . import database as db
from .answers import Invalid, Place, Refused
from .examples import Example
from .panel import note

SHOWN = {"good": 4, "diverse": 1, "alike": 2, "hatched": 4}
"""How many examples of each the screen shows; what is left is asked."""

TURNS = ("good", "hatched", "good", "alike", "diverse", "hatched", "good", "alike")
"""What is asked, over and over: as many good as bad ones."""


class Graded(NamedTuple):
    """An attempt. wrong: the words of the questions that were answered otherwise."""

    passed: bool
    right: int
    questions: int
    wrong: tuple[str, ...]


def lessons(connection: Connection, round: int) -> dict[str, list[RowMapping]]:
    """The images of the training screen of a round by what they show, in the order in which they were made."""
    asked = select(db.images).where(db.images.c.round == round, db.images.c.role == "lesson").order_by(db.images.c.row)
    found: dict[str, list[RowMapping]] = {about: [] for about in SHOWN}
    for image in connection.execute(asked).mappings():
        found[image["about"]].append(image)
    return found


def shown(connection: Connection, round: int) -> dict[str, list[RowMapping]]:
    """The examples that the screen shows with their answers."""
    return {about: images[: SHOWN[about]] for about, images in lessons(connection, round).items()}


def answer_of(image: Mapping[str, Any]) -> str:
    """What should be said of an example."""
    return Example(image["start"], image["about"]).answer


def attempt_of(connection: Connection, judge: Mapping[str, Any]) -> int:
    """The number of the judge's next attempt, from 1."""
    asked = select(func.count()).select_from(db.attempts).where(db.attempts.c.judge == judge["id"])
    return (connection.scalar(asked) or 0) + 1


def questions(connection: Connection, judge: Mapping[str, Any], place: Place, attempt: int) -> list[RowMapping]:
    """The images that an attempt asks about, in an order of its own: another attempt asks others.

    What they show follows :data:`TURNS`; of data so few that an image would be asked about twice, it is asked once.
    Raises Refused where no round is open, whose images it needs.
    """
    if place.round is None:
        raise Refused("no round is open")
    number, left = place.options.gate.questions, lessons(connection, place.round["id"])
    draws = seeds.generator(seeds.seed_of(place.round["id"], judge["id"], attempt, "training"))
    hidden = {about: images[SHOWN[about] :] or images for about, images in left.items()}
    mixed = {about: [images[at] for at in draws.permutation(len(images)).tolist()] for about, images in hidden.items()}
    asked: dict[int, RowMapping] = {}
    for turn in range(number):
        of = mixed[TURNS[turn % len(TURNS)]]
        asked[of[0]["id"]] = of[0]
        of.append(of.pop(0))
    some = list(asked.values())
    return [some[at] for at in draws.permutation(len(some)).tolist()]


def grade(
    connection: Connection, judge: Mapping[str, Any], place: Place, attempt: int, said: Mapping[str, str]
) -> Graded:
    """Write down an attempt: whether enough of its questions are answered rightly. said: answers by the images' words.

    Raises Refused unless it is the judge's next one, and Invalid unless every question is answered.
    """
    if judge["consented"] is None:
        raise Refused("consent comes first")
    if place.stage != "training":
        raise Refused(
            "the training is done" if judge["trained"] is not None else "the training waits for the next round"
        )
    if attempt != attempt_of(connection, judge):
        raise Refused("this attempt was handed in already; a new one has begun")
    asked = questions(connection, judge, place, attempt)
    expect_answers([image["word"] for image in asked], said)
    wrong = tuple(image["word"] for image in asked if said[image["word"]] != answer_of(image))
    right = len(asked) - len(wrong)
    passed = right >= min(place.options.gate.right, len(asked))
    row = {"judge": judge["id"], "number": attempt, "right": right, "questions": len(asked), "passed": passed}
    connection.execute(insert(db.attempts).values(at=time.time(), **row))
    if passed:
        connection.execute(update(db.judges).where(db.judges.c.id == judge["id"]).values(trained=time.time()))
    note(connection, "training", judge["id"], place.round["id"], said={"right": right, "passed": passed})
    return Graded(passed, right, len(asked), wrong)


def expect_answers(asked: Sequence[str], said: Mapping[str, str]) -> None:
    """Raise ValueError unless each question has one of the answers, and nothing else has."""
    if lacking := [word for word in asked if said.get(word) not in ANSWERS]:
        raise Invalid(f"answers: {len(lacking)} of {len(asked)} questions have none of {', '.join(ANSWERS)}")
    if len(said) > len(set(asked)):
        raise Invalid("answers: found some to questions that were not asked")
