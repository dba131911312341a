"""The page's HTTP interface: what its script, and judges that only seem to be people, speak.

A visitor's token comes in a cookie, and then every change needs the form's word in ``X-Form``; or in the header
``Authorization: Bearer TOKEN``, which no browser sends by itself.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.engine import RowMapping

from . import answers, survey, training
from . import database as db
from .answers import Forbidden, Judgement, Place
from .site import Here, Site, acting, as_now, visiting

router = APIRouter()

SHOWN, STRIP_SHOWN = 256, 640  # CSS pixels that the longer side of a small image takes, at most, and of a strip

Answer = Literal["good", "bad"]
Nonce = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
FormWord = Annotated[str | None, Header(alias="X-Form")]
Milliseconds = Annotated[float, Field(ge=0, le=1e14)]
Failures: Any = {code: {"description": words} for code, words in {403: "not yours", 409: "not now"}.items()}


class Said(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid")


class Consent(Said):
    """Whether somebody takes part."""

    agrees: Literal[True]


class Training(Said):
    """The answers of an attempt at the training screen, by the questions' names."""

    attempt: int = Field(ge=1, le=100_000)
    answers: dict[str, Answer] = Field(max_length=100)


class Judged(Said):
    """A judgement. seconds: from the moment the image was there to the answer. The times are the client's, in ms;
    scale: CSS pixels a pixel.
    """

    item: Word
    answer: Answer
    nonce: Nonce
    seconds: float | None = Field(None, ge=0, le=1e6)
    shown_at: Milliseconds | None = None
    answered_at: Milliseconds | None = None
    zoom: Literal[1, 2, 4] = 1
    by: Literal["key", "pointer", "form"] | None = None
    scale: float | None = Field(None, gt=0, le=1e4)


class Undo(Said):
    """The last judgement is taken back."""

    nonce: Nonce


class Survey(Said):
    """The closing survey: a point of the scale for each question."""

    answers: dict[str, Annotated[int, Field(ge=1, le=4)]] = Field(max_length=100)
    age_group: str | None = Field(None, max_length=20)
    profession: str | None = Field(None, max_length=survey.MOST_LETTERS)


# -- what is answered --------------------------------------------------------------------------------------------------


def progress_said(connection: Connection, judge: RowMapping, place: Place) -> dict[str, int] | None:
    """How far the judge and everybody are."""
    return None if place.round is None else answers.progress(connection, judge, place.round)._asdict()


def state_said(connection: Connection, judge: RowMapping) -> dict[str, Any]:
    """Where the judge stands."""
    place = answers.place_of(connection, judge)
    progress = progress_said(connection, judge, place)
    return {"stage": place.stage, "code": judge["code"], "progress": progress}


def item_said(items: list[RowMapping], shape: list[int], of: int, answer: str | None = None) -> dict[str, Any]:
    """The first of some items, and the image after it, as a client sees them: nothing leads to what they stand for."""
    first, upcoming = items[0], items[1]["word"] if len(items) > 1 else None
    return {
        "id": first["word"],
        "image": f"/images/{first['word']}",
        "position": first["position"],
        "of": of,
        **size_said(*shape),
        "answer": answer,
        "upcoming": f"/images/{upcoming}" if upcoming else None,
    }


def size_said(height: int, width: int, most: int = SHOWN) -> dict[str, int]:
    """The size of an image, and how many times it is enlarged where it is small: by whole pixels, to ``most`` pixels.

    :data:`SHOWN` fits on the narrowest screen, so that every screen shows an item alike.
    """
    return {"width": width, "height": height, "scale": max(1, most // max(height, width))}


def next_said(connection: Connection, judge: RowMapping, one: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The next item, and how far everybody is. one: the round in which somebody judges, where that is known."""
    place = None
    if one is None or not (items := answers.next_items(connection, judge, one["id"])):
        place = answers.place_of(connection, judge)
        one = place.round
        items = answers.next_items(connection, judge, one["id"]) if place.stage == "judging" else []
    progress = answers.progress(connection, judge, one)._asdict() if one else None
    item = item_said(items, one["shape"], progress["of"]) if items else None
    return {"stage": place.stage if place else "judging", "next": item, "progress": progress}


# -- reading -----------------------------------------------------------------------------------------------------------


@router.get("/api/state", responses=Failures)
def state(request: Request, site: Here) -> dict[str, Any]:
    """Where the visitor stands."""
    with visiting(site, request) as (connection, judge):
        return state_said(connection, judge)


@router.get("/api/training", responses=Failures)
def training_asked(request: Request, site: Here) -> dict[str, Any]:
    """What the training screen shows and asks."""
    with visiting(site, request) as (connection, judge):
        place = answers.place_of(connection, judge)
        if place.stage != "training":
            raise answers.Refused(f"it is not the time of the training, but of: {place.stage}")
        attempt = training.attempt_of(connection, judge)
        asked = training.questions(connection, judge, place, attempt)
        shown = training.shown(connection, place.round["id"])
    return {
        "attempt": attempt,
        "needed": min(place.options.gate.right, len(asked)),
        "shown": {about: [lesson_said(image) for image in images] for about, images in shown.items()},
        "questions": [lesson_said(image) for image in asked],
    }


def lesson_said(image: RowMapping) -> dict[str, Any]:
    """An image of the training screen as a client sees it."""
    is_strip = image["about"] in ("alike", "diverse")
    return {
        "id": image["word"],
        "image": f"/lessons/{image['word']}",
        "is_strip": is_strip,
        **size_said(image["height"], image["width"], STRIP_SHOWN if is_strip else SHOWN),
    }


@router.get("/api/next", responses=Failures)
def following(request: Request, site: Here) -> dict[str, Any]:
    """The next item; none where all are judged, or nothing is to be judged now."""
    with visiting(site, request) as (connection, judge):
        return next_said(connection, judge)


@router.get("/api/survey", responses=Failures)
def survey_asked(request: Request, site: Here) -> dict[str, Any]:
    """The closing survey's questions."""
    with visiting(site, request) as (connection, judge):
        place = answers.place_of(connection, judge)
    if place.stage != "survey":
        raise answers.Refused(f"it is not the time of the survey, but of: {place.stage}")
    questions = place.options.questions(place.turns)
    return {"questions": list(questions), "scale": list(survey.SCALE), "background": list(place.options.background)}


# -- changes -----------------------------------------------------------------------------------------------------------


@router.post("/api/consent", responses=Failures)
def consent(said: Consent, request: Request, site: Here, form: FormWord = None) -> dict[str, Any]:
    """The visitor takes part."""
    with acting(site, request, form) as (connection, judge):
        answers.consent(connection, judge)
        return state_said(connection, as_now(connection, judge))


@router.post("/api/training", responses=Failures)
def attempt(said: Training, request: Request, site: Here, form: FormWord = None) -> dict[str, Any]:
    """An attempt at the training screen."""
    with acting(site, request, form) as (connection, judge):
        graded = training.grade(connection, judge, answers.place_of(connection, judge), said.attempt, said.answers)
        counts = {"passed": graded.passed, "right": graded.right, "of": graded.questions}
        return {**counts, "wrong": graded.wrong, "state": state_said(connection, as_now(connection, judge))}


@router.post("/api/judgements", responses=Failures)
def judgement(said: Judged, request: Request, site: Here, form: FormWord = None) -> dict[str, Any]:
    """Store a judgement; the answer comes when it is on the disk, and says what is stored then.

    The same judgement with the same nonce changes nothing; another one with it is refused.
    """
    more = {name: getattr(said, name) for name in ("shown_at", "answered_at", "by", "scale")}
    told = Judgement(said.item, said.answer, said.nonce, said.seconds, said.zoom, more)
    with acting(site, request, form) as (connection, judge):
        stored = answers.record(connection, judge, told)
        kept = {"stored": {"item": said.item, "answer": stored.answer}, "again": stored.again}
        return {**kept, **next_said(connection, judge, stored.round)}


@router.post("/api/undo", responses=Failures)
def undo(said: Undo, request: Request, site: Here, form: FormWord = None) -> dict[str, Any]:
    """Take back the last judgement."""
    with acting(site, request, form) as (connection, judge):
        again = answers.undo(connection, judge, said.nonce)
        return {"again": again, **next_said(connection, judge)}


@router.post("/api/finish", responses=Failures)
def finish(request: Request, site: Here, form: FormWord = None) -> dict[str, Any]:
    """The visitor has finished the round."""
    with acting(site, request, form) as (connection, judge):
        number = answers.finish(connection, judge)
        told = state_said(connection, judge)
    site.changed(number)
    return told


@router.post("/api/survey", responses=Failures)
def survey_answered(said: Survey, request: Request, site: Here, form: FormWord = None) -> dict[str, Any]:
    """Answer the closing survey, once."""
    with acting(site, request, form) as (connection, judge):
        place = answers.place_of(connection, judge)
        survey.answer(connection, judge, place, said.answers, said.age_group, said.profession)
        return state_said(connection, as_now(connection, judge))


# -- images ------------------------------------------------------------------------------------------------------------

PNG: Any = {200: {"content": {"image/png": {}}}, 403: {"description": "not yours"}}
KEPT = {"Cache-Control": "private, max-age=86400, immutable"}  # what is fetched ahead is there when it is shown


STORED = select(db.images.c.start, db.images.c.length, db.rounds.c.pack).join(db.rounds)
OF_ITEM = STORED.where(db.images.c.id == bindparam("image"))
OF_LESSON = STORED.where(
    *(db.images.c.word == bindparam("word"), db.rounds.c.arm == bindparam("arm")),
    db.rounds.c.study == bindparam("study"),
)


@router.get("/images/{word}", response_class=Response, responses=PNG)
def image(word: Word, request: Request, site: Here) -> Response:
    """An item's image: the stored bytes, and nothing about them."""
    with visiting(site, request) as (connection, judge):
        item = answers.item_of(connection, judge, word)
        return _served(connection.execute(OF_ITEM, {"image": item["image"]}).mappings().first(), site)


@router.get("/lessons/{word}", response_class=Response, responses=PNG)
def lesson(word: Word, request: Request, site: Here) -> Response:
    """An image of the training screen."""
    with visiting(site, request) as (connection, judge):
        asked = {"word": word, "arm": judge["arm"], "study": judge["study"]}
        return _served(connection.execute(OF_LESSON, asked).mappings().first(), site)


def _served(found: RowMapping | None, site: Site) -> Response:
    if found is None:
        raise Forbidden
    return Response(site.png(found["pack"], found["start"], found["length"]), media_type="image/png", headers=KEPT)
