"""The judging page as an application: its routes, what it says when it refuses, and the headers of all answers."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..select.judging import Judging
from . import admin, api, forms, pages, texts
from .answers import Forbidden, Invalid, Refused, TooEarly
from .panel import of_token
from .site import COOKIE, HEADERS, Site, token_of

MOST_BYTES = 1_000_000  # of what a visitor sends


def application(site: Site) -> FastAPI:
    """The page of one study. It documents itself to nobody: ``app.openapi()`` has its interface for tests."""
    app = FastAPI(title="collapselab judge", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site = site
    for part in (api, pages, forms, admin):
        app.include_router(part.router)
    app.add_middleware(Guard)
    app.add_exception_handler(Forbidden, _forbidden)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Invalid, _invalid)
    app.add_exception_handler(RequestValidationError, _misspelt)
    app.add_exception_handler(HTTPException, _other)
    return app


class Guard:
    """Puts the headers on every answer, and reads no more of a request than somebody on the page could send."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BYTES:
                raise HTTPException(413, f"more than {MOST_BYTES} bytes")
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, counted, with_headers)


def _failed(request: Request, code: int, words: str, key: str) -> Response:
    """What is said of a failure: to programs in JSON, to people as a page of their browser's language."""
    if request.url.path.startswith(("/api/", "/images/", "/lessons/")):
        return JSONResponse({"error": words}, code)
    site, options = request.app.state.site, Judging()
    with site.engine.connect() as connection:
        judge = of_token(connection, site.study, token_of(request, site.cookie(COOKIE))[0])
    language = judge["language"] if judge and judge["language"] in options.languages else None
    found = texts.Words(options, language or texts.chosen(request.headers.get("accept-language", ""), options))
    told = {"heading": found("error_title"), "text": found(key), "back": judge is not None, "code": "", "form": ""}
    return pages.page("message", found, code, **told)


async def _forbidden(request: Request, error: Exception) -> Response:
    return _failed(request, 403, "this link does not lead here; ask whoever invited you for a new one", "error_link")


async def _refused(request: Request, error: Exception) -> Response:
    return _failed(request, 409, str(error), "waiting_text" if isinstance(error, TooEarly) else "error_now")


async def _invalid(request: Request, error: Exception) -> Response:
    return _failed(request, 422, str(error), "error_form")


async def _misspelt(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return _failed(request, 422, "; ".join(faults)[:1000], "error_form")


async def _other(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _failed(request, error.status_code, str(error.detail), "error_now")
