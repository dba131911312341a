"""The first sentence of the page: what the verdicts answer to the study's question, made by one rule for all studies.

Nothing stands in it that no finding says. Yes and no are said to two kinds of questions alone, which the rule knows by
their words: whether something collapses, and whether a law holds. To all others the sentence says what happens, and in
which arm least; where the question asks for the best of several, that comes first.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ..verdicts import Finding, Record, StudyFacts, diverged, lineages, spell
from ..verdicts.statistics import FEWEST
from .numbers import SETS, final

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NAMED = 4  # arms that a sentence names one by one
POOR = 0.5  # of what real data score in the samples' place: from less one learns of this model, and not of loops
OPENS = re.compile(r"(does|do|will)\b", re.I)
COLLAPSES = re.compile(r"\b(collapses?|gets? worse|degrades?|degenerates?|deteriorates?|falls?|forgets?)\b", re.I)
CURES = re.compile(r"\b(slow|keep|stop|prevent|help|avoid|from|against|fast|select|choos|judge|without|more)", re.I)
LAWS = re.compile(r"\b(laws?|theory)\b", re.I)
CHOOSES = re.compile(r"(which|what)\b", re.I)
BEST = re.compile(r"\b(slow|keep|stop|prevent|cure|repair|best|most|least)", re.I)

Kind = Literal["collapses", "laws", "which", "other"]


class Headline(NamedTuple):
    """answer: one sentence. beneath: what else a reader needs to know at once, a sentence each."""

    answer: str
    beneath: list[str]


def headline(
    facts: StudyFacts, records: Sequence[Record], found: Mapping[str, Sequence[Finding]], unfinished: bool = False
) -> Headline:
    """The answer to the study's question, and beneath it the numbers, the control, and lineages that ended."""
    numbers = last_numbers(facts, records)
    if not numbers:
        return Headline("Nothing is measured yet.", [])
    slopes = _by_arm(found["primary_slope"])
    if facts.generations == 0:
        seeds = f"{_count(facts.seeds)} seed{'s' * (facts.seeds > 1)}"
        untested = f"These are means of {seeds}, without a test: no model here is trained on samples of another."
        answer, controls = _ranked(facts, records), [untested]
    elif not any(one.numbers.get("lineages") for one in slopes.values()):
        answer, controls = f"It cannot be told yet: no lineage has two generations of {_plain(facts)}.", []
    else:
        answer, controls = _answer(facts, found), _controls(facts, slopes)
    laws = _laws(facts, found) if kind_of(facts.question) != "laws" else ""
    ended = _ended(facts, records)
    said = f"So far: {answer[0].lower() if answer[1:2].islower() else answer[0]}{answer[1:]}" if unfinished else answer
    return Headline(said, [one for one in (*controls, laws, numbers, ended) if one])


def kind_of(question: str) -> Kind:
    """What a question asks for, by the words of its first clause."""
    first = re.split(r"[,;:]| and ", question)[0].strip()
    if OPENS.match(first):
        if LAWS.search(first):
            return "laws"
        return "collapses" if COLLAPSES.search(first) and not CURES.search(first) else "other"
    return "which" if CHOOSES.match(first) and BEST.search(first) else "other"


def badge(facts: StudyFacts, finding: Finding) -> str:
    """The words of a verdict's mark: where nothing is seen, what is ruled out."""
    bound = _ruled_out(facts, finding, finding)
    if bound is None:
        return finding.status
    return f"no {_verb(facts)} larger than {spell(bound)} a generation"


def last_numbers(facts: StudyFacts, records: Sequence[Record]) -> str:
    """One sentence: the primary endpoint's mean in every arm that reached the last generation, and in real data."""
    found = {arm: final(facts, records, arm, facts.primary) for arm in facts.arms}
    last = max((cell["generation"] for cell in found.values() if cell), default=None)
    if last is None:
        return ""
    means = {arm: cell["mean"] for arm, cell in found.items() if cell and cell["generation"] == last}
    lower = facts.direction(facts.primary.metric) == "lower"
    order = sorted(means, key=lambda arm: means[arm] if lower else -means[arm])
    largest = max(map(abs, means.values()))
    digits = 2 if largest < 0.995 else 3  # shares that are almost 1 must not all read 1.0
    where = f"{facts.primary.extractor}, {SETS[facts.primary.set]}"
    said = [f"{spell(means[arm], largest, digits)} in {arm}" for arm in order]
    sentence = f"At generation {last} {_plain(facts)} ({where}) is {', '.join(said)}"
    real = _possible(facts)
    if real is not None:
        sentence += f"; other real data in the samples' place scores {spell(real, largest, digits)}"
    gone = [arm for arm in facts.arms if arm not in means]
    return sentence + (f". Not there: {', '.join(gone)}." if gone else ".")


def start(facts: StudyFacts, records: Sequence[Record]) -> tuple[str, bool]:
    """How good the models are before any loop, of how much that is possible, and whether some are poor.

    Poor is less than half of what real data score, of a metric of which more is better. Arms whose models are changed
    in generation 0 itself are left out: what they score is what the change has done.
    """
    real, changed = _possible(facts), {arm for arm, _, generation in facts.adaptations if generation == 0}
    firsts: dict[str, float] = {}
    for arm in (arm for arm in facts.arms if arm not in changed):
        numbers = [one[0] for one in lineages(records, arm, facts.primary).values() if 0 in one]
        firsts |= {arm: float(np.mean(numbers))} if numbers else {}
    if not firsts or real is None:
        return "", False
    higher = facts.direction(facts.primary.metric) == "higher"
    poor = [arm for arm, first in firsts.items() if higher and real > 0 and first < POOR * real]
    arms = poor or list(firsts)
    low, high = min(firsts[arm] for arm in arms), max(firsts[arm] for arm in arms)
    span = spell(low, real) if spell(low, real) == spell(high, real) else f"{spell(low, real)} to {spell(high, real)}"
    of = f"of a possible {spell(real, high)}" if higher else f"where real data have {spell(real, high)}"
    whose = f" in {_listed(arms)}" if len(arms) < len(facts.arms) else ""
    said = f"At generation 0 {_plain(facts)} is {span} {of}{whose}"
    return (f"{said}: results are about this model." if poor else f"{said}."), bool(poor)


# -- the answer --------------------------------------------------------------------------------------------------------


class _Sides(NamedTuple):
    """The arms that are asked about, by what the test of the primary endpoint says of them."""

    worse: list[str]
    fine: list[str]
    unsure: list[str]

    @property
    def all(self) -> list[str]:
        return [*self.worse, *self.fine, *self.unsure]


def _asked(facts: StudyFacts) -> list[str]:
    """The arms that the question is about: neither controls nor those in which chance selects, if there are others."""
    return [arm for arm in facts.arms if not (facts.is_control(arm) or facts.is_chance(arm))] or list(facts.arms)


def _sides(facts: StudyFacts, tested: Mapping[str, Finding]) -> _Sides:
    seen = f"{_verb(facts)}s"
    statuses = {arm: tested[arm].status for arm in _asked(facts)}
    return _Sides(
        [arm for arm, status in statuses.items() if status == seen],
        [arm for arm, status in statuses.items() if status == f"no {_verb(facts)} seen"],
        [arm for arm, status in statuses.items() if status not in (seen, f"no {_verb(facts)} seen")],
    )


def _answer(facts: StudyFacts, found: Mapping[str, Sequence[Finding]]) -> str:
    """The sentence of a study with generations: yes or no where that is asked, who gets worse, and who least."""
    kind, slopes = kind_of(facts.question), _by_arm(found["primary_slope"])
    # Where all arms are controls, each is asked by itself.
    apart = facts.control is not None and any(not facts.is_control(arm) for arm in _asked(facts))
    tested = _by_arm(found["slope_against_control"]) if apart else slopes
    sides = _sides(facts, tested)
    ranked = _by_slope(facts, slopes, sides)
    if kind == "laws" and (law := _laws(facts, found)):
        return law
    what = _what_happens(facts, tested, slopes, sides, apart)
    if kind == "which" and ranked:
        best = _best_first(facts, found, slopes, ranked)
        return f"{_capital(best)}; {what}."
    opening = _opening(facts, kind, sides, bool(_too_few(sides, tested)))
    best = _best_last(facts, found, slopes, ranked) if ranked and (sides.worse or _too_few(sides, tested)) else ""
    said = f"{what}; {best}." if best else f"{what}."
    return opening + said if opening else _capital(said)


def _opening(facts: StudyFacts, kind: Kind, sides: _Sides, few: bool) -> str:
    """The word before the sentence: yes or no where that is asked."""
    if kind != "collapses" or facts.direction(facts.primary.metric) is None:
        return f"Whether {_plain(facts)} {_verb(facts)}s cannot be told: " if few and not sides.worse else ""
    if sides.worse:
        return "Yes: " if len(sides.worse) == len(sides.all) else "In part: "
    return "It cannot be told: " if sides.unsure else "No: "


def _what_happens(
    facts: StudyFacts, tested: Mapping[str, Finding], slopes: Mapping[str, Finding], sides: _Sides, apart: bool
) -> str:
    """Where the primary endpoint gets worse, where not, and where that is not known."""
    metric, verb = _plain(facts), _verb(facts)
    several = len({facts.control_of(arm) for arm in sides.all}) > 1
    beside = f" faster than in {'their controls' if several else 'the control'}" if apart else ""
    if sides.worse:
        said = [f"{metric} {verb}s{beside} in {_of_all(sides.worse, sides.all)}"]
        said += [f"no such {verb} is seen in {_listed(sides.fine)}"] if sides.fine else []
        said += [f"in {_listed(sides.unsure)} it cannot be told"] if sides.unsure else []
        return "; ".join(said)
    if not sides.unsure:
        whole = sides.all[0] if len(sides.all) == 1 else f"any of the {_count(len(sides.all))} arms"
        return f"{metric} does not {verb}{beside} in {whole}"
    if few := _too_few(sides, tested):
        return few
    none = f"in none of the {_count(len(sides.all))} arms is it sure that"
    said = f"{none if len(sides.all) > 1 else 'it is not sure that'} {metric} {verb}s{beside}"
    said += f" in {sides.all[0]}" if len(sides.all) == 1 else ""
    bounds = [_ruled_out(facts, tested[arm], slopes[arm]) for arm in sides.unsure]
    if all(bound is not None for bound in bounds):
        large = max(bound for bound in bounds if bound is not None)
        said += f"; a {verb}{' that is faster' if apart else ''} by more than {spell(large)} a generation is ruled out"
    return said + (f"; none is seen in {_listed(sides.fine)}" if sides.fine else "")


def _too_few(sides: _Sides, tested: Mapping[str, Finding]) -> str:
    """That there are too few lineages for any test; empty where there are enough."""
    most = int(max((tested[arm].numbers.get("lineages") or 0 for arm in sides.all), default=0))
    if most >= FEWEST:
        return ""
    there = "is" if most == 1 else "are"
    return f"a test needs {_count(FEWEST)} seeds with two generations, and there {there} {_count(most)}"


def _by_slope(facts: StudyFacts, slopes: Mapping[str, Finding], sides: _Sides) -> list[str]:
    """The arms from the one that keeps the primary endpoint best; empty where there are no two with a slope."""
    means = {arm: slopes[arm].numbers["mean"] for arm in sides.all if slopes[arm].numbers.get("mean") is not None}
    ways = {"higher": lambda mean: -mean, "lower": lambda mean: mean, None: abs}
    way = ways[facts.direction(facts.primary.metric)]
    order = sorted(means, key=lambda arm: (way(means[arm]), list(facts.arms).index(arm)))
    return order if len(order) > 1 and len({*means.values()}) > 1 else []


def _hedge(found: Mapping[str, Sequence[Finding]], ranked: Sequence[str], word: str) -> str:
    """Of the best arm, from which others it is not surely apart."""
    sure = {
        frozenset((one.arm, one.words["other"])) for one in found["contrasts"] if one.status.endswith(" slope")
    }  # higher slope, lower slope
    near = [arm for arm in ranked[1:] if frozenset((ranked[0], arm)) not in sure]
    if not near:
        return ""
    many = "any other" if len(near) == len(ranked) - 1 > 1 else _listed(near)
    return f", though not surely {word} than in {many}"


def _gets_worse(facts: StudyFacts, slopes: Mapping[str, Finding], arm: str) -> bool:
    """Whether the mean over an arm's lineages gets worse, however sure that is."""
    return (slopes[arm].numbers["mean"] or 0) * (1 if _verb(facts) == "rise" else -1) > 0


def _best_first(
    facts: StudyFacts, found: Mapping[str, Sequence[Finding]], slopes: Mapping[str, Finding], ranked: Sequence[str]
) -> str:
    """In which arm least happens, as a clause that begins with the metric."""
    if facts.direction(facts.primary.metric) is None:
        return f"{_plain(facts)} changes least in {ranked[0]}{_hedge(found, ranked, 'less')}"
    if _gets_worse(facts, slopes, ranked[0]):
        return f"{_plain(facts)} {_verb(facts)}s least in {ranked[0]}{_hedge(found, ranked, 'less')}"
    return f"{_plain(facts)} is kept best in {ranked[0]}{_hedge(found, ranked, 'better')}"


def _best_last(
    facts: StudyFacts, found: Mapping[str, Sequence[Finding]], slopes: Mapping[str, Finding], ranked: Sequence[str]
) -> str:
    """The same, after what happens was said: by what the arm does to its training sets, where that is known."""
    best, words = ranked[0], facts.remedies.get(ranked[0], "")
    unlike = words and all(facts.remedies.get(arm) != words for arm in ranked[1:])
    if unlike and facts.direction(facts.primary.metric) and not _hedge(found, ranked, ""):
        return f"{words} ({best}) {'slows it most' if _gets_worse(facts, slopes, best) else 'keeps it best'}"
    return _best_first(facts, found, slopes, ranked)


def _ranked(facts: StudyFacts, records: Sequence[Record]) -> str:
    """The sentence of a study without generations: which arm has the best number, and which the worst."""
    found = {arm: cell for arm in facts.arms if (cell := final(facts, records, arm, facts.primary))}
    direction = facts.direction(facts.primary.metric)
    order = sorted(found, key=lambda arm: found[arm]["mean"] * (1 if direction == "lower" else -1))
    largest = max(abs(cell["mean"]) for cell in found.values())
    first, last = (f"{arm} ({spell(found[arm]['mean'], largest)})" for arm in (order[0], order[-1]))
    near = [arm for arm in order[1:] if _overlap(found[arm], found[order[0]])]
    words = {"higher": ("best", "worst"), "lower": ("best", "worst"), None: ("highest", "lowest")}[direction]
    said = f"{_capital(_plain(facts))} is {words[0]} in {first}"
    said += f", though its seeds overlap with those of {_listed(near)}" if near else ""
    said += f", and {words[1]} in {last}" if len(order) > 1 else ""
    return f"{said}."


def _overlap(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one["low"] <= other["high"] and other["low"] <= one["high"]


# -- what stands beneath it --------------------------------------------------------------------------------------------


def _controls(facts: StudyFacts, slopes: Mapping[str, Finding]) -> list[str]:
    """What every control does by itself."""
    verb, said = _verb(facts), []
    for arm in [arm for arm in facts.arms if facts.is_control(arm)][:NAMED]:
        name, metric = "the control" if arm == "control" else f"the control {arm}", _plain(facts)
        one = slopes[arm]
        bound = _ruled_out(facts, one, one)
        if one.status == f"{verb}s":
            said.append(f"In {name} {metric} {verb}s, too, by {spell(abs(one.numbers['mean'] or 0))} a generation.")
        elif one.status == f"no {verb} seen":
            said.append(f"In {name} {metric} does not {verb}.")
        elif bound is not None:
            said.append(f"In {name} {metric} does not {verb} by more than {spell(bound)} a generation.")
        else:
            said.append(f"Whether {metric} {verb}s in {name} cannot be told.")
    return said


def _laws(facts: StudyFacts, found: Mapping[str, Sequence[Finding]]) -> str:
    """Whether the primary endpoint follows its law, in the arms that have one; empty where none has."""
    question = f"theory.{facts.primary.metric}.{facts.primary.extractor}"
    statuses: dict[str, set[str]] = {}
    for one in found["theory"]:
        if one.question == question:
            statuses.setdefault(one.arm, set()).add(one.status)
    if not statuses:
        return ""
    leave = [arm for arm in facts.arms if "departs" in statuses.get(arm, ())]
    follow = [arm for arm in facts.arms if statuses.get(arm) == {"follows"}]
    metric, asked = _plain(facts), kind_of(facts.question) == "laws"
    if leave:
        said = f"{metric} leaves its law in {_of_all(leave, list(statuses))}"
        return f"No: {said}." if asked else f"{_capital(said)}."
    if len(follow) == len(statuses):
        said = f"{metric} follows its law in {_of_all(follow, follow)}{' that have one' if len(follow) > 1 else ''}"
        return f"Yes: {said}." if asked else f"{_capital(said)}."
    rest = [arm for arm in statuses if arm not in follow]
    said = f"in {_listed(rest)} it cannot be told whether {metric} follows its law"
    return f"It cannot be told: {said}." if asked else f"{_capital(said)}."


def _ended(facts: StudyFacts, records: Sequence[Record]) -> str:
    """In which arms trainings diverged."""
    gone = {arm: len(diverged(records, arm)) for arm in facts.arms}
    said = [f"{count} of {facts.seeds} lineages of {arm}" for arm, count in gone.items() if count]
    return f"Training diverged in {_joined(said)}." if said else ""


# -- words -------------------------------------------------------------------------------------------------------------


def _ruled_out(facts: StudyFacts, finding: Finding, own: Finding) -> float | None:
    """By how much a generation the primary endpoint surely does not get worse, where a test is inconclusive.

    None where the interval has no 0 in it, or no end, and where so large a fall would leave nothing of the first value:
    that rules out nothing. own: the arm's own slope, which knows the first value.
    """
    low, high = (finding.numbers.get(name) for name in ("low", "high"))
    if finding.status != "inconclusive" or low is None or high is None or not low < 0 < high:
        return None
    bound, first = high if _verb(facts) == "rise" else -low, own.numbers.get("first")
    return None if first is None or bound * facts.generations >= abs(first) else float(bound)


def _possible(facts: StudyFacts) -> float | None:
    return facts.reference.get(facts.primary.extractor, {}).get(facts.primary.metric)


def _verb(facts: StudyFacts) -> str:
    return "rise" if facts.direction(facts.primary.metric) == "lower" else "fall"


def _plain(facts: StudyFacts) -> str:
    """The primary metric's name as it stands within a sentence."""
    words = facts.label(facts.primary.metric)
    return words if words[1:2].isupper() or words.startswith("Fréchet") else words[:1].lower() + words[1:]


def _by_arm(found: Sequence[Finding]) -> dict[str, Finding]:
    return {one.arm: one for one in found}


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]


def _count(number: int) -> str:
    return COUNTS[number] if number < len(COUNTS) else str(number)


def _of_all(some: Sequence[str], every: Sequence[str]) -> str:
    if len(some) < len(every):
        return f"{_count(len(some))} of {_count(len(every))} arms ({_listed(some)})"
    return some[0] if len(some) == 1 else "both arms" if len(some) == 2 else f"all {_count(len(some))} arms"


def _listed(arms: Sequence[str]) -> str:
    more = [f"{len(arms) - NAMED} more"] if len(arms) > NAMED else []
    return _joined([*arms[:NAMED], *more])


def _joined(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
