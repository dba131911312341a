"""How well a round is judged: what each person says, how fast, and how far they agree."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from ..core.sets import Ballots
from ..metrics.estimates import Estimate
from ..select.judging import ANSWERS
from . import database as db
from .agreement import agreement, per_judge
from .rounds import ballots

HASTY_S = 0.3  # nobody sees an image in less
NOTHING = "–"


def of_round(connection: Connection, one: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a round's judges, by person and together."""
    found = ballots(connection, one)
    return {"judges": _people(connection, one, found), "agreement": _together(found)}


def _people(connection: Connection, one: Mapping[str, Any], found: Ballots) -> list[dict[str, Any]]:
    gold = {code: tuple(told["gold"]) for code, told in found.lineage["checks"].items()}
    hasty, hourly = _pace(connection, one)
    return [
        {
            "code": judge.judge,
            "judged": judge.judged,
            "good": _share(judge.kept),
            "interval": f"{100 * judge.kept.low:.0f} to {100 * judge.kept.high:.0f} %",
            "median": _number(judge.seconds, 1),
            "hasty": hasty[judge.judge],
            "hourly": _number(hourly[judge.judge], 0),
            "gold": _share(judge.right),
            "repeats": _share(judge.same),
        }
        for judge in per_judge(found, ANSWERS, gold)
    ]


def _pace(connection: Connection, one: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, float]]:
    """By code: how many answers came faster than anybody sees, and how many came an hour, NaN for one alone."""
    rows = connection.execute(
        select(db.judges.c.code, db.judgements.c.seconds, db.judgements.c.at)
        .join(db.judges, db.judges.c.id == db.judgements.c.judge)
        .where(db.judgements.c.round == one["id"])
    )
    seconds: dict[str, list[float]] = {}
    times: dict[str, list[float]] = {}
    for code, took, at in rows:
        seconds.setdefault(code, []).append(np.inf if took is None else took)
        times.setdefault(code, []).append(at)
    hasty = {code: sum(took < HASTY_S for took in every) for code, every in seconds.items()}
    hours = {code: (max(every) - min(every)) / 3600 for code, every in times.items()}
    return hasty, {code: (len(times[code]) - 1) / spent if spent else np.nan for code, spent in hours.items()}


def _together(found: Ballots) -> dict[str, str]:
    """How far people agree, by the name of a coefficient, without an interval, for which a page would wait too long."""
    if not len(found):
        return {}
    told = agreement(found, ANSWERS, resamples=0)
    shares = ", ".join(f"{answer} {100 * share:.1f} %" for answer, share in told.prevalence.items())
    words = {"Answers": f"{shares}; {told.twice} of {told.samples} samples have several judges"}
    values = {name: one for name, one in told.coefficients.items() if isinstance(one, Estimate)}
    return words | {name[:1].upper() + name[1:]: _number(value, 2) for name, value in values.items()}


def _share(share: Estimate | None) -> str:
    return NOTHING if share is None else f"{100 * share:.0f} %"


def _number(value: float, digits: int) -> str:
    return NOTHING if np.isnan(value) else f"{value:.{digits}f}"
