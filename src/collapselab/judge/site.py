"""Who visits the page, and what every answer of it carries: the session, and the headers that keep others out."""

import functools
import mmap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine, select
from sqlalchemy.engine import RowMapping

from . import database as db
from .answers import Forbidden
from .panel import form_word, is_admin, of_token

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # an invite link is nobody else's business
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
COOKIE, ADMIN_COOKIE = "judge", "judge_admin"
COOKIE_DAYS = 90


@dataclass
class Site:
    """One study's page. url: what people call it by; where that is https, cookies travel by nothing else."""

    engine: Engine
    study: str
    url: str
    changed: Callable[[int], None] = lambda round: None  # called when somebody finishes or a round is closed
    _packs: dict[str, mmap.mmap] = field(default_factory=dict)

    @functools.cached_property
    def form_key(self) -> str:
        """The word by which forms are known as this page's own."""
        with self.engine.connect() as connection:
            return db.key(connection) or ""

    @property
    def is_secure(self) -> bool:
        """Whether people reach the page by https alone."""
        return self.url.startswith("https://")

    def cookie(self, name: str) -> str:
        """A cookie's name: by https one that no other host or path can set."""
        return f"__Host-{name}" if self.is_secure else name

    def png(self, pack: str, start: int, length: int) -> bytes:
        """The bytes of an image as they were stored when its round was opened."""
        if pack not in self._packs:
            with open(pack, "rb") as stream:
                self._packs[pack] = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return self._packs[pack][start : start + length]


async def site_of(request: Request) -> Site:
    """The page that a request is for; no function that would need a thread."""
    return request.app.state.site


# -- visitors ----------------------------------------------------------------------------------------------------------


def token_of(request: Request, cookie: str) -> tuple[str, bool]:
    """A visitor's token, and whether a browser sends it by itself, as it does a cookie."""
    scheme, _, word = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return word.strip(), False
    return request.cookies.get(cookie, ""), True


def judge_of(connection: Connection, site: Site, request: Request) -> RowMapping:
    """Who visits. Raises Forbidden for a token that is forged, revoked or of another study."""
    judge = of_token(connection, site.study, token_of(request, site.cookie(COOKIE))[0])
    if judge is None:
        raise Forbidden
    return judge


@contextmanager
def acting(site: Site, request: Request, word: str | None) -> Iterator[tuple[Connection, RowMapping]]:
    """A transaction in which a judge changes something, alone: all of it is on the disk when this ends, or nothing.

    word: the form's. Raises Forbidden where another site may have made the browser send this, or the token is none.
    """
    expect_own(site, request, word)
    with db.writing(site.engine) as connection:
        judge = of_token(connection, site.study, token_of(request, site.cookie(COOKIE))[0], alone=True)
        if judge is None:
            raise Forbidden
        yield connection, judge


def as_now(connection: Connection, judge: Mapping[str, Any]) -> RowMapping:
    """A judge after what they have done."""
    return connection.execute(select(db.judges).where(db.judges.c.id == judge["id"])).mappings().one()


@contextmanager
def visiting(site: Site, request: Request) -> Iterator[tuple[Connection, RowMapping]]:
    """A transaction that reads, and whose visit it is. Raises Forbidden as :func:`judge_of`.

    No route gets its connection from a dependency: one that has a connection and waits for a thread, while all threads
    wait for connections, would wait for ever.
    """
    with site.engine.connect() as connection:
        yield connection, judge_of(connection, site, request)


def expect_own(site: Site, request: Request, said: str | None, cookie: str = COOKIE) -> None:
    """Raise Forbidden where another site may have made a browser send this: with the cookie, not the form's word."""
    token, by_itself = token_of(request, site.cookie(cookie))
    if by_itself and said != form_word(site.form_key, token):
        raise Forbidden


def expect_admin(connection: Connection, site: Site, request: Request) -> None:
    """Raise Forbidden unless the visitor holds the admin's link."""
    if not is_admin(connection, site.study, token_of(request, site.cookie(ADMIN_COOKIE))[0]):
        raise Forbidden


Here = Annotated[Site, Depends(site_of)]
