"""Rounds of judging: opened over a pool of samples, followed while people judge, closed, and exported."""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, func, insert, select, update
from sqlalchemy.engine import RowMapping

from .. import store
from ..core import seeds
from ..core.sets import Ballots
from ..data.pictures import encode
from ..select.judging import Judging
from . import database as db
from .assignment import Item, assigned
from .examples import Example, examples, expect_images, gold
from .panel import note

AT_ONCE = 1000  # rows that are inserted together


class Pool(NamedTuple):
    """Samples that wait to be judged, as a study names them.

    samples: their file. export: where the ballots go when the round is closed. turns: how many generations of the arm
    are judged, and seeds: how many times each.
    """

    study: str
    arm: str
    seed: int
    generation: int
    samples: Path
    export: Path
    study_seed: int
    turns: int
    seeds: int

    @property
    def said(self) -> str:
        """The round in words that a command takes."""
        return f"{self.study} --arm {self.arm} --seed {self.seed} --generation {self.generation}"


class _Picture(NamedTuple):
    """An image as it is stored: its row in the table, and the bytes of its PNG."""

    role: str
    row: int
    about: str
    shape: tuple[int, int]  # height and width
    png: bytes


# -- opening -----------------------------------------------------------------------------------------------------------


def open_round(
    engine: Engine, pool: Pool, real: Callable[[], np.ndarray], options: Judging, folder: Path
) -> int | None:
    """Open a round over a pool, with all its images as they will be served and who judges what; its number.

    real: gives (n, C, H, W) uint8, the training split, of which examples are made. folder: where the images are put.
    None, before anything is read, where there is a round over these very samples already. Every image is encoded once,
    by a function of its pixels alone, and its SHA-256 is stored. Raises ValueError for samples that are no images.
    """
    digest = store.recorded_hash(pool.samples)
    with engine.connect() as connection:
        if _found(connection, pool, digest):
            return None
    samples, split = store.read_samples(pool.samples), real()
    expect_images(samples.data, str(pool.samples))
    expect_images(split, "the training split")
    if split.shape[1:] != samples.data.shape[1:]:
        raise ValueError(f"{pool.samples}: found images of {samples.data.shape[1:]}, real ones have {split.shape[1:]}")
    seed = seeds.seed_of(pool.study_seed, pool.seed, pool.generation, "judge")
    pictures = list(_pictures(samples.data, split, options, seed))
    pack = folder / f"{pool.arm}-seed{pool.seed}-gen{pool.generation}-{digest[:12]}.pack"
    store.write_hashed(pack, lambda temporary: temporary.write_bytes(b"".join(one.png for one in pictures)))
    known = sum(one.role == "gold" for one in pictures)
    table = assigned(len(samples), known, options, seed)
    with db.writing(engine) as connection:
        if _found(connection, pool, digest):  # another process was quicker
            return None
        return _enter(connection, pool, digest, samples.data.shape, options, pack, pictures, table)


def _found(connection: Connection, pool: Pool, digest: str) -> bool:
    where = db.rounds.c
    asked = select(where.id).where(where.study == pool.study, where.arm == pool.arm, where.digest == digest)
    return connection.scalar(asked.where(where.seed == pool.seed, where.generation == pool.generation)) is not None


def _pictures(pool: np.ndarray, real: np.ndarray, options: Judging, seed: int) -> Iterator[_Picture]:
    """All images of a round: the pool, those whose answer is known, and those of the training screen."""
    for row, pixels in enumerate(pool):
        yield _Picture("pool", row, "", pixels.shape[1:], encode(pixels))
    order = seeds.generator(seed).permutation(len(real))
    half = max(1, len(order) // 2)  # what teaches is not what tests
    others: dict[str, list[Example]] = {
        "gold": gold(real[order[-half:]], seed) if options.gold else [],
        "lesson": examples(real[order[:half]], pool, seed) if options.training else [],
    }
    for role, made in others.items():
        for row, example in enumerate(made):
            yield _Picture(role, row, example.about, example.pixels.shape[1:], encode(example.pixels))


def _enter(
    connection: Connection,
    pool: Pool,
    digest: str,
    shape: tuple[int, ...],
    options: Judging,
    pack: Path,
    pictures: Sequence[_Picture],
    table: Sequence[Sequence[Item]],
) -> int:
    """Write a round down, all of it or nothing."""
    values = {"study": pool.study, "arm": pool.arm, "seed": pool.seed, "generation": pool.generation}
    values |= {"pool": str(pool.samples), "digest": digest, "samples": shape[0], "export": str(pool.export)}
    values |= {"options": options.model_dump(mode="json"), "shape": list(shape[2:]), "turns": pool.turns}
    values |= {"places": sum(map(len, table)), "seeds": pool.seeds, "pack": str(pack.resolve()), "opened": time.time()}
    _supersede(connection, pool)
    number = connection.execute(insert(db.rounds).values(values)).inserted_primary_key[0]
    start, rows = 0, []
    for one in pictures:
        row = {"round": number, "role": one.role, "row": one.row, "about": one.about, "start": start}
        row |= {"height": one.shape[0], "width": one.shape[1]}
        row |= {"length": len(one.png), "sha256": hashlib.sha256(one.png).hexdigest()}
        rows.append(row | {"word": _word() if one.role == "lesson" else None})
        start += len(one.png)
    _insert(connection, db.images, rows)
    stored = connection.execute(
        select(db.images.c.role, db.images.c.row, db.images.c.id).where(db.images.c.round == number)
    )
    image = {(role, row): identity for role, row, identity in stored}
    placed = []
    for slot, order in enumerate(table):
        for position, item in enumerate(order, 1):
            role = "gold" if item.kind == "gold" else "pool"
            row = {"round": number, "slot": slot, "position": position, "kind": item.kind}
            placed.append(row | {"word": _word(), "image": image[role, item.row]})
    _insert(connection, db.items, placed)
    note(connection, "opened", round=number, said={"samples": shape[0], "items": len(placed)})
    return number


def _supersede(connection: Connection, pool: Pool) -> None:
    """End the round over earlier samples of the same place, which nobody will ask for."""
    where = db.rounds.c
    for one in rounds_of(connection, pool.study, pool.arm, still_open=True):
        if (one["seed"], one["generation"]) == (pool.seed, pool.generation):
            connection.execute(update(db.rounds).where(where.id == one["id"]).values(closed=time.time()))
            note(connection, "superseded", round=one["id"])


def _word() -> str:
    """A name that says nothing: 120 random bits."""
    return secrets.token_urlsafe(15)


def _insert(connection: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    for start in range(0, len(rows), AT_ONCE):
        connection.execute(insert(table), list(rows[start : start + AT_ONCE]))


# -- which there are ---------------------------------------------------------------------------------------------------


def rounds_of(connection: Connection, study: str, arm: str | None = None, still_open: bool = False) -> list[RowMapping]:
    """The rounds of a study, or of an arm, in the order in which they are judged."""
    where = db.rounds.c
    asked = select(db.rounds).where(where.study == study)
    if arm is not None:
        asked = asked.where(where.arm == arm)
    if still_open:
        asked = asked.where(where.closed.is_(None))
    return list(connection.execute(asked.order_by(where.generation, where.seed, where.arm, where.id)).mappings())


def one_round(
    connection: Connection, study: str, arm: str | None, seed: int | None, generation: int | None
) -> RowMapping:
    """The round that is meant where less than all of its name is said: the one that is open, or the only one.

    Raises ValueError where there is none, or several.
    """
    said = {"arm": arm, "seed": seed, "generation": generation}
    fits = [
        one
        for one in rounds_of(connection, study)
        if all(value is None or one[name] == value for name, value in said.items())
    ]
    still_open = [one for one in fits if one["closed"] is None]
    found = still_open or fits
    if len(found) == 1:
        return found[0]
    told = ", ".join(f"--{name} {value}" for name, value in said.items() if value is not None)
    if not found:
        there = "; ".join(map(words, rounds_of(connection, study)))
        if not there:
            raise ValueError(
                f"round: {study} has none yet; collapselab judge serve {study} opens one when samples wait"
            )
        raise ValueError(f"round: found none of {study} with {told}; there are: {there}")
    listed = "; ".join(map(words, found))
    raise ValueError(f"round: found {len(found)}: {listed}; say --arm, --seed and --generation")


def words(one: Mapping[str, Any]) -> str:
    """A round in the words of the command line."""
    return f"--arm {one['arm']} --seed {one['seed']} --generation {one['generation']}"


class Standing(NamedTuple):
    """How far a round is. missing: codes, or places without anybody, with the items that they have not judged."""

    done: int
    of: int
    missing: dict[str, int]


def standing(connection: Connection, one: Mapping[str, Any]) -> Standing:
    """How far a round is. Somebody who has judged everything and not pressed Finish is missing with 0 items."""
    owed = dict(
        connection.execute(
            select(db.items.c.slot, func.count()).where(db.items.c.round == one["id"]).group_by(db.items.c.slot)
        ).all()
    )
    done = dict(
        connection.execute(
            select(db.items.c.slot, func.count())
            .join(db.judgements, db.judgements.c.item == db.items.c.id)
            .where(db.items.c.round == one["id"])
            .group_by(db.items.c.slot)
        ).all()
    )
    people = connection.execute(
        select(db.judges.c.slot, db.judges.c.code, db.finishes.c.at)
        .join(db.finishes, (db.finishes.c.judge == db.judges.c.id) & (db.finishes.c.round == one["id"]), isouter=True)
        .where(db.judges.c.study == one["study"], db.judges.c.arm == one["arm"], ~db.judges.c.revoked)
    ).all()
    codes = {slot: code for slot, code, _ in people}
    finished = {slot for slot, _, at in people if at is not None}
    missing = {
        codes.get(slot, f"place {slot + 1} (nobody invited)"): count - done.get(slot, 0)
        for slot, count in sorted(owed.items())
        if slot not in finished and (count > done.get(slot, 0) or slot in codes)
    }
    return Standing(sum(done.values()), sum(owed.values()), missing)


# -- closing -----------------------------------------------------------------------------------------------------------


def close(engine: Engine, one: Mapping[str, Any], anyway: bool = False) -> Path:
    """End a round, and write its ballots where the workflow looks for them; that file.

    Raises ValueError where somebody is missing, unless it is to end ``anyway``, or where nobody has judged.
    """
    with db.writing(engine) as connection:
        found = standing(connection, one)
        if found.missing and not anyway and _is_open(connection, one):
            listed = ", ".join(f"{code} ({count} to go)" for code, count in found.missing.items())
            raise ValueError(
                f"round {words(one)}: {len(found.missing)} have not finished: {listed}; "
                "wait for them, or close it as it is with --anyway"
            )
        if not found.done:
            raise ValueError(f"round {words(one)}: nobody has judged anything, so that there is nothing to export")
        if _is_open(connection, one):
            connection.execute(update(db.rounds).where(db.rounds.c.id == one["id"]).values(closed=time.time()))
            note(connection, "closed", round=one["id"], said={"anyway": anyway, "done": found.done, "of": found.of})
    return export(engine, one)


def _is_open(connection: Connection, one: Mapping[str, Any]) -> bool:
    return connection.scalar(select(db.rounds.c.closed).where(db.rounds.c.id == one["id"])) is None


def is_last(engine: Engine, one: Mapping[str, Any]) -> bool:
    """Whether no other round was opened later at the same place, over samples that were made anew."""
    with engine.connect() as connection:
        every = rounds_of(connection, one["study"], one["arm"])
    place = one["seed"], one["generation"]
    return one["id"] == max(other["id"] for other in every if (other["seed"], other["generation"]) == place)


def export(engine: Engine, one: Mapping[str, Any]) -> Path:
    """Write the ballots of a closed round: the same judgements, the same bytes.

    An export of these samples that is there stays as it is, whoever was forgotten since: a model was trained on it, and
    nobody can judge again. Raises ValueError for an open round, and for ballots of other samples in this place.
    """
    path = Path(one["export"])
    waiting_path(path).unlink(missing_ok=True)
    with engine.connect() as connection:
        if _is_open(connection, one):
            raise ValueError(f"round {words(one)}: is open; close it first: collapselab judge close {one['study']}")
        found = ballots(connection, one)
    if is_exported(one):
        if store.read_ballots(path).lineage.get("pool") != one["digest"]:
            raise ValueError(
                f"{path}: holds the ballots of other samples than this round's; move it away, and its hash"
            )
        return path
    store.write_ballots(path, found)
    return path


def is_exported(one: Mapping[str, Any]) -> bool:
    """Whether ballots lie where those of a round go."""
    path = Path(one["export"])
    return path.exists() and store.hash_path(path).exists()


def ballots(connection: Connection, one: Mapping[str, Any]) -> Ballots:
    """The judgements of a round, by judge and in the order of their items: of samples alone, repeats among them.

    A place has one vote on a sample, its first answer. A repeat that somebody else answers, who took over the place, is
    neither a vote nor said again by anybody: it stays in the database alone. Images whose answer is known are told
    apart in the lineage: they are no samples, and never can be kept as such.
    """
    rows = connection.execute(
        select(
            db.judges.c.code,
            db.items.c.kind,
            db.items.c.slot,
            db.images.c.role,
            db.images.c.row,
            db.images.c.about,
            db.judgements.c.answer,
            db.judgements.c.seconds,
        )
        .select_from(db.judgements)
        .join(db.items, db.items.c.id == db.judgements.c.item)
        .join(db.images, db.images.c.id == db.items.c.image)
        .join(db.judges, db.judges.c.id == db.judgements.c.judge)
        .where(db.judgements.c.round == one["id"])
        .order_by(db.items.c.slot, db.items.c.position)
    ).all()
    found = _own_words([row for row in rows if row.kind != "gold"])
    assert all(row.role == "pool" and 0 <= row.row < one["samples"] for row in found), "gold is no sample"
    lineage = {name: one[name] for name in ("study", "arm", "seed", "generation")}
    lineage |= {"pool": one["digest"], "options": one["options"], "checks": checks(rows)}
    counts = {kind: sum(row.kind == kind for row in rows) for kind in ("study", "repeat", "gold")}
    return Ballots(
        np.array([row.row for row in found], np.int64),
        tuple(row.code for row in found),
        tuple(row.answer for row in found),
        np.array([np.nan if row.seconds is None else row.seconds for row in found], np.float64),
        lineage | {"counts": counts},
    )


def _own_words(rows: Sequence[Any]) -> list[Any]:
    """Of answers in the order of a place's items, the first one on each sample, and what the same person said again."""
    first: dict[tuple[int, int], str] = {}
    return [row for row in rows if first.setdefault((row.slot, row.row), row.code) == row.code]


def checks(rows: Sequence[Any]) -> dict[str, dict[str, list[int]]]:
    """By code: how many images whose answer is known were judged right, and how many repeats as before, of how many.

    rows: code, kind, row, about and answer of judgements, in the order of their items.
    """
    found: dict[str, dict[str, list[int]]] = {}
    first: dict[tuple[str, int], str] = {}
    for row in rows:
        told = found.setdefault(row.code, {"gold": [0, 0], "repeats": [0, 0]})
        if row.kind == "study":
            first[row.code, row.row] = row.answer
        elif row.kind == "gold":
            told["gold"][0] += row.answer == Example(np.empty(0), row.about).answer
            told["gold"][1] += 1
        elif (row.code, row.row) in first:
            told["repeats"][0] += row.answer == first[row.code, row.row]
            told["repeats"][1] += 1
    return found


# -- what a waiting workflow says --------------------------------------------------------------------------------------


def waiting_path(export: Path) -> Path:
    """The file beside an export, while there is none, that says who is waited for."""
    return export.with_suffix(".open.json")


def say_who_is_missing(connection: Connection, one: Mapping[str, Any], link: str) -> None:
    """Write beside the place of the export how far its round is, for a workflow that waits for it."""
    found, path = standing(connection, one), waiting_path(Path(one["export"]))
    said = {
        "link": link,
        "pool": one["digest"],
        "done": found.done,
        "of": found.of,
        "missing": found.missing,
        "close": f"collapselab judge close {one['study']} {words(one)}",
    }
    text = json.dumps(said, indent=1) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        store.write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
