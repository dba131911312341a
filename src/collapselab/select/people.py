"""What people kept: a pure function of the closed export of a round in which they judged."""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from ..core import seeds
from ..core.sets import Ballots
from .base import Pool, Selection, ShareOptions
from .judging import ANSWERS, GOOD, Judging
from .simulated import Simulated

Rule = Literal["majority", "any", "all", "k_of_n", "weighted"]
TIE = 1e-12  # of the weight of all votes: rounding decides nothing


class PeopleOptions(ShareOptions, Judging):
    """Who judges, and what of their judgement is kept."""

    share: float = Field(gt=0, le=1, description="share of the samples that is kept, at most: the most approved first")
    rule: Rule = Field("majority", description="whose word makes a sample good; weighted: by what gold says of each")
    k: int | None = Field(None, ge=1, description="of k_of_n: how many have to call it good")
    ties: Literal["keep", "drop"] = Field("drop", description="a sample that as many call good as bad")
    unjudged: Literal["keep", "drop"] = Field("drop", description="a sample that nobody has judged")
    simulated: Simulated | None = Field(None, description="the judges that `judge simulate` sends; else it is people")

    @model_validator(mode="after")
    def _decides(self) -> Self:
        if (self.rule == "k_of_n") != (self.k is not None):
            raise ValueError(f"k: found {self.k} with the rule {self.rule}; k_of_n needs it, and no other rule has it")
        if self.k is not None and self.k > self.overlap:
            raise ValueError(f"k: found {self.k}, allowed are at most the {self.overlap} of overlap who judge a sample")
        if self.rule == "weighted" and not self.gold:
            raise ValueError("gold: found 0; the rule weighted needs images whose answer is known")
        return self

    def keeps(self, count: int) -> int:
        """The share of ``count``, rounded. Raises ValueError where fewer are judged, and what nobody judged goes."""
        wanted = super().keeps(count)
        if wanted > self.judged(count) and self.unjudged == "drop":
            raise ValueError(
                f"share: found {self.share:g} of {count} samples, {wanted}, of which {self.judges} judges with "
                f"{self.per_judge} each, {self.overlap} a sample, judge {self.judged(count)}; keep those or fewer, let "
                f"more be judged, or keep what nobody judged (unjudged: keep)"
            )
        return wanted


class Tally(NamedTuple):
    """What was said of each of N samples. good, bad: (N,) int64 votes. margin: (N,) float64, the weight of those for it
    less that of those against it. weight: (N,) float64, of all of them, whatever their sign.
    """

    good: np.ndarray
    bad: np.ndarray
    margin: np.ndarray
    weight: np.ndarray


def people(pool: Pool, options: PeopleOptions, seed: int) -> Selection:
    """The samples that people call good, the most approved first, as many as ``share`` says; fewer where fewer are.

    A judge has one vote on a sample, the first answer; what was shown again counts for nothing here. By the rule
    majority a sample is good that more call good than bad, and ``ties`` decides where as many do; any: one is enough;
    all: nobody calls it bad; k_of_n: at least ``k`` call it good; weighted: as majority, each voice with the weight
    log((right + 1) / (wrong + 1)) of the judge's answers to gold images, the best weights of independent judges (Nitzan
    and Paroush 1982) with one answer of each kind beside, so that who is wrong more often than right counts against.
    Of equally approved ones the lot of ``seed`` decides, and samples that nobody judged come last, if at all.

    scores: (1 + margin / weight) / 2, for equal voices the share that calls it good; NaN where nobody judged.
    Raises ValueError for ballots of other samples, for unknown answers, and for weights that nobody's gold gives.
    """
    count = len(pool.samples)
    wanted, ballots = options.keeps(count), pool.ballots
    if not count:
        return Selection(np.arange(0), np.empty(0), (), "people")
    tally = tally_of(ballots, count, weights_of(ballots) if options.rule == "weighted" else None)
    judged = tally.good + tally.bad > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(tally.weight > 0, (1 + tally.margin / tally.weight) / 2, np.where(judged, 0.5, np.nan))
    acceptable = np.where(judged, _good(tally, options), options.unjudged == "keep")
    lot = seeds.generator(seed).permutation(count)
    order = np.lexsort((lot, -np.where(judged, scores, -np.inf)))
    rows = np.sort(order[acceptable[order]][:wanted])
    reasons = tuple(_reason(tally, row) for row in rows.tolist())
    return Selection(
        rows.astype(np.int64), scores[rows], reasons, "simulated people" if options.simulated else "people"
    )


def _reason(tally: Tally, row: int) -> str:
    good, of = int(tally.good[row]), int(tally.good[row] + tally.bad[row])
    return f"good to {good} of {of}" if of else "judged by nobody"


def _good(tally: Tally, options: PeopleOptions) -> np.ndarray:
    """Which samples are good by the rule: (N,) bool, of those that were judged."""
    match options.rule:
        case "any":
            return tally.good > 0
        case "all":
            return tally.bad == 0
        case "k_of_n":
            return tally.good >= (options.k or 0)
    tied = np.abs(tally.margin) <= TIE * tally.weight
    return np.where(tied, options.ties == "keep", tally.margin > 0)


def tally_of(ballots: Ballots, count: int, weights: Mapping[str, float] | None = None) -> Tally:
    """The votes on each of ``count`` samples. weights: of each judge; one each if not said."""
    rows = np.asarray(ballots.rows, np.int64)
    if unknown := sorted(set(ballots.answers) - set(ANSWERS)):
        raise ValueError(f"ballots: found {', '.join(map(repr, unknown))}, allowed are {' and '.join(ANSWERS)}")
    if len(rows) and not 0 <= rows.min() <= rows.max() < count:
        raise ValueError(f"ballots: found the rows {rows.min()} to {rows.max()}, allowed are those of {count} samples")
    votes = ballots.votes
    rows, good = rows[votes], np.array(ballots.answers, dtype=object)[votes] == GOOD
    voice = np.array([weights[ballots.judges[index]] if weights else 1.0 for index in votes], np.float64)

    def summed(numbers: np.ndarray) -> np.ndarray:
        return np.bincount(rows, numbers, minlength=count)

    many = [summed(one.astype(np.float64)).astype(np.int64) for one in (good, ~good)]
    return Tally(many[0], many[1], summed(np.where(good, voice, -voice)), summed(np.abs(voice)))


def weights_of(ballots: Ballots) -> dict[str, float]:
    """The weight of each judge by the gold images that the export tells of; 0 for whoever has seen none.

    Raises ValueError where nobody has.
    """
    checks = ballots.lineage.get("checks", {})
    gold = {judge: checks.get(judge, {}).get("gold") or (0, 0) for judge in set(ballots.judges)}
    if ballots.judges and not any(asked for _, asked in gold.values()):
        raise ValueError("ballots: found no answers to gold images, by which the rule weighted weighs judges")
    return {judge: math.log((right + 1) / (asked - right + 1)) for judge, (right, asked) in gold.items()}
