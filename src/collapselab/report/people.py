"""People on the page of a study: how far they agree, what each did, and what they said of themselves."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.sets import Ballots
from ..judge.agreement import agreement, per_judge
from ..judge.opinions import opinions, scale_words
from ..judge.told import SCALE, Judged, Round
from ..metrics.estimates import Estimate
from ..select.judging import ANSWERS, GOOD
from ..verdicts import digits_apart, spell

EVERYBODY = 200  # judges that are listed one by one


def of_people(judged: Judged | None) -> dict[str, Any] | None:
    """What the page says of people; None of a study in which nobody judges, or nobody has yet."""
    if judged is None or not judged.rounds:
        return None
    names = list(agreement(judged.rounds[0].ballots, ANSWERS, resamples=0).coefficients)
    return {
        "simulated": [arm for arm, options in judged.options.items() if options.simulated],
        "coefficients": names,
        "rounds": [_round(one, names) for one in judged.rounds],
        "judges": {arm: _judges(rounds) for arm, rounds in _by_arm(judged.rounds).items()},
        "surveys": [_survey(judged, arm) for arm in judged.options if judged.surveys.get(arm)],
    }


def _by_arm(rounds: Sequence[Round]) -> dict[str, list[Round]]:
    found: dict[str, list[Round]] = {}
    for one in rounds:
        found.setdefault(one.arm, []).append(one)
    return found


def _round(one: Round, names: Sequence[str]) -> dict[str, Any]:
    found = agreement(one.ballots, ANSWERS)
    return {
        "arm": one.arm,
        "where": f"{one.generation}" + (f", seed {one.seed}" if one.seed else ""),
        "judges": found.judges,
        "samples": found.samples,
        "twice": found.twice,
        "good": f"{100 * found.prevalence[GOOD]:.0f} %",
        "cells": [_told(found.coefficients[name]) for name in names],
    }


def _told(value: Estimate | str) -> tuple[str, str]:
    """A coefficient, and below it its interval; or that there is none, and why."""
    if isinstance(value, str):
        return "–", value
    if not np.isfinite([value.low, value.high]).all():
        return spell(value), "no interval"
    digits = digits_apart(value.low, value.high)
    return spell(value, digits=digits), f"{spell(value.low, value, digits)} – {spell(value.high, value, digits)}"


def _judges(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """What each judge of an arm did in all of its rounds."""
    gold: dict[str, tuple[int, int]] = {}
    for one in rounds:
        for code, told in one.ballots.lineage.get("checks", {}).items():
            right, asked = told.get("gold", (0, 0))
            before = gold.get(code, (0, 0))
            gold[code] = before[0] + right, before[1] + asked
    whole = per_judge(_together(rounds), ANSWERS, gold)
    return [
        {
            "judge": one.judge,
            "judged": one.judged,
            "kept": _share(one.kept),
            "right": _share(one.right),
            "same": _share(one.same),
            "seconds": spell(one.seconds) if np.isfinite(one.seconds) else "–",
        }
        for one in whole[:EVERYBODY]
    ]


def _together(rounds: Sequence[Round]) -> Ballots:
    """The ballots of several rounds as those of one, in which no sample of one is a sample of another."""
    step = 1 + max(int(one.ballots.rows.max(initial=0)) for one in rounds)
    return Ballots(
        np.concatenate([np.asarray(one.ballots.rows) + step * index for index, one in enumerate(rounds)]),
        tuple(judge for one in rounds for judge in one.ballots.judges),
        tuple(answer for one in rounds for answer in one.ballots.answers),
        np.concatenate([one.ballots.seconds for one in rounds]),
    )


def _share(share: Estimate | None) -> tuple[str, str]:
    if share is None:
        return "–", ""
    return f"{100 * share:.0f} %", f"{100 * share.low:.0f} – {100 * share.high:.0f}"


def _survey(judged: Judged, arm: str) -> dict[str, Any]:
    options, surveys = judged.options[arm], judged.surveys[arm]
    return {
        "arm": arm,
        "answered": len(surveys),
        "scale": scale_words(options, SCALE),
        "rows": [
            (one.words, [(f"{share.percent:.0f} %", share.is_mode) for share in one.shares])
            for one in opinions(surveys, options, judged.turns, SCALE)
        ],
    }
