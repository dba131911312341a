"""The page of whoever holds the rounds: who is missing, how well it goes, and the button that closes a round."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, func, select

from ..select.judging import Judging
from . import database as db
from . import quality, texts
from .answers import Forbidden, Refused
from .forms import FormWord
from .pages import Token, page, remembering, to
from .panel import form_word, is_admin
from .rounds import close, rounds_of, standing
from .site import ADMIN_COOKIE, Here, Site, expect_admin, expect_own, token_of

router = APIRouter()

Number = Annotated[int, Field(ge=1, le=2**31 - 1)]


@contextmanager
def visiting(site: Site, request: Request) -> Iterator[Connection]:
    """A transaction that reads, for whoever holds the admin's link. Raises Forbidden for everybody else."""
    with site.engine.connect() as connection:
        expect_admin(connection, site, request)
        yield connection


class Closing(BaseModel):
    """Which round ends, and whether it does although somebody is missing."""

    model_config = ConfigDict(extra="forbid")

    round: Number
    anyway: bool = False


def told(connection: Connection, study: str, deep: bool = False) -> dict[str, Any]:
    """How a study's rounds and people stand, JSON-like. deep: with what each person does, and how far they agree."""
    every = []
    for one in rounds_of(connection, study):
        found = standing(connection, one)
        row = {name: one[name] for name in ("id", "arm", "seed", "generation")}
        row |= {"open": one["closed"] is None, "done": found.done, "of": found.of, "missing": found.missing}
        if deep:
            row |= quality.of_round(connection, one)
        every.append(row)
    tried = select(func.count()).where(db.attempts.c.judge == db.judges.c.id).scalar_subquery()
    people = connection.execute(
        select(db.judges, tried.label("attempts"))
        .where(db.judges.c.study == study, ~db.judges.c.revoked)
        .order_by(db.judges.c.arm, db.judges.c.slot)
    ).mappings()
    flags = ("consented", "trained", "surveyed")
    said = [
        {
            "code": one["code"],
            "arm": one["arm"],
            "attempts": one["attempts"],
            **{name: bool(one[name]) for name in flags},
        }
        for one in people
    ]
    return {"rounds": every, "people": said}


def closed(site: Site, number: int, anyway: bool) -> str:
    """Close a round of the site's study, and say where its ballots are. Raises Forbidden for one of another study,
    and Refused where somebody is missing.
    """
    with site.engine.connect() as connection:
        one = next((one for one in rounds_of(connection, site.study) if one["id"] == number), None)
    if one is None:
        raise Forbidden
    try:
        path = close(site.engine, one, anyway)
    except ValueError as error:
        raise Refused(str(error)) from None
    site.changed(number)
    return str(path)


# -- for programs ------------------------------------------------------------------------------------------------------

Failures: Any = {code: {"description": words} for code, words in {403: "not the admin", 409: "not now"}.items()}


@router.get("/api/admin/status", responses=Failures)
def status(request: Request, site: Here) -> dict[str, Any]:
    """How rounds and people stand."""
    with visiting(site, request) as connection:
        return told(connection, site.study)


@router.post("/api/admin/close", responses=Failures)
def close_round(said: Closing, request: Request, site: Here) -> dict[str, Any]:
    """End a round; only with ``Authorization: Bearer``, since a page's form has a route of its own."""
    token, by_itself = token_of(request, ADMIN_COOKIE)
    with site.engine.connect() as connection:
        if by_itself or not is_admin(connection, site.study, token):
            raise Forbidden
    return {"ballots": closed(site, said.round, said.anyway)}


# -- for people --------------------------------------------------------------------------------------------------------


@router.get("/admin/join/{token}", response_class=HTMLResponse)
def join(token: Token, site: Here) -> Response:
    """The admin's link."""
    with site.engine.connect() as connection:
        if not is_admin(connection, site.study, token):
            raise Forbidden
    return remembering(site, to("/admin"), ADMIN_COOKIE, token)


@router.get("/admin", response_class=HTMLResponse)
def overview(request: Request, site: Here) -> Response:
    """The page, in English."""
    with visiting(site, request) as connection:
        return _overview(request, site, connection)


def _overview(request: Request, site: Site, connection: Connection, status: int = 200, **given: str) -> Response:
    token = token_of(request, site.cookie(ADMIN_COOKIE))[0]
    words, form = texts.Words(Judging(), "en"), form_word(site.form_key, token)
    shown = {"told": "", "fault": "", **given, **told(connection, site.study, deep=True)}
    return page("admin", words, status, study=site.study, form=form, **shown)


@router.post("/admin/close", response_class=HTMLResponse)
def close_by_form(
    request: Request,
    site: Here,
    form: FormWord,
    round: Annotated[Number, Form()],
    anyway: Annotated[Literal["", "yes"], Form()] = "",
) -> Response:
    """End a round."""
    expect_own(site, request, form, ADMIN_COOKIE)
    with visiting(site, request):
        pass
    try:
        said, status = {"told": f"The round is closed; its ballots are in {closed(site, round, anyway == 'yes')}."}, 200
    except Refused as error:
        said, status = {"fault": str(error)}, 409
    with site.engine.connect() as connection:
        return _overview(request, site, connection, status, **said)
