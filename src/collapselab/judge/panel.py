"""The people who judge: invited by links, known by codes, and forgotten where they ask for it."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.engine import RowMapping

from . import database as db


class Invited(NamedTuple):
    """Somebody new. token: the last part of the link, which is told once and stored nowhere."""

    code: str
    token: str


def free(connection: Connection, study: str, arm: str, places: int) -> int:
    """How many of an arm's places are nobody's."""
    return len(_free(connection, study, arm, places))


def _free(connection: Connection, study: str, arm: str, places: int) -> list[int]:
    asked = select(db.judges.c.slot).where(db.judges.c.study == study, db.judges.c.arm == arm, ~db.judges.c.revoked)
    taken = set(connection.scalars(asked).all())
    return [slot for slot in range(places) if slot not in taken]


def invite(connection: Connection, study: str, arm: str, places: int, count: int) -> list[Invited]:
    """``count`` more people for an arm, each at the first place that is free among ``places``.

    Raises ValueError where there are fewer free places.
    """
    there = _free(connection, study, arm, places)
    if count > len(there):
        raise ValueError(
            f"judges: {count} are to be invited, but {len(there)} of the {places} places of {study}/{arm} are free; "
            f"raise judges in the study before its first round, or let somebody new replace another (--replace CODE)"
        )
    return [_enter(connection, study, arm, slot) for slot in there[:count]]


def replace(connection: Connection, study: str, arm: str, code: str) -> Invited:
    """Somebody new in the place of another, whose link ends, and whose judgements stay.

    Raises ValueError for a code that nobody has, or whose link has ended already.
    """
    judge = _seated(connection, study, arm, code)
    connection.execute(update(db.judges).where(db.judges.c.id == judge["id"]).values(revoked=True))
    found = _enter(connection, study, arm, judge["slot"])
    note(connection, "replaced", said={"code": code, "by": found.code})
    return found


def revoke(connection: Connection, study: str, arm: str, code: str) -> None:
    """Nobody gets in by this link any more. Raises ValueError for a code that nobody has."""
    judge = of_code(connection, study, arm, code)
    connection.execute(update(db.judges).where(db.judges.c.id == judge["id"]).values(revoked=True))
    note(connection, "revoked", said={"code": code})


def renew(connection: Connection, study: str, arm: str, code: str) -> Invited:
    """A new link for somebody who has lost theirs: the old one ends, and everything else stays.

    Raises ValueError for a code that nobody has, or whose link was ended on purpose.
    """
    judge, token = _seated(connection, study, arm, code), secrets.token_urlsafe(32)
    connection.execute(update(db.judges).where(db.judges.c.id == judge["id"]).values(token=digest(token)))
    note(connection, "renewed", said={"code": code})
    return Invited(code, token)


def _seated(connection: Connection, study: str, arm: str, code: str) -> RowMapping:
    """Who has a code and the place that goes with it: a place is one person's at a time, so that a sample has one vote
    of it. Raises ValueError where nobody has the code, or it was revoked, replaced or forgotten.
    """
    judge = of_code(connection, study, arm, code)
    if judge["revoked"]:
        where = db.judges.c
        others = select(where.code).where(where.study == study, where.arm == arm, where.slot == judge["slot"])
        now = connection.scalar(others.where(~where.revoked))
        place = (
            f"its place is {now}'s now: say {now} instead"
            if now
            else "its place is free: invite somebody new with --count 1"
        )
        raise ValueError(f"code: found {code!r}, which was revoked, replaced or forgotten; {place}")
    return judge


def _enter(connection: Connection, study: str, arm: str, slot: int) -> Invited:
    """A new row. A code has the place and a letter for each who had it before, so that it is nobody else's."""
    before = connection.scalar(
        select(func.count())
        .select_from(db.judges)
        .where(db.judges.c.study == study, db.judges.c.arm == arm, db.judges.c.slot == slot)
    )
    found = Invited(f"J{slot + 1:02d}" + (f".{before + 1}" if before else ""), secrets.token_urlsafe(32))
    row = {"study": study, "arm": arm, "slot": slot, "code": found.code, "token": digest(found.token)}
    connection.execute(insert(db.judges).values(revoked=False, surveyed=False, **row))
    return found


def digest(token: str) -> str:
    """What is stored of a token: its SHA-256. It has 256 random bits, so that no salt is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def of_token(connection: Connection, study: str, token: str, alone: bool = False) -> RowMapping | None:
    """Whose link it is; None for a token that is forged, revoked or of another study.

    alone: nobody else changes the row until the transaction ends.
    """
    asked = OF_TOKEN_ALONE if alone else OF_TOKEN
    return connection.execute(asked, {"digest": digest(token), "of": study}).mappings().first()


def of_code(connection: Connection, study: str, arm: str, code: str) -> RowMapping:
    """Who has a code. Raises ValueError where nobody has, with the codes that there are."""
    people = connection.execute(
        select(db.judges).where(db.judges.c.study == study, db.judges.c.arm == arm).order_by(db.judges.c.id)
    )
    known = {judge["code"]: judge for judge in people.mappings()}
    if code not in known:
        raise ValueError(f"code: found {code!r}; the judges of {study}/{arm} are {', '.join(known) or 'none'}")
    return known[code]


def forget(connection: Connection, study: str, arm: str, code: str) -> int:
    """Everything that hangs on a code is deleted, but the number of its place; how many judgements that were.

    The survey hangs on no code, so that nobody can find theirs in it. What a closed export holds stays in it.
    """
    judge = of_code(connection, study, arm, code)
    gone = connection.execute(delete(db.judgements).where(db.judgements.c.judge == judge["id"])).rowcount
    for table in (db.events, db.attempts, db.finishes):
        connection.execute(delete(table).where(table.c.judge == judge["id"]))
    for event in connection.execute(select(db.events).where(db.events.c.judge.is_(None))).mappings():
        if code in event["said"].values():
            connection.execute(update(db.events).where(db.events.c.id == event["id"]).values(said={}))
    emptied: Mapping[str, Any] = {
        **dict.fromkeys(("language", "consented", "trained")),
        "revoked": True,
        "token": digest(secrets.token_urlsafe(32)),
        "code": f"forgotten-{judge['id']}",
    }
    connection.execute(update(db.judges).where(db.judges.c.id == judge["id"]).values(**emptied))
    note(connection, "forgotten")
    return gone


# Built once: what is asked for with every visit costs less to ask than to spell.
NOTE = insert(db.events)
OF_TOKEN = select(db.judges).where(
    db.judges.c.token == bindparam("digest"), db.judges.c.study == bindparam("of"), ~db.judges.c.revoked
)
OF_TOKEN_ALONE = OF_TOKEN.with_for_update()


def note(
    connection: Connection,
    kind: str,
    judge: int | None = None,
    round: int | None = None,
    item: int | None = None,
    said: Mapping[str, Any] | None = None,
    nonce: str | None = None,
) -> None:
    """Write down that something happened."""
    values = {"judge": judge, "round": round, "item": item, "kind": kind, "said": dict(said or {}), "nonce": nonce}
    connection.execute(NOTE, {"at": time.time(), **values})


# -- the admin, and forms ----------------------------------------------------------------------------------------------


def new_admin(connection: Connection, study: str) -> str:
    """A token for the admin page of a study; an earlier one ends."""
    token, name = secrets.token_urlsafe(32), f"admin/{study}"
    connection.execute(delete(db.keys).where(db.keys.c.name == name))
    connection.execute(insert(db.keys).values(name=name, value=digest(token)))
    return token


def is_admin(connection: Connection, study: str, token: str) -> bool:
    """Whether a token opens the admin page of a study."""
    stored = connection.scalar(select(db.keys.c.value).where(db.keys.c.name == f"admin/{study}"))
    return stored is not None and hmac.compare_digest(stored, digest(token))


def form_word(key: str, token: str) -> str:
    """What a form of this page carries, which no other site can know: an HMAC of the visitor's token."""
    return hmac.new(key.encode(), digest(token).encode(), "sha256").hexdigest()
