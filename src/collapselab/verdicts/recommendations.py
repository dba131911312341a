"""What to do against collapse: for researchers, for practitioners and for the public, by rule and from the records.

A recommendation is about one measure, and rests on a difference from the arm without a measure, in pairs of one seed,
whose 95 % interval, which holds for all measures at once (:mod:`~.many_to_one`, Dunnett 1955), has no 0 in it, and on
the side of which all seeds are. Where neither fidelity nor diversity differs so, there is none. What speaks against a
measure are the sure losses, and its price.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..core.spent import Spent
from .facts import StudyFacts
from .findings import Column, Finding, Table
from .many_to_one import Gain, apart
from .prevention import GOALS, Standing, endpoint_of, standings, table_of
from .records import Record, indexed
from .statistics import FEWEST
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
        "researchers": Deed(
            "Let data accumulate, beside loops that replace them", "Do not take accumulation for a cure"
        ),
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
        "practitioners": Deed(
            "Let judges who were taught keep samples", "Do not let judges keep samples, even taught ones"
        ),
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
SIMULATED = "the judges are simulated, and see what the study has them see"


class Advice(NamedTuple):
    """One recommendation: to whom, about which arm, which way, in words, and the numbers that it rests on."""

    audience: str
    arm: str
    way: str
    words: str
    pro: str
    con: str
    rests_on: Mapping[str, Gain]
    of: str = ""  # what it is about, where not about the arm by itself


def way_of(gain: Mapping[str, Gain]) -> str:
    """Do where something is surely gained and nothing lost, avoid the other way round, weigh both; or no advice."""
    sides = {one.side for one in gain.values()}
    return WEIGH if {1, -1} <= sides else DO if 1 in sides else AVOID if -1 in sides else NONE


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
    deed = Deed(*(words.format(arm=one.arm) for words in deed))
    beside = "without a measure" if one.beside == facts.prevention.against else f"in {one.beside}"
    pro, con = list(_pros(one, plain)), list(_cons(facts, one, plain))
    rests_on = {goal: by for goal, by in one.more.items() if by.side}
    told = worded(facts, deed, one.more, beside)
    return Advice(audience, one.arm, way_of(one.more), told, _listed(pro), _listed(con), rests_on)


def worded(facts: StudyFacts, deed: Deed, more: Mapping[str, Gain], beside: str) -> str:
    """A recommendation with the numbers that it rests on, or why there is none. beside: what is compared with."""
    way = way_of(more)
    if way == NONE:
        return f"Nothing is advised: {_unsure(facts, more, beside)}."
    words = {DO: deed.do, WEIGH: f"{deed.do}, where what is gained matters more than what is lost", AVOID: deed.avoid}
    said = "; ".join(_difference(facts, goal, by, beside) for goal, by in more.items() if by.side)
    return f"{words[way]}: {said}."


# -- in words ----------------------------------------------------------------------------------------------------------


def _difference(facts: StudyFacts, goal: str, gain: Gain, beside: str) -> str:
    """``12.3 points more of diversity (recall) are kept than without a measure (95 % interval ...)``."""
    side, write = ("more" if gain.mean > 0 else "less"), _points if gain.mean > 0 else _negative
    ends = gain.interval(write, noun="pairs")
    return f"{spell(write(gain.mean))} points {side} of {_named(facts, goal)} are kept than {beside} ({ends})"


def _unsure(facts: StudyFacts, gain: Mapping[str, Gain], beside: str) -> str:
    """Why nothing is said: of each goal the difference with its interval, or what is missing."""
    if not gain:
        return "a lineage ended, and is not compared"
    most = max(by.lineages for by in gain.values())
    if most < FEWEST:
        return f"a test needs at least {FEWEST} seeds, and there {'is' if most == 1 else 'are'} {most}"
    return "; ".join(_open(facts, goal, by, beside) for goal, by in gain.items())


def _open(facts: StudyFacts, goal: str, gain: Gain, beside: str) -> str:
    """What is not sure of a goal."""
    name = _named(facts, goal)
    if gain.unchanged:
        return f"of {name} as much is kept as {beside}"
    told = f"of {name} {spell(_points(gain.mean))} points are kept beside what is {beside}"
    told += f" ({gain.interval(_points, noun='pairs')})"
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
    for goal, by in one.more.items():
        if by.side > 0:
            yield f"more {goal}"
    for words, own, theirs in _parts(one.spent, plain):
        if own < theirs:
            yield f"{theirs - own:,} fewer {words}"


def _cons(facts: StudyFacts, one: Standing, plain: Spent) -> Iterator[str]:
    for goal, by in one.more.items():
        if by.side < 0:
            yield f"less {goal}"
        elif not by.side and not by.unchanged:
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
    if one.arm in facts.prevention.simulated:
        yield SIMULATED


def _parts(own: Spent, plain: Spent) -> Iterator[tuple[str, int, int]]:
    words = ("images to train on", "real rows", "evaluations", "judgements")
    return zip(words, own.price, plain.price, strict=True)


def _listed(said: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(said)) or "nothing that is sure"


# -- as findings -------------------------------------------------------------------------------------------------------


def recommendations(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """What to do, for each audience and each measure that concerns it; nothing of a study that compares none.

    status: do, avoid, weigh (something is surely gained and something lost), no advice. numbers: of each goal that it
    rests on the difference with its interval and the p-value.
    """
    if facts.prevention is None:
        return []
    records = indexed(records)
    found = standings(facts, records)
    if not found:
        return []
    given = [*advise(facts, found), *_taught(facts, records)]
    findings = []
    for one in sorted(given, key=lambda one: AUDIENCES.index(one.audience)):
        numbers = {f"{goal}_{name}": of for goal, by in one.rests_on.items() for name, of in by.numbers().items()}
        words = {"audience": one.audience, "pro": one.pro, "con": one.con}
        question = f"recommendation.{one.audience}{'.' * bool(one.of)}{one.of}"
        findings.append(Finding(question, one.arm, one.way, one.words, numbers, words))
    return findings


def _taught(facts: StudyFacts, records: Sequence[Record]) -> Iterator[Advice]:
    """To the public: whether to be taught before one judges, from judges who were and judges who were not."""
    numbers = table_of(facts, records)
    there = numbers[GOALS[0]]
    by = {kind: [arm for arm in there if kind in _measures(facts, arm)] for kind in PEOPLE}
    for arm, other in ((one, other) for one in by["taught"] for other in by["untaught"]):
        more = {goal: apart(numbers[goal], arm, other, max(1, len(there) - 1)) for goal in GOALS}  # as all others
        more = {goal: one for goal, one in more.items() if one is not None}
        pro = [f"more {goal}" for goal, one in more.items() if one.side > 0]
        con = [f"less {goal}" for goal, one in more.items() if one.side < 0]
        con += [f"whether {goal} changes cannot be told" for goal, one in more.items() if not one.side]
        rests_on = {goal: one for goal, one in more.items() if one.side}
        told = worded(facts, BE_TAUGHT, more, f"in {other}")
        con += ["judges have to be taught"] + [SIMULATED] * bool({arm, other} & {*facts.prevention.simulated})
        yield Advice("public", arm, way_of(more), told, _listed(pro), _listed(con), rests_on, "taught")


BE_TAUGHT = Deed(
    "Be taught what collapse looks like before you judge", "Do not expect to judge better once you are taught"
)
PEOPLE = ("taught", "untaught")


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "To researchers who study loops, practitioners who train models, and the public whose pictures they eat. "
        "Written by rule: each rests on a difference from the arm without a measure, or from the arm that does all but "
        "what it is about, in pairs of one seed and in percentage points of what the first model had. Its 95 % "
        "interval has no 0 in it, and no seed contradicts it; intervals hold for all measures at once, by the spread "
        "that they have in common (Dunnett 1955). All of it holds for this model, these data and this budget; what is "
        "not sure is not advised."
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
