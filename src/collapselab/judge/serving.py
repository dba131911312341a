"""The server: one process that answers people, and opens a round whenever samples have been made that wait for one."""

import contextlib
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import uvicorn
from sqlalchemy import Engine, delete, insert, select

from ..select.judging import Judging
from . import database as db
from .rounds import Pool, open_round, rounds_of, say_who_is_missing, waiting_path
from .service import application
from .site import Site


class Source(NamedTuple):
    """Where rounds come from. waiting: the pools that can be judged now, with their options. real: of the training
    split, (n, C, H, W) uint8. folder: where images are put.
    """

    waiting: Callable[[], Iterable[tuple[Pool, Judging]]]
    real: Callable[[], np.ndarray]
    folder: Path


TELLING = threading.Lock()  # people finish at one time, and every file has one temporary name in a process


def look_around(site: Site, source: Source) -> list[str]:
    """Open a round for every pool that waits, and say beside the place of each export who is missing; what was opened,
    a line a round.
    """
    opened = []
    for pool, options in source.waiting():
        if (number := open_round(site.engine, pool, source.real, options, source.folder)) is not None:
            opened.append(f"open: round {number}, {pool.said}")
    tell(site)
    return opened


def tell(site: Site) -> None:
    """Say beside the place of each export who is missing; beside that of a closed round, nothing."""
    with TELLING, site.engine.connect() as connection:
        for one in rounds_of(connection, site.study):
            if one["closed"] is None:
                say_who_is_missing(connection, one, site.url)
            else:
                waiting_path(Path(one["export"])).unlink(missing_ok=True)


def tell_if_possible(site: Site) -> None:
    """The same after somebody's act, which is stored whatever becomes of these files: the next look writes them."""
    try:
        tell(site)
    except OSError:
        traceback.print_exc(file=sys.stderr)


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address of this machine at which nobody listens; nor does it, so that whoever waits for the page
    waits until it answers. Raises ValueError where there can be none.
    """
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after a server that has just ended
        found.bind((host, port))
        return found
    except OSError as error:
        found.close()
        raise ValueError(
            f"serve: cannot listen at {host}, port {port}: {error.strerror or error}; if it is served already, end "
            "that first, or say another --port, and as --host an address of this machine (0.0.0.0: all of them)"
        ) from None


def serve(site: Site, source: Source, listens: socket.socket, poll_s: float) -> None:
    """Answer until a signal comes. Whoever asks leaves no trace: neither addresses nor links are written down."""
    site.changed = lambda round: tell_if_possible(site)
    remember_link(site)
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(poll_s):
            try:
                for line in look_around(site, source):
                    print(line, flush=True)
            except Exception:  # of one pool: people who judge others go on, and it is tried again
                traceback.print_exc(file=sys.stderr)

    threading.Thread(target=follow, daemon=True).start()
    try:
        uvicorn.Server(_settings(site)).run([listens])
    finally:
        ended.set()


def _settings(site: Site) -> uvicorn.Config:
    quiet = {"access_log": False, "server_header": False, "log_level": "warning"}
    return uvicorn.Config(application(site), timeout_keep_alive=75, **quiet)


@contextlib.contextmanager
def served(engine: Engine, study: str, host: str = "127.0.0.1") -> Iterator[Site]:
    """Within it the page of a study is served by a thread of this process, at a port that is free."""
    with bound(host, 0) as listens:
        site = Site(engine, study, f"http://{host}:{listens.getsockname()[1]}")
        server = uvicorn.Server(_settings(site))
        thread = threading.Thread(target=server.run, args=([listens],), daemon=True)
        thread.start()
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        try:
            yield site
        finally:
            server.should_exit = True
            thread.join()


def remember_link(site: Site) -> None:
    """Write down by what people call the page, for whoever is invited next."""
    name = f"url/{site.study}"
    with db.writing(site.engine) as connection:
        connection.execute(delete(db.keys).where(db.keys.c.name == name))
        connection.execute(insert(db.keys).values(name=name, value=site.url))


def remembered_link(engine: Engine, study: str, default: str) -> str:
    """By what people call the page, where it has been served."""
    with engine.connect() as connection:
        return connection.scalar(select(db.keys.c.value).where(db.keys.c.name == f"url/{study}")) or default
