"""What people do on the page: every act is one transaction, and is answered when it is on the disk.

A judgement carries a nonce, a word of the sender's: sent again, it is stored once, and answered as before. So a client
may send until it hears an answer, over any network and any crash.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.engine import RowMapping

from ..select.judging import ANSWERS, Judging
from . import database as db
from .panel import note
from .rounds import rounds_of

Stage = Literal["consent", "training", "judging", "finish", "survey", "waiting", "thanks"]

UNDOES = 10  # judgements in a row that can be taken back; an earlier one is changed in the list


class Refused(Exception):
    """What is asked for cannot be done now; the message says why."""


class TooEarly(Refused):
    """No round was ever opened: whoever comes is to come back."""


class Forbidden(Exception):
    """What is asked for is not the visitor's."""


class Invalid(ValueError):
    """What is said is none of what may be said; the message says what may."""


class Place(NamedTuple):
    """Where a judge stands. round: the next one, if there is one. turn: which of the study's it is, from 1."""

    stage: Stage
    round: RowMapping | None
    turn: int
    turns: int
    options: Judging


def place_of(connection: Connection, judge: Mapping[str, Any]) -> Place:
    """Where a judge stands, by what is stored alone: the same on any device.

    Who has not passed the training waits for a round that is open, from whose images it is made. Raises TooEarly where
    no round was ever opened for the judge's arm.
    """
    every = rounds_of(connection, judge["study"], judge["arm"])
    if not every:
        raise TooEarly("no round is open yet; come back with the same link when one is")
    asked = select(db.finishes.c.round).where(db.finishes.c.judge == judge["id"])
    finished = set(connection.scalars(asked).all())
    mine = next((one for one in every if one["closed"] is None and one["id"] not in finished), None)
    about = mine or every[-1]
    turn, turns = about["generation"] + 1, about["turns"]
    options = Judging.model_validate(about["options"])
    is_taught = judge["trained"] is not None or not options.training
    stage: Stage
    if judge["consented"] is None:
        stage = "consent"
    elif mine is not None and not is_taught:
        stage = "training"
    elif mine is not None:
        stage = "judging" if next_items(connection, judge, mine["id"]) else "finish"
    elif len({(one["seed"], one["generation"]) for one in every}) < turns * about["seeds"]:
        stage = "waiting"
    else:
        stage = "survey" if is_taught and options.survey and not judge["surveyed"] else "thanks"
    return Place(stage, mine, turn, turns, options)


# -- items -------------------------------------------------------------------------------------------------------------


def _given(*names: str) -> list[Any]:
    return [bindparam(name) for name in names]


def _of_judge(*more: Any) -> Any:
    """Items of a judge by their names, with the answers that are stored."""
    word, slot, study, arm = _given("word", "slot", "study", "arm")
    return (
        select(db.items, db.judgements.c.answer, db.judgements.c.judge, *more)
        .join(db.rounds, db.rounds.c.id == db.items.c.round)
        .join(db.judgements, db.judgements.c.item == db.items.c.id, isouter=True)
        .where(db.items.c.word == word, db.items.c.slot == slot, db.rounds.c.study == study, db.rounds.c.arm == arm)
    )


def _heard() -> Any:
    judge, nonce = _given("by", "nonce")
    return select(db.events.c.id).where(db.events.c.judge == judge, db.events.c.nonce == nonce)


def _finished() -> Any:
    where = db.finishes.c
    return select(where.at).where(where.judge == bindparam("by"), where.round == db.items.c.round)


def _unjudged() -> Any:
    round_, slot = _given("round", "slot")
    return (
        select(db.items)
        .join(db.judgements, db.judgements.c.item == db.items.c.id, isouter=True)
        .where(db.items.c.round == round_, db.items.c.slot == slot, db.judgements.c.item.is_(None))
        .order_by(db.items.c.position)
        .limit(2)
    )


def _counts() -> Any:
    round_, slot = _given("round", "slot")
    mine = select(func.count()).select_from(db.items).where(db.items.c.round == round_, db.items.c.slot == slot)
    done = mine.join(db.judgements, db.judgements.c.item == db.items.c.id)
    all_done = select(func.count()).select_from(db.judgements).where(db.judgements.c.round == round_)
    return select(*(asked.scalar_subquery() for asked in (done, mine, all_done)))


# Built once: what is asked for with every judgement costs less to ask than to spell.
HEARD, UNJUDGED, COUNTS, ITEM = _heard(), _unjudged(), _counts(), _of_judge()
TO_JUDGE = _of_judge(
    *(db.rounds.c.closed, db.rounds.c.options, db.rounds.c.shape, db.rounds.c.places.label("of")),
    *(HEARD.scalar_subquery().label("heard"), _finished().correlate(db.items).scalar_subquery().label("finished")),
).with_for_update(read=True, of=db.rounds)


def next_items(connection: Connection, judge: Mapping[str, Any], number: int) -> list[RowMapping]:
    """The first item of the judge's order that is not judged in a round, and the one after it; none where all are."""
    return list(connection.execute(UNJUDGED, {"round": number, "slot": judge["slot"]}).mappings())


def item_of(connection: Connection, judge: Mapping[str, Any], word: str) -> RowMapping:
    """An item by its name, with the answer that is stored. Raises Forbidden unless it is the judge's."""
    return _own(connection.execute(ITEM, _whose(judge) | {"word": word}).mappings().first(), judge)


def _whose(judge: Mapping[str, Any]) -> dict[str, Any]:
    return {name: judge[name] for name in ("slot", "study", "arm")}


def _own(item: RowMapping | None, judge: Mapping[str, Any]) -> RowMapping:
    if item is None or item["judge"] not in (None, judge["id"]):  # of somebody who had the place before
        raise Forbidden
    return item


def judged_items(
    connection: Connection, judge: Mapping[str, Any], one: Mapping[str, Any], start: int, most: int
) -> list[RowMapping]:
    """What the judge has answered in a round, last first."""
    asked = (
        select(db.items, db.judgements.c.answer)
        .join(db.judgements, db.judgements.c.item == db.items.c.id)
        .where(db.judgements.c.judge == judge["id"], db.judgements.c.round == one["id"])
        .order_by(db.items.c.position.desc())
    )
    return list(connection.execute(asked.offset(start).limit(most)).mappings())


class Progress(NamedTuple):
    """How far one person is in a round, and everybody together, in items."""

    done: int
    of: int
    all_done: int
    all_of: int


def progress(connection: Connection, judge: Mapping[str, Any], one: Mapping[str, Any]) -> Progress:
    """How far the judge and everybody are in a round; what somebody did who had the place before counts."""
    counts = connection.execute(COUNTS, {"round": one["id"], "slot": judge["slot"]}).one()
    return Progress(*counts, one["places"])


# -- acts --------------------------------------------------------------------------------------------------------------


class Judgement(NamedTuple):
    """What a client says of an item. seconds: how long it was looked at. more: what is written down beside it."""

    word: str
    answer: str
    nonce: str
    seconds: float | None = None
    zoom: int = 1
    more: Mapping[str, Any] = {}


class Stored(NamedTuple):
    """What is stored of an item now. answer: None where it was taken back. again: whether this very judgement was heard
    before. round: id, shape and places.
    """

    answer: str | None
    again: bool
    round: Mapping[str, Any]


def record(connection: Connection, judge: Mapping[str, Any], told: Judgement) -> Stored:
    """Store a judgement.

    A second judgement of an item takes the place of the first; both stay among the events. Raises Forbidden for an item
    that is not the judge's, and Refused for a round that is closed or that the judge has finished, and for a nonce that
    came before with anything else.
    """
    assert told.answer in ANSWERS
    asked = {**_whose(judge), "by": judge["id"], "word": told.word, "nonce": told.nonce}
    item = _own(connection.execute(TO_JUDGE, asked).mappings().first(), judge)
    one = {"id": item["round"], "shape": item["shape"], "places": item["of"]}
    if item["heard"] is not None:
        _expect_heard(connection, item["heard"], "judgement", item["id"], told.answer)
        return Stored(item["answer"], True, one)
    _expect_judging(judge, item)
    values = {"answer": told.answer, "seconds": told.seconds, "zoom": told.zoom, "at": time.time()}
    if item["answer"] is None:
        whose = {"item": item["id"], "round": item["round"], "judge": judge["id"]}
        connection.execute(insert(db.judgements), whose | values)
    else:
        connection.execute(update(db.judgements).where(db.judgements.c.item == item["id"]).values(**values))
    said = {"answer": told.answer, "before": item["answer"], "seconds": told.seconds, "zoom": told.zoom, **told.more}
    note(connection, "judgement", judge["id"], item["round"], item["id"], said, told.nonce)
    return Stored(told.answer, False, one)


def _expect_heard(
    connection: Connection, number: int, kind: str, item: int | None = None, answer: str | None = None
) -> None:
    """Raise Refused unless the event that had a nonce was of this kind, and of this item with this answer if said."""
    where = db.events.c
    before = connection.execute(select(where.kind, where.item, where.said).where(where.id == number)).one()
    if before.kind != kind or (item is not None and (before.item, before.said.get("answer")) != (item, answer)):
        raise Refused("nonce: this one came before with something else; nothing was stored: send it with a new one")


def _expect_judging(judge: Mapping[str, Any], item: Mapping[str, Any]) -> None:
    if judge["consented"] is None:
        raise Refused("consent comes first")
    if item["closed"] is not None:
        raise Refused("the round is closed")
    if item["options"]["training"] and judge["trained"] is None:
        raise Refused("the training comes first")
    if item["finished"] is not None:
        raise Refused("you have finished this round")


def undo(connection: Connection, judge: Mapping[str, Any], nonce: str) -> bool:
    """Take back the last judgement, so that its item is the next one; whether this nonce was heard before.

    Raises Refused where nothing is left or :data:`UNDOES` were taken back in a row, and for the nonce of a judgement.
    """
    if (heard := connection.scalar(HEARD, {"by": judge["id"], "nonce": nonce})) is not None:
        _expect_heard(connection, heard, "undo")
        return True
    place = place_of(connection, judge)
    if place.round is None:
        raise Refused("no round is open")
    recent = select(db.events.c.kind).where(db.events.c.judge == judge["id"], db.events.c.round == place.round["id"])
    recent = recent.where(db.events.c.kind.in_(("judgement", "undo"))).order_by(db.events.c.id.desc()).limit(UNDOES)
    kinds = connection.scalars(recent).all()
    if len(kinds) == UNDOES and set(kinds) == {"undo"}:
        raise Refused(f"the last {UNDOES} answers were taken back; earlier ones can be changed in the list")
    last = next(iter(judged_items(connection, judge, place.round, 0, 1)), None)
    if last is None:
        raise Refused("nothing is left to take back")
    connection.execute(delete(db.judgements).where(db.judgements.c.item == last["id"]))
    note(connection, "undo", judge["id"], place.round["id"], last["id"], {"before": last["answer"]}, nonce)
    return False


def finish(connection: Connection, judge: Mapping[str, Any]) -> int:
    """The judge has finished the round, whose number this is; it cannot be changed any more.

    Raises Refused while items are not judged.
    """
    place = place_of(connection, judge)
    if place.stage != "finish":
        raise Refused("not every image has been judged" if place.stage == "judging" else "there is nothing to finish")
    connection.execute(insert(db.finishes).values(judge=judge["id"], round=place.round["id"], at=time.time()))
    note(connection, "finished", judge["id"], place.round["id"])
    return place.round["id"]


def consent(connection: Connection, judge: Mapping[str, Any]) -> None:
    """The judge agrees to take part."""
    if judge["consented"] is None:
        connection.execute(update(db.judges).where(db.judges.c.id == judge["id"]).values(consented=time.time()))
        note(connection, "consent", judge["id"])


def speak(connection: Connection, judge: Mapping[str, Any], language: str) -> None:
    """The judge reads the page in this language from now on."""
    connection.execute(update(db.judges).where(db.judges.c.id == judge["id"]).values(language=language))
