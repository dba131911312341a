"""Measures against collapse at one budget: what each keeps of fidelity and of diversity, and what no other beats.

What an arm keeps is its number at the last generation over that of the first model without a measure, in pairs of one
seed: 1 is as good as at the start. Where less is better it is the other way round. A measure beats another that is no
better in either, no cheaper in any part of its price, and not equal in all: those that none beats are the front of
Pareto. Prices are counted (:class:`~collapselab.core.spent.Spent`) and have no spread, what is kept has one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..core.spent import Spent
from .facts import Endpoint, StudyFacts
from .findings import Column, Finding, Table
from .many_to_one import Gain, apart, gains, surely_above
from .records import Record, indexed, lineages
from .statistics import FEWEST, t_interval
from .words import and_ended, span, spell

GOALS = ("fidelity", "diversity")
NOT_BEATEN, BEATEN, UNSURE = "not beaten", "beaten", "cannot tell"


class Point(NamedTuple):
    """Where a measure stands: what it keeps, the more the better, and each part of what it costs."""

    goods: tuple[float, ...]
    price: tuple[int, ...]


class Standing(NamedTuple):
    """What is known of an arm. kept: goal -> mean with its 95 % interval over seeds. gain: goal -> the difference from
    the arm without a measure, with intervals that hold for all arms at once; nothing of an arm of which a lineage
    ended. beside, more: the arm that does all that this one does but for the first of its measures, where there is one,
    else that without a measure; and the difference from it. beaten_by: the arms that beat it by their means. surely:
    whether one of them is surely better in one of both.
    """

    arm: str
    spent: Spent
    kept: Mapping[str, tuple[float, float, float]]
    gain: Mapping[str, Gain]
    beside: str
    more: Mapping[str, Gain]
    beaten_by: tuple[str, ...] = ()
    surely: bool = False

    @property
    def status(self) -> str:
        """Not beaten; beaten, where that is sure; or that it cannot be told."""
        return NOT_BEATEN if not self.beaten_by else BEATEN if self.surely else UNSURE


# -- what beats what ---------------------------------------------------------------------------------------------------


def beats(one: Point, other: Point) -> bool:
    """Whether one is no worse in any good, no dearer in any part, and not equal in all."""
    no_worse = all(own >= theirs for own, theirs in zip(one.goods, other.goods, strict=True))
    no_dearer = all(own <= theirs for own, theirs in zip(one.price, other.price, strict=True))
    return no_worse and no_dearer and one != other


def beaten(points: Mapping[str, Point]) -> dict[str, tuple[str, ...]]:
    """arm -> the arms that beat it; those without any are the front."""
    return {arm: tuple(one for one in points if beats(points[one], points[arm])) for arm in points}


# -- what the records say ----------------------------------------------------------------------------------------------


def kept(facts: StudyFacts, records: Sequence[Record], arm: str, endpoint: Endpoint) -> dict[int, float]:
    """seed -> what an arm keeps at the last generation; nothing of seeds whose lineage has no number there."""
    first = lineages(records, facts.prevention.against, endpoint)
    last, higher = facts.horizon(arm, facts.prevention.against), facts.direction(endpoint.metric) == "higher"
    found = {}
    for seed, lineage in lineages(records, arm, endpoint).items():
        start, end = first.get(seed, {}).get(0), lineage.get(last)
        if start is None or end is None or not (start if higher else end):
            continue
        found[seed] = end / start if higher else start / end
    return found


def endpoint_of(facts: StudyFacts, goal: str) -> Endpoint:
    """By what a goal is told."""
    return getattr(facts.prevention, goal)


def standings(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Standing]:
    """Where every arm stands, in the order of the study; arms without numbers of both goals are left out."""
    said = facts.prevention
    numbers = table_of(facts, records)
    if said is None or said.against not in numbers[GOALS[0]]:
        return {}
    there = list(numbers[GOALS[0]])
    shown = {arm: {goal: _interval(numbers[goal][arm]) for goal in GOALS} for arm in there}
    points = {
        arm: Point(tuple(shown[arm][goal][0] for goal in GOALS), said.spent[arm].price)
        for arm in there
        if arm != said.yardstick
    }
    by = beaten(points)
    pairs = [(one, arm) for arm, others in by.items() for one in others]
    sure = set.union(*(surely_above(numbers[goal], pairs) for goal in GOALS))
    found = {goal: gains(numbers[goal], said.against) for goal in GOALS}
    standing = {}
    for arm in there:
        beside = _beside(said.measures, arm, there) or said.against
        more = {goal: apart(numbers[goal], arm, beside, max(1, len(found[goal]))) for goal in GOALS}
        standing[arm] = Standing(
            arm=arm,
            spent=said.spent[arm],
            kept=shown[arm],
            gain={goal: found[goal][arm] for goal in GOALS if arm in found[goal]},
            beside=beside,
            more={goal: one for goal, one in more.items() if one is not None},
            beaten_by=by.get(arm, ()),
            surely=any((one, arm) in sure for one in by.get(arm, ())),
        )
    return standing


def table_of(facts: StudyFacts, records: Sequence[Record]) -> dict[str, dict[str, dict[int, float]]]:
    """goal -> arm -> seed -> what is kept, of the arms that have numbers of both goals."""
    if facts.prevention is None:
        return {goal: {} for goal in GOALS}
    records = indexed(records)
    found = {
        goal: {arm: kept(facts, records, arm, endpoint_of(facts, goal)) for arm in facts.prevention.spent}
        for goal in GOALS
    }
    there = [arm for arm in facts.prevention.spent if all(found[goal][arm] for goal in GOALS)]
    return {goal: {arm: found[goal][arm] for arm in there} for goal in GOALS}


def _beside(measures: Mapping[str, tuple[str, ...]], arm: str, there: Sequence[str]) -> str:
    """The arm that does all that one does but for the first of its measures; empty where there is none."""
    rest = measures.get(arm, ())[1:]
    return next((one for one in there if rest and measures.get(one) == rest), "")


def _interval(found: Mapping[int, float]) -> tuple[float, float, float]:
    sample = np.array(list(found.values()))
    low, high, _ = t_interval(sample)
    return float(sample.mean()), low, high


# -- as findings -------------------------------------------------------------------------------------------------------


def compared(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Every arm with its price and what it keeps: whether another measure beats it, and whether that is sure.

    status: not beaten, beaten, cannot tell (beaten by the means, and by no sure difference), yardstick. numbers: the
    parts of the price, and of each goal what is kept with its interval.
    """
    records = indexed(records)
    found, findings = standings(facts, records), []
    for arm, one in found.items():
        numbers = dict(zip(("images", "real", "evaluations", "judgements"), one.spent.price, strict=True))
        numbers |= {f"{goal}{end}": of for goal in GOALS for end, of in zip(ENDS, one.kept[goal], strict=True)}
        words = {goal: f"{goal} {in_percent(*one.kept[goal])}" for goal in GOALS} | {"price": price_of(one.spent)}
        status = "yardstick" if arm == facts.prevention.yardstick else one.status
        sentence = _sentence(facts, found, one) + and_ended(records, facts, arm)
        findings.append(Finding("prevention", arm, status, sentence, numbers, words))
    return findings


ENDS = ("", "_low", "_high")


def price_of(spent: Spent) -> str:
    """``128,000 images, 400 real rows, 230,400 evaluations``, and judgements where there are any."""
    words = ("images", "real rows", "evaluations", "judgements")
    return ", ".join(f"{of:,} {one}" for one, of in zip(words, spent.price, strict=True) if of or one != "judgements")


def in_percent(mean: float, low: float, high: float) -> str:
    """``83.1 % (80.2 to 86.0)``, without an interval where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{spell(100 * mean)} %"
    return f"{spell(100 * mean, 100)} % ({span(100 * low, 100 * high)})"


def _sentence(facts: StudyFacts, found: Mapping[str, Standing], one: Standing) -> str:
    if one.arm == facts.prevention.yardstick:
        return "It stands beside the measures, and is not compared."
    if not one.beaten_by:
        return "No other measure keeps as much of both for the same price or less."
    names = ", ".join(one.beaten_by[:LISTED]) + (
        f" and {len(one.beaten_by) - LISTED} more" if len(one.beaten_by) > LISTED else ""
    )
    keep = "keeps" if len(one.beaten_by) == 1 else "keep"
    said = f"{names} {keep} as much of both or more, and cost no more"
    if one.surely:
        return f"{said}; that is sure of one of both."
    few = max((gain.lineages for gain in found_gains(found)), default=0) < FEWEST
    why = f"a test needs at least {FEWEST} seeds" if few else "the intervals do not part them"
    return f"{said} by the means; {why}."


def found_gains(found: Mapping[str, Standing]) -> list[Gain]:
    """The differences of all arms and goals."""
    return [gain for one in found.values() for gain in one.gain.values()]


LISTED = 3  # arms that a sentence names, of more


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    said = facts.prevention
    goals = ", ".join(
        f"{goal} by {facts.label(endpoint_of(facts, goal).metric).lower()} in the {endpoint_of(facts, goal).extractor} "
        "features"
        for goal in GOALS
    )
    return (
        f"What each measure keeps at generation {facts.generations} of what the first model of the arm {said.against} "
        f"had ({goals}), with 95 % intervals over seeds, and what one lineage of it spends: no arm may spend more than "
        f"{said.against}, image by image, real row by real row and evaluation by evaluation. A measure is beaten where "
        "another keeps as much of both or more and is no dearer in any part; that is sure where one of both differs "
        "surely, in pairs of one seed, by the spread that all arms have in common, corrected over all such pairs (Holm "
        "1979)."
    )


TABLE = Table(
    "prevention",
    "Measures compared",
    "Standing",
    _about,
    after=(
        Column("Fidelity kept", "fidelity"),
        Column("Diversity kept", "diversity"),
        Column("Price of a lineage", "price", "soft"),
    ),
    early=True,
    charts=("prevention", "price"),
)
