"""What to do against collapse: for researchers, for practitioners and for the public, by rule and from the records.

A recommendation is about one measure, and rests on a difference from the arm without a measure in pairs of one seed,
whose 95 % interval has no 0 in it and whose p-value, corrected over all measures (Holm 1979), is 5 % or less. Where
neither fidelity nor diversity differs so, there is none. What speaks against a measure are the sure losses and its
price.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..core.spent import Spent
from .facts import StudyFacts
from .findings import Column, Finding, Table
from .prevention import GOALS, Standing, apart, endpoint_of, kept, standings
from .records import Record, indexed
from .statistics import FEWEST, Estimate, estimate
from .words import spell

AUDIENCES = ("researchers", "practitioners", "public")
DO, AVOID, WEIGH, NONE = "do", "avoid", "weigh", "no advice"


class Deed(NamedTuple):
    """What an audience may do, and what not, in words to it."""

    do: str
    avoid: str


DEEDS: Mapping[str, Mapping[str, Deed]] = {
    "fresh": {
        "researchers": Deed(
            "Study loops that meet new real data, and say how many", "Do not take a few new real data for a cure"
        ),
        "practitioners": Deed(
            "Hold real data back, and give new ones to each training", "Do not hold real data back for later trainings"
        ),
        "public": Deed(
            "Go on sharing what no model has made: models need what is new",
            "Do not believe that a little new human work keeps models well",
        ),
    },
    "kept": {
        "researchers": Deed("Compare with loops that keep real data", "Do not take kept real data for a cure"),
        "practitioners": Deed("Keep real data in every training set", "Do not rely on the real data that you keep"),
    },
    "accumulation": {
        "researchers": Deed("Let data accumulate, beside loops that replace them", "Do not take accumulation for a cure"),
        "practitioners": Deed("Keep all data so far, and add to them", "Do not only add to the data so far"),
    },
    "subsampling": {
        "researchers": Deed(
            "Let data accumulate at one size of training set", "Do not take subsampled accumulation for a cure"
        ),
        "practitioners": Deed(
            "Draw each training set from all data so far", "Do not draw training sets from all data so far"
        ),
    },
    "weights": {
        "researchers": Deed("Let real rows weigh more in the loss", "Do not take weights in the loss for a cure"),
        "practitioners": Deed("Let real rows weigh more than samples", "Do not rely on weights of rows"),
    },
    "filter": {"practitioners": Deed("Keep samples as {arm} does", "Do not keep samples as {arm} does")},
    "taught": {
        "practitioners": Deed("Let judges who were taught keep samples", "Do not let judges keep samples, even taught ones"),
        "public": Deed("Judge what is generated, once you were taught", "Do not rely on your eye, even a taught one"),
    },
    "untaught": {
        "practitioners": Deed("Let judges keep samples, even untaught ones", "Do not let untaught judges keep samples"),
        "public": Deed("Judge what is generated", "Do not rely on an untaught eye"),
    },
    "purge": {
        "practitioners": Deed("Throw out what carries a mark", "Do not expect a detector of marks to help"),
        "public": Deed("Ask for marks in what is generated", "Do not expect marks in what is generated to help"),
    },
    "guide": {
        "researchers": Deed("Sample as {arm} does", "Do not sample as {arm} does"),
        "practitioners": Deed("Sample as {arm} does", "Do not sample as {arm} does"),
    },
    "adapter": {
        "researchers": Deed("Change models as {arm} does", "Do not change models as {arm} does"),
        "practitioners": Deed("Change models as {arm} does", "Do not change models as {arm} does"),
    },
    "sampler": {
        "researchers": Deed(
            "Sample as {arm} does, so that what is seen is the loop's", "Do not expect a better sampler to help"
        ),
        "practitioners": Deed("Sample as {arm} does", "Do not expect the sampler of {arm} to help"),
    },
    "stopping": {
        "researchers": Deed("Try shorter trainings", "Do not take shorter trainings for a cure"),
        "practitioners": Deed("Train for less long", "Do not train for less long"),
    },
    "bias": {"researchers": Deed("Sample with the bias of {arm}", "Do not sample with the bias of {arm}")},
    "transform": {"researchers": Deed("Change samples as {arm} does", "Do not change samples as {arm} does")},
}
"""What a measure does (study.prevention.measures) -> audience -> words. Chance is a row to compare with: nobody is told
to throw samples away by lot."""

CONS: Mapping[str, str] = {
    "fresh": "real rows have to be held back, or found anew",
    "accumulation": "all earlier data have to be kept",
    "subsampling": "all earlier data have to be kept",
    "weights": "one has to know which rows are real",
    "kept": "one has to know which rows are real",
    "purge": "it needs marks that everybody puts in",
    "guide": "a second network is asked at every step, paid for by fewer of them",
    "adapter": "a second training, paid for by a shorter first one",
}
"""What a measure asks for that no part of its price counts."""


class Advice(NamedTuple):
    """One recommendation: to whom, about which arm, which way, in words, and the numbers that it rests on."""

    audience: str
    arm: str
    way: str
    words: str
    pro: str
    con: str
    rests_on: Mapping[str, Estimate]


def way_of(gain: Mapping[str, Estimate]) -> str:
    """Do where something is surely gained and nothing lost, avoid the other way round, weigh both; or no advice."""
    sides = {sure_side(one) for one in gain.values()}
    return WEIGH if {1, -1} <= sides else DO if 1 in sides else AVOID if -1 in sides else NONE


def sure_side(one: Estimate) -> int:
    """1 for a sure gain, -1 for a sure loss, else 0: by Holm's p-value and by an interval without 0 in it, both."""
    return one.side if one.low * one.high > 0 else 0


def advise(facts: StudyFacts, found: Mapping[str, Standing]) -> list[Advice]:
    """What to say to each audience of each measure that concerns it, what is sure first. A pure function of numbers."""
    plain = facts.prevention.spent[facts.prevention.against]
    given = []
    for audience in AUDIENCES:
        of = [_advice(facts, audience, one, plain) for one in found.values() if _concerns(facts, audience, one.arm)]
        given += sorted(of, key=lambda one: (DO, WEIGH, AVOID, NONE).index(one.way))
    return given


def _measures(facts: StudyFacts, arm: str) -> tuple[str, ...]:
    return facts.prevention.measures.get(arm, ())


def _concerns(facts: StudyFacts, audience: str, arm: str) -> bool:
    return any(audience in DEEDS.get(one, {}) for one in _measures(facts, arm))


def _advice(facts: StudyFacts, audience: str, one: Standing, plain: Spent) -> Advice:
    deed = next(DEEDS[kind][audience] for kind in _measures(facts, one.arm) if audience in DEEDS.get(kind, {}))
    way, rests_on = way_of(one.gain), {goal: gain for goal, gain in one.gain.items() if sure_side(gain)}
    said = "; ".join(_difference(facts, goal, gain) for goal, gain in rests_on.items())
    said = said or "; ".join(_open(facts, goal, gain) for goal, gain in one.gain.items())
    words = {DO: deed.do, WEIGH: f"{deed.do}, where what is gained matters more than what is lost", AVOID: deed.avoid}
    told = f"{words[way].format(arm=one.arm)}: {said}." if way in words else f"Nothing is advised: {said}."
    pro, con = list(_pros(one, plain)), list(_cons(facts, one, plain))
    return Advice(audience, one.arm, way, told, _listed(pro), _listed(con), rests_on)


# -- in words ----------------------------------------------------------------------------------------------------------


def _difference(facts: StudyFacts, goal: str, gain: Estimate) -> str:
    """``diversity (recall) kept is 12.3 points more than without a measure (95 % interval ...)``."""
    side, write = ("more" if gain.mean > 0 else "less"), _points if gain.mean > 0 else _negative
    ends = gain.interval(write, noun="pairs")
    return f"{_named(facts, goal)} {spell(write(gain.mean))} points {side} than without a measure is kept ({ends})"


def _open(facts: StudyFacts, goal: str, gain: Estimate) -> str:
    """Why nothing can be said of a goal."""
    name = f"of {_named(facts, goal)}"
    if gain.unchanged:
        return f"{name} as much is kept as without a measure"
    if gain.lineages < FEWEST or gain.alike:
        return f"{name} the difference is {gain.conclusion('', '', noun='pairs')}"
    told = f"{name} the difference is {spell(_points(gain.mean))} points ({gain.interval(_points, noun='pairs')})"
    return told if gain.low * gain.high <= 0 else f"{told}, {gain.conclusion('', '', noun='pairs')}"


def _named(facts: StudyFacts, goal: str) -> str:
    words = facts.label(endpoint_of(facts, goal).metric)
    words = words if words[1:2].isupper() or words.startswith("Fréchet") else words[:1].lower() + words[1:]
    return f"{goal} ({words})"


def _points(number: float) -> float:
    return 100 * number


def _negative(number: float) -> float:
    return -100 * number


def _pros(one: Standing, plain: Spent) -> Iterator[str]:
    for goal, gain in one.gain.items():
        if sure_side(gain) > 0:
            yield f"more {goal}"
    for words, own, theirs in _parts(one.spent, plain):
        if own < theirs:
            yield f"{theirs - own:,} fewer {words}"


def _cons(facts: StudyFacts, one: Standing, plain: Spent) -> Iterator[str]:
    for goal, gain in one.gain.items():
        if sure_side(gain) < 0:
            yield f"less {goal}"
        elif not sure_side(gain) and not gain.unchanged:
            yield f"whether {goal} changes cannot be told"
    for words, own, theirs in _parts(one.spent, plain):
        if own > theirs:
            yield f"{own - theirs:,} {words}"
    if one.spent.discarded:
        yield f"{one.spent.discarded:,} samples are thrown away"
    if one.spent.kept > plain.kept:
        yield f"{one.spent.kept:,} rows to keep in the place of {plain.kept:,}"
    for kind in _measures(facts, one.arm):
        if kind in CONS:
            yield CONS[kind]


def _parts(own: Spent, plain: Spent) -> Iterator[tuple[str, int, int]]:
    words = ("images to train on", "real rows", "evaluations", "judgements")
    return zip(words, own.price, plain.price, strict=True)


def _listed(said: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(said)) or "nothing that is sure"


# -- as findings -------------------------------------------------------------------------------------------------------


def recommendations(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """What to do, for each audience and each measure that concerns it; nothing of a study that compares none.

    status: do, avoid, weigh (something is surely gained and something lost), no advice. numbers: of each goal that it
    rests on the difference with its interval and Holm's p-value.
    """
    if facts.prevention is None:
        return []
    records = indexed(records)
    findings = []
    for one in advise(facts, standings(facts, records)):
        numbers = {
            f"{goal}_{name}": number for goal, gain in one.rests_on.items() for name, number in gain.numbers().items()
        }
        words = {"audience": one.audience, "pro": one.pro, "con": one.con}
        findings.append(Finding(f"recommendation.{one.audience}", one.arm, one.way, one.words, numbers, words))
    return [*findings, *_taught(facts, records)]


def _taught(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """To the public: whether to be taught before one judges, from judges who were and judges who were not."""
    by = {kind: [arm for arm in facts.prevention.measures if kind in _measures(facts, arm)] for kind in PEOPLE}
    pairs = [(one, other) for one in by["taught"] for other in by["untaught"]]
    gains: dict[tuple[str, str], dict[str, Estimate]] = {pair: {} for pair in pairs}
    for goal in GOALS:
        numbers = {arm: kept(facts, records, arm, endpoint_of(facts, goal)) for pair in pairs for arm in pair}
        told = estimate({pair: apart(numbers[pair[0]], numbers[pair[1]]) for pair in pairs})
        for pair, gain in told.items():
            gains[pair][goal] = gain
    findings = []
    for (arm, other), gain in gains.items():
        way, rests_on = way_of(gain), {goal: one for goal, one in gain.items() if sure_side(one)}
        if not all(one.lineages for one in gain.values()):
            continue
        words = {DO: "Be taught what collapse looks like before you judge", AVOID: "Being taught does not help to judge"}
        words[WEIGH] = f"{words[DO]}, where what is gained matters more than what is lost"
        said = "; ".join(_difference(facts, goal, one) for goal, one in rests_on.items())
        said = said or "; ".join(_open(facts, goal, one) for goal, one in gain.items())
        said = said.replace("without a measure", f"in {other}")
        numbers = {f"{goal}_{name}": number for goal, one in rests_on.items() for name, number in one.numbers().items()}
        pro = _listed([f"more {goal}" for goal, one in rests_on.items() if one.side > 0])
        con = _listed([*(f"less {goal}" for goal, one in rests_on.items() if one.side < 0), "a training for each judge"])
        told = {"audience": "public", "pro": pro, "con": con}
        question = "recommendation.public.taught"
        findings.append(Finding(question, arm, way, f"{words.get(way, 'Nothing is advised')}: {said}.", numbers, told))
    return findings


PEOPLE = ("taught", "untaught")


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "To researchers who study loops, practitioners who train models, and the public whose pictures they eat. "
        "Written by rule: each rests on a difference from the arm without a measure in pairs of one seed, in percentage "
        "points of what the first model had, whose 95 % interval has no 0 in it and which holds after Holm's correction "
        "over all measures. They hold for this model, these data and this budget; what was not sure is not advised."
    )


def _beneath(found: Sequence[Finding]) -> list[str]:
    """How many there are for each audience, and what is missing where there are none."""
    said = []
    for audience in AUDIENCES:
        of = [one for one in found if one.words["audience"] == audience]
        sure = [one for one in of if one.status != NONE]
        if of and not sure:
            said.append(f"Nothing is advised to {_to(audience)}: no difference of theirs is sure at so many seeds.")
    return said


def _to(audience: str) -> str:
    return "the public" if audience == "public" else audience


TABLE = Table(
    "recommendations",
    "Recommendations",
    "Advice",
    _about,
    before=(Column("To", "audience"),),
    after=(Column("For it", "pro"), Column("Against it", "con")),
    beneath=_beneath,
    early=True,
    folded=NONE,
)
