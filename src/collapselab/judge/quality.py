"""How well a round is judged: what each person says, how fast, and how far they agree."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from ..core.sets import Ballots
from ..metrics.estimates import share_of
from ..select.judging import GOOD
from . import database as db
from .rounds import ballots, checks

HASTY_S = 0.3  # nobody sees an image in less


class Judged(NamedTuple):
    """One person in a round. good: samples called good, of how many; gold, repeats: right, of how many."""

    code: str
    judged: int
    good: tuple[int, int]
    median_s: float
    hasty: int
    hourly: float
    gold: tuple[int, int]
    repeats: tuple[int, int]


def by_judge(connection: Connection, one: Mapping[str, Any]) -> list[Judged]:
    """What each person has done in a round, by code."""
    rows = connection.execute(
        select(
            *(db.judges.c.code, db.items.c.kind, db.images.c.row, db.images.c.about),
            *(db.judgements.c.answer, db.judgements.c.seconds, db.judgements.c.at),
        )
        .select_from(db.judgements)
        .join(db.items, db.items.c.id == db.judgements.c.item)
        .join(db.images, db.images.c.id == db.items.c.image)
        .join(db.judges, db.judges.c.id == db.judgements.c.judge)
        .where(db.judgements.c.round == one["id"])
        .order_by(db.items.c.slot, db.items.c.position)
    ).all()
    told = checks(rows)
    return [_judged(code, [row for row in rows if row.code == code], found) for code, found in sorted(told.items())]


def _judged(code: str, rows: Sequence[Any], found: Mapping[str, Sequence[int]]) -> Judged:
    study = [row for row in rows if row.kind == "study"]
    seconds = np.array([row.seconds for row in rows if row.seconds is not None])
    times = [row.at for row in rows]
    hours = (max(times) - min(times)) / 3600
    return Judged(
        code,
        len(rows),
        (sum(row.answer == GOOD for row in study), len(study)),
        float(np.median(seconds)) if len(seconds) else float("nan"),
        int((seconds < HASTY_S).sum()),
        (len(rows) - 1) / hours if hours else float("nan"),
        tuple(found["gold"]),
        tuple(found["repeats"]),
    )


def in_words(judged: Judged) -> dict[str, Any]:
    """The same as a table shows it."""
    number = lambda value, digits=0: "–" if np.isnan(value) else f"{value:.{digits}f}"  # noqa: E731
    share = lambda pair: f"{pair[0]} of {pair[1]}" if pair[1] else "–"  # noqa: E731
    good, of = judged.good
    interval = share_of(np.arange(of) < good) if of else None
    return {
        "code": judged.code,
        "judged": judged.judged,
        "good": f"{100 * good / of:.0f} %" if of else "–",
        "interval": f"{100 * interval.low:.0f} to {100 * interval.high:.0f} %" if interval else "–",
        "median": number(judged.median_s, 1),
        "hasty": judged.hasty,
        "hourly": number(judged.hourly),
        "gold": share(judged.gold),
        "repeats": share(judged.repeats),
    }


def agreement(connection: Connection, one: Mapping[str, Any]) -> dict[str, str]:
    """How far people agree on a round's samples, in words by name; what cannot be computed is left out."""
    return agreement_of(ballots(connection, one))


def agreement_of(found: Ballots) -> dict[str, str]:
    """The share of pairs of judges that agree, beside the share of good: where nearly all is good, most pairs agree."""
    votes: dict[int, dict[str, bool]] = {}
    for row, judge, answer in zip(found.rows.tolist(), found.judges, found.answers, strict=True):
        votes.setdefault(row, {}).setdefault(judge, answer == GOOD)  # a repeat is no vote
    pairs = alike = good = count = 0
    for said in votes.values():
        up, many = sum(said.values()), len(said)
        good, count = good + up, count + many
        pairs += many * (many - 1) // 2
        alike += up * (up - 1) // 2 + (many - up) * (many - up - 1) // 2
    words = {"Called good": f"{100 * good / count:.1f} % of {count} judgements"} if count else {}
    if pairs:
        words["Pairs of judges that agree"] = f"{100 * alike / pairs:.1f} % of {pairs}"
    return words
