"""The pages that people see: each does all it does by plain forms, and a script only spares them a new page."""

import functools
import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from typing import Annotated, Any

import jinja2
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field
from sqlalchemy import Connection
from sqlalchemy.engine import RowMapping

from . import answers, survey, texts, training
from .answers import Forbidden, Place
from .api import Word, item_said, lesson_said, size_said
from .panel import form_word, of_token
from .site import COOKIE, COOKIE_DAYS, Here, Site, token_of, visiting

router = APIRouter(default_response_class=HTMLResponse)

Token = Annotated[str, Field(max_length=200)]

EARLIER = 24  # answers on a page of the list

STATIC = {"judge.css": "text/css", "judge.js": "text/javascript", "icon.svg": "image/svg+xml"}


# -- how a page is made ------------------------------------------------------------------------------------------------


@functools.cache
def static(name: str) -> bytes:
    """The content of a file that all pages share."""
    return resources.files(__package__).joinpath("static", name).read_bytes()


@functools.cache
def version() -> str:
    """Changes with these files, so that a browser may keep them for as long as they are these."""
    return hashlib.sha256(b"".join(map(static, STATIC))).hexdigest()[:12]


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def page(template: str, words: texts.Words, status: int = 200, **given: Any) -> Response:
    """A page in some language."""
    told = {"t": words, "words": words, "version": version(), "languages": {}, **given}
    return HTMLResponse(_templates().get_template(f"{template}.html.jinja").render(told), status)


def _words(request: Request, judge: Mapping[str, Any], place: Place) -> texts.Words:
    """The words of the language that a judge has chosen, or whose browser asks for."""
    chosen = judge["language"] if judge["language"] in place.options.languages else None
    return texts.Words(place.options, chosen or texts.chosen(request.headers.get("accept-language", ""), place.options))


class Turn:
    """A visit: who it is, where they stand, and the words of their language."""

    def __init__(self, site: Site, request: Request, connection: Connection, judge: RowMapping):
        self.site, self.request, self.connection, self.judge = site, request, connection, judge
        self.place = answers.place_of(connection, judge)
        self.words = _words(request, judge, self.place)

    def page(self, template: str, status: int = 200, **given: Any) -> Response:
        """A page for this visitor."""
        token = token_of(self.request, self.site.cookie(COOKIE))[0]
        told = {"form": form_word(self.site.form_key, token), "code": self.judge["code"], **given}
        return page(template, self.words, status, languages=self._languages(), **told)

    def _languages(self) -> dict[str, str]:
        options = self.place.options
        return {language: texts.Words(options, language)("language_name") for language in options.languages}

    def progress(self) -> answers.Progress:
        """How far the visitor and everybody are in the round that is open."""
        return answers.progress(self.connection, self.judge, self.place.round)


@contextmanager
def visit(site: Site, request: Request) -> Iterator[Turn]:
    """A visit that changes nothing."""
    with visiting(site, request) as (connection, judge):
        yield Turn(site, request, connection, judge)


WHERE = {"consent": "/consent", "training": "/training", "judging": "/judge", "finish": "/finish", "survey": "/survey"}


def to(path: str) -> Response:
    return RedirectResponse(path, 303)


def _elsewhere(turn: Turn, *stages: str) -> Response | None:
    """To where the visitor stands, unless that is here."""
    return None if turn.place.stage in stages else to(WHERE.get(turn.place.stage, "/thanks"))


# -- coming in ---------------------------------------------------------------------------------------------------------


@router.get("/join/{token}")
def join(token: Token, site: Here) -> Response:
    """The invite link: the browser keeps it, and goes on to where its owner stands."""
    with site.engine.connect() as connection:
        if of_token(connection, site.study, token) is None:
            raise Forbidden
    return remembering(site, to("/"), COOKIE, token)


def remembering(site: Site, response: Response, cookie: str, token: str) -> Response:
    """An answer with a cookie that no script reads, and no other site sends along with what it makes a browser post."""
    kept = {"max_age": COOKIE_DAYS * 86400, "httponly": True, "samesite": "lax", "secure": site.is_secure, "path": "/"}
    response.set_cookie(site.cookie(cookie), token, **kept)
    return response


@router.get("/")
def start(request: Request, site: Here) -> Response:
    """To where the visitor stands."""
    with visit(site, request) as turn:
        return _elsewhere(turn)


@router.get("/static/{name}")
def shared(name: str) -> Response:
    """A file that all pages share, by a name that is listed."""
    if name not in STATIC:
        return Response(status_code=404)
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(static(name), media_type=STATIC[name], headers=kept)


# -- reading -----------------------------------------------------------------------------------------------------------


@router.get("/consent")
def consent(request: Request, site: Here) -> Response:
    """What the visitor agrees to."""
    with visit(site, request) as turn:
        return _elsewhere(turn, "consent") or turn.page("consent")


@router.get("/training")
def teach(request: Request, site: Here) -> Response:
    """Examples, and what must be told apart."""
    with visit(site, request) as turn:
        return _elsewhere(turn, "training") or training_page(turn)


def training_page(turn: Turn, fault: str = "", said: Mapping[str, str] | None = None, status: int = 200) -> Response:
    attempt = training.attempt_of(turn.connection, turn.judge)
    asked = training.questions(turn.connection, turn.judge, turn.place, attempt)
    shown = training.shown(turn.connection, turn.place.round["id"])
    return turn.page(
        "training",
        status,
        shown={about: list(map(lesson_said, images)) for about, images in shown.items()},
        questions=list(map(lesson_said, asked)),
        needed=min(turn.place.options.gate.right, len(asked)),
        attempt=attempt,
        fault=fault,
        said=said or {},
    )


@router.get("/judge")
def judging(request: Request, site: Here) -> Response:
    """The next image."""
    with visit(site, request) as turn:
        return _elsewhere(turn, "judging") or _judging(turn)


def _judging(turn: Turn) -> Response:
    progress, every = turn.progress(), turn.place.options.break_after
    items = answers.next_items(turn.connection, turn.judge, turn.place.round["id"])
    return turn.page(
        "judge",
        item=item_said(items, turn.place.round["shape"], progress.of),
        progress=progress,
        nonce=secrets.token_hex(12),
        told=turn.words("judge_saved", **progress._asdict()) if progress.done else "",
        break_after=every,
        rests=bool(every and progress.done and progress.done % every == 0),
        zoom=turn.place.options.zoom,
    )


@router.get("/earlier")
def earlier(request: Request, site: Here, start: str = "0") -> Response:
    """What the visitor has answered, last first."""
    with visit(site, request) as turn:
        if other := _elsewhere(turn, "judging", "finish"):
            return other
        first = int(start) if re.fullmatch("[0-9]{1,6}", start, re.ASCII) else 0
        found = answers.judged_items(turn.connection, turn.judge, turn.place.round, first, EARLIER + 1)
        size = size_said(*turn.place.round["shape"])
        shown = [
            {**size, "id": one["word"], "image": f"/images/{one['word']}", **_plain(one)} for one in found[:EARLIER]
        ]
        newer = max(0, first - EARLIER) if first else None
        return turn.page("earlier", items=shown, newer=newer, older=first + EARLIER if len(found) > EARLIER else None)


def _plain(one: RowMapping) -> dict[str, Any]:
    return {name: one[name] for name in ("position", "answer")}


@router.get("/earlier/{word}")
def change(request: Request, site: Here, word: Word) -> Response:
    """One answer, which can be changed."""
    with visit(site, request) as turn:
        if other := _elsewhere(turn, "judging", "finish"):
            return other
        item = answers.item_of(turn.connection, turn.judge, word)
        if item["answer"] is None or item["round"] != turn.place.round["id"]:
            return to("/earlier")
        told = item_said([item], turn.place.round["shape"], turn.progress().of, item["answer"])
        return turn.page("change", item=told, nonce=secrets.token_hex(12))


@router.get("/finish")
def finishing(request: Request, site: Here) -> Response:
    """Everything is judged."""
    with visit(site, request) as turn:
        return _elsewhere(turn, "finish") or turn.page("finish")


@router.get("/survey")
def surveying(request: Request, site: Here) -> Response:
    """The closing survey."""
    with visit(site, request) as turn:
        return _elsewhere(turn, "survey") or survey_page(turn)


def survey_page(turn: Turn, fault: str = "", said: Mapping[str, Any] | None = None, status: int = 200) -> Response:
    said, options = said or {}, turn.place.options
    return turn.page(
        "survey",
        status,
        questions={one: question(turn.words, options, one) for one in options.questions(turn.place.turns)},
        scale=survey.SCALE,
        background=options.background,
        ages=survey.AGE_GROUPS,
        most=survey.MOST_LETTERS,
        said=said,
        age_group=said.get("age_group"),
        profession=said.get("profession"),
        fault=fault,
    )


def question(words: texts.Words, options: Any, name: str) -> str:
    """How a question of the survey is put."""
    if own := survey.words_of(options, name, words.language):
        return own
    stem, _, turn = name.rpartition("_")
    return words("question_understood", round=turn) if stem == "understood" else words(f"question_{name}")


@router.get("/thanks")
def thanks(request: Request, site: Here) -> Response:
    """Nothing is to be done: for now, or any more."""
    with visit(site, request) as turn:
        if other := _elsewhere(turn, "waiting", "thanks"):
            return other
        stage = turn.place.stage
        told = {
            "heading": turn.words(f"{stage}_title"),
            "text": turn.words(f"{stage}_text"),
            "back": stage == "waiting",
        }
        return turn.page("message", **told)
