"""What plain forms send: the same acts as the HTTP interface's, answered by the page that comes next."""

import re
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse
from starlette.datastructures import FormData

from . import answers, survey, training
from .answers import Invalid, Judgement, Refused
from .api import Answer, Nonce, Word, lesson_said
from .pages import Turn, survey_page, to, training_page
from .site import Here, acting

router = APIRouter(default_response_class=HTMLResponse)

FormWord = Annotated[str, Form(max_length=100)]


async def sent(request: Request) -> FormData:
    """The fields of a form whose names hang on the study."""
    return await request.form(max_fields=200, max_files=0)


Sent = Annotated[FormData, Depends(sent)]


@router.post("/language")
def language(
    request: Request,
    site: Here,
    form: FormWord,
    language: Annotated[str, Form(pattern="^[a-z]{2,3}$")],
) -> Response:
    """The visitor reads another language from now on."""
    with acting(site, request, form) as (connection, judge):
        answers.speak(connection, judge, language)
    return to("/")


@router.post("/consent")
def consent(request: Request, site: Here, form: FormWord, agrees: Annotated[Literal["yes"], Form()]) -> Response:
    """The visitor takes part."""
    with acting(site, request, form) as (connection, judge):
        answers.consent(connection, judge)
    return to("/")


@router.post("/training")
def attempt(request: Request, site: Here, fields: Sent) -> Response:
    """An attempt at the training screen."""
    told = _strings(fields)
    number = told.pop("attempt", "")
    with acting(site, request, told.pop("form", "")) as (connection, judge):
        turn = Turn(site, request, connection, judge)
        if turn.place.stage != "training" or number != str(training.attempt_of(connection, turn.judge)):
            return to("/")  # sent twice
        images = {image["word"]: image for image in training.questions(connection, turn.judge, turn.place, int(number))}
        try:
            graded = training.grade(connection, turn.judge, turn.place, int(number), told)
        except Invalid:
            return training_page(turn, turn.words("error_form"), told, 422)
        if graded.passed:
            return to("/")
        order = list(images)
        wrong = [
            {**lesson_said(images[word]), "number": order.index(word) + 1, "answer": training.answer_of(images[word])}
            for word in graded.wrong
        ]
        needed = min(turn.place.options.gate.right, graded.questions)
        return turn.page("failed", right=graded.right, of=graded.questions, needed=needed, wrong=wrong)


@router.post("/judge")
def judge(
    request: Request,
    site: Here,
    form: FormWord,
    item: Annotated[Word, Form()],
    answer: Annotated[Answer, Form()],
    nonce: Annotated[Nonce, Form()],
    back: Annotated[Literal["", "earlier"], Form()] = "",
) -> Response:
    """A judgement, of which nobody knows how long it took."""
    with acting(site, request, form) as (connection, judge):
        answers.record(connection, judge, Judgement(item, answer, nonce, more={"by": "form"}))
    return to(f"/{back}")


@router.post("/undo")
def undo(request: Request, site: Here, form: FormWord, nonce: Annotated[Nonce, Form()]) -> Response:
    """Take back the last judgement, if there is one."""
    with acting(site, request, form) as (connection, judge):
        try:
            answers.undo(connection, judge, nonce)
        except Refused:
            return to("/earlier")  # where every answer can be changed
    return to("/")


@router.post("/finish")
def finish(request: Request, site: Here, form: FormWord) -> Response:
    """The visitor has finished the round."""
    with acting(site, request, form) as (connection, judge):
        number = answers.finish(connection, judge)
    site.changed(number)
    return to("/")


@router.post("/survey")
def surveyed(request: Request, site: Here, fields: Sent) -> Response:
    """The closing survey."""
    told = _strings(fields)
    form = told.pop("form", "")
    points = {
        name.removeprefix("q_"): int(value)
        for name, value in told.items()
        if name.startswith("q_") and re.fullmatch("[1-4]", value)
    }
    background = {name: told.get(name) for name in ("age_group", "profession")}
    with acting(site, request, form) as (connection, judge):
        turn = Turn(site, request, connection, judge)
        if turn.place.stage != "survey":
            return to("/")
        try:
            survey.answer(connection, turn.judge, turn.place, points, **background)
        except Invalid:
            return survey_page(turn, turn.words("error_form"), {**points, **background}, 422)
    return to("/")


def _strings(fields: FormData) -> dict[str, str]:
    """A form's fields by name; files are none."""
    return {name: value for name, value in fields.items() if isinstance(value, str)}
