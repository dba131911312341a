"""What is known of rounds, people and judgements: the tables, and where they lie.

A judgement is answered only when it is on the disk. On SQLite that is a write-ahead log that is synced at every commit,
which needs a disk of this machine: the locks and the shared memory of that log are none over a network.
"""

import contextlib
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakKeyDictionary

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "lustre", "gpfs", "beegfs", "ceph", "glusterfs"),
    *("ocfs2", "gfs2", "orangefs", "pvfs2", "panfs", "wekafs", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph"),
    *("fuse.rclone", "fuse.s3fs", "fuse.juicefs", "fuse.davfs2", "acfs", "coda", "curlftpfs", "fuse.curlftpfs"),
}
"""File systems that lie on other machines, as /proc/mounts names them."""

CONNECTIONS = 48  # more than the server has threads, so that none waits for another

MOUNTS = Path("/proc/mounts")

TURNS: WeakKeyDictionary[Engine, threading.Lock] = WeakKeyDictionary()  # of each database whose writers take turns

metadata = MetaData()

# A random word that only this database knows: forms prove by it that they are this page's own.
keys = Table("keys", metadata, Column("name", String, primary_key=True), Column("value", String, nullable=False))

judges = Table(
    "judges",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study", String, nullable=False),
    Column("arm", String, nullable=False),
    Column("slot", Integer, nullable=False),  # whose share of every round it is
    Column("code", String, nullable=False),  # by which nobody is known
    Column("token", String, nullable=False, unique=True),  # SHA-256 of the invite link's last part
    Column("revoked", Boolean, nullable=False, default=False),
    Column("language", String),
    Column("consented", Float),  # seconds since 1970, as all times here
    Column("trained", Float),
    Column("surveyed", Boolean, nullable=False, default=False),  # without a time: it would lead from code to answers
    UniqueConstraint("study", "arm", "code"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("judge", ForeignKey("judges.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("right", Integer, nullable=False),
    Column("questions", Integer, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("at", Float, nullable=False),
)

rounds = Table(
    "rounds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study", String, nullable=False),
    Column("arm", String, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("pool", String, nullable=False),  # the file of the samples, and its SHA-256
    Column("digest", String, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("places", Integer, nullable=False),  # in the orders of all people together
    Column("export", String, nullable=False),  # where the closed round's ballots go
    Column("options", JSON, nullable=False),
    Column("shape", JSON, nullable=False),  # height and width of an image
    Column("turns", Integer, nullable=False),  # generations of the arm that are judged
    Column("seeds", Integer, nullable=False),  # rounds of each of them
    Column("pack", String, nullable=False),  # the file of all images as they are served
    Column("opened", Float, nullable=False),
    Column("closed", Float),
    UniqueConstraint("study", "arm", "seed", "generation", "digest"),
)

images = Table(
    "images",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("round", ForeignKey("rounds.id"), nullable=False, index=True),
    Column("role", String, nullable=False),  # pool, gold or lesson
    Column("row", Integer, nullable=False),  # of the pool, or the place among the others
    Column("about", String, nullable=False, default=""),  # of a lesson or gold: good, hatched, alike, diverse
    Column("start", Integer, nullable=False),  # where its PNG lies in the pack
    Column("length", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("sha256", String, nullable=False),
    Column("word", String, unique=True),  # by which a lesson is asked for
)

items = Table(
    "items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("word", String, nullable=False, unique=True),  # random: it says nothing of what it stands for
    Column("round", ForeignKey("rounds.id"), nullable=False),
    Column("slot", Integer, nullable=False),
    Column("position", Integer, nullable=False),  # from 1
    Column("kind", String, nullable=False),  # study, gold or repeat
    Column("image", ForeignKey("images.id"), nullable=False),
    UniqueConstraint("round", "slot", "position"),
)

judgements = Table(
    "judgements",
    metadata,
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("round", ForeignKey("rounds.id"), nullable=False),
    Column("judge", ForeignKey("judges.id"), nullable=False),
    Column("answer", String, nullable=False),
    Column("seconds", Float),
    Column("zoom", Integer, nullable=False, default=1),
    Column("at", Float, nullable=False),
    Index("judgements_of_round", "round"),
    Index("judgements_of_judge", "judge", "round"),
)

# Whatever anybody did, in order; rows are added and never changed.
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("judge", ForeignKey("judges.id")),
    Column("round", ForeignKey("rounds.id")),
    Column("item", ForeignKey("items.id")),
    Column("kind", String, nullable=False),
    Column("said", JSON, nullable=False, default=dict),
    Column("nonce", String),
    Column("at", Float, nullable=False),
    UniqueConstraint("judge", "nonce"),
    Index("events_of_judge", "judge", "round", "id"),
)

finishes = Table(
    "finishes",
    metadata,
    Column("judge", ForeignKey("judges.id"), primary_key=True),
    Column("round", ForeignKey("rounds.id"), primary_key=True),
    Column("at", Float, nullable=False),
)

# By no judge and without a time, under a random word: nobody can lay them beside codes.
surveys = Table(
    "surveys",
    metadata,
    Column("word", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("arm", String, nullable=False),
    Column("answers", JSON, nullable=False),
    Column("age_group", String),
    Column("profession", String),
    sqlite_with_rowid=False,
)


# -- where they lie ----------------------------------------------------------------------------------------------------


def default_url(study: str) -> str:
    """The database of a study's rounds where nothing else is said, below the folder in which one calls."""
    return f"sqlite:///{Path('judging', study, 'judging.db')}"


def opened(url: str, new: bool = True) -> Engine:
    """The database at a URL, with its tables. new: whether it is made where there is none.

    Raises ValueError for a URL that is none, a SQLite file on a file system of other machines, a database that cannot
    be reached, a file that is none, and where there is none and it is not to be made.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(f"database: found {url!r}; allowed is sqlite:///FILE or postgresql+psycopg://…") from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(f"database: found {parsed.get_backend_name()!r}; allowed are sqlite and postgresql")
    is_file = parsed.get_backend_name() == "sqlite"
    engine = _sqlite(parsed, new) if is_file else create_engine(parsed, pool_size=CONNECTIONS)
    try:
        if not new and not inspect(engine).has_table(rounds.name):
            raise _none_at(parsed)
        expect_columns(engine, parsed)
        metadata.create_all(engine)
        with writing(engine) as connection:
            if key(connection) is None:
                connection.execute(insert(keys).values(name="forms", value=secrets.token_hex(32)))
    except DBAPIError as error:
        said = " ".join(str(error.orig).split())[:200]
        raise ValueError(f"database: {parsed.render_as_string()} cannot be opened: {said}") from None
    return engine


def expect_columns(engine: Engine, url: URL) -> None:
    """Raise ValueError for a database whose tables were made by another version: with fewer columns, or others."""
    found = inspect(engine)
    for name in {*found.get_table_names()} & {*metadata.tables}:
        there, wanted = (
            {*columns} for columns in ((c["name"] for c in found.get_columns(name)), metadata.tables[name].c.keys())
        )
        if there != wanted:
            said = "; ".join(
                f"{words} {', '.join(sorted(names))}"
                for words, names in (("lacks", wanted - there), ("has besides", there - wanted))
                if names
            )
            raise ValueError(
                f"database: {url.render_as_string()} was made by another version of collapselab: its table {name} "
                f"{said}; close and export its rounds with that version, and say another --database here"
            )


def _none_at(url: URL) -> ValueError:
    return ValueError(
        f"database: found no rounds of judging in {url.render_as_string()}; say --database as it was said to "
        "collapselab judge serve"
    )


def key(connection: Connection) -> str | None:
    """The word by which forms are known as this page's own."""
    return connection.scalar(select(keys.c.value).where(keys.c.name == "forms"))


def _sqlite(url: URL, new: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ValueError("database: found SQLite in memory, which forgets everything; allowed is sqlite:///FILE")
    path = Path(url.database).resolve()
    expect_local(path)
    if not new and not path.exists():  # SQLite would make an empty one
        raise _none_at(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=CONNECTIONS, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _prepare(connection, record) -> None:
        connection.isolation_level = None  # SQLAlchemy begins and ends transactions, and no one else
        for line in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {line}")

    @event.listens_for(engine, "begin")
    def _begin(connection) -> None:
        # Who will write says so at once: two readers who both want to write later would wait for one another.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: all of it is on the disk at the end, or nothing."""
    with _turn(engine), engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection


def _turn(engine: Engine) -> contextlib.AbstractContextManager:
    """What a writer of this process holds. SQLite lets one write at a time, and has the others look again after ever
    longer pauses; a lock wakes the next one at once. Other databases let writers of other rows go on.
    """
    if engine.dialect.name != "sqlite":
        return contextlib.nullcontext()
    return TURNS.setdefault(engine, threading.Lock())


def emptied(engine: Engine) -> bool:
    """Write SQLite's log into its file and empty it, so that nothing of what was deleted is in either; whether nobody
    was reading meanwhile. Other databases have their own ways, and are left alone.
    """
    if engine.dialect.name != "sqlite":
        return True
    with contextlib.closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        return cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def expect_local(path: Path, mounts: Path | None = None) -> None:
    """Raise ValueError where a file lies, or would lie, on a file system of other machines.

    The mount is that whose folder is the longest beginning of the path. A system that lists none is not asked.
    """
    kind, where = mounted(path, mounts)
    if kind in NETWORK:
        cure = "say --database sqlite:////FOLDER/OF/A/LOCAL/DISK/judging.db, or postgresql+psycopg://…"
        raise ValueError(
            f"database: {path} lies on {where}, a network file system ({kind}), which loses writes; {cure}"
        )


def mounted(path: Path, mounts: Path | None = None) -> tuple[str, str]:
    """The type of the file system on which a path lies, and the folder at which it is mounted; empty if not known."""
    try:
        lines = [line.split() for line in os.fsdecode((mounts or MOUNTS).read_bytes()).splitlines()]
    except OSError:
        return "", ""
    found = [(_plain(line[1]), line[2]) for line in lines if len(line) > 2]
    above = [(where, kind) for where, kind in found if Path(path).is_relative_to(where)]
    # Of two at one folder the later one hides the earlier.
    longest = max(((len(where), place) for place, (where, _) in enumerate(above)), default=None)
    return ("", "") if longest is None else (above[longest[1]][1], above[longest[1]][0])


def _plain(where: str) -> str:
    """A folder as /proc/mounts spells it, where blanks and backslashes are octal."""
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        where = where.replace(code, sign)
    return where
