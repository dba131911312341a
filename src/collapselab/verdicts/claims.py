"""Is what a paper claims found here? Each of a study's claims, held against its records by one rule.

A claim is about one number of each lineage: the endpoint at a generation, or that number less, or over, what the same
lineage had at an earlier generation, or what another arm has with the same seed. It *agrees* where the 95 % interval of
the mean lies wholly in what the claim allows. It *does not agree* where the interval lies wholly outside, and still
does after Holm's correction over all claims of the study (1979), since one of many misses by chance. Anything else
*cannot tell*.

All of a paper's claims have to agree for the paper to; one that does not agree is enough against it. To ask for all of
them needs no correction: they are found together by chance less often than any one of them (Berger 1982,
https://doi.org/10.1080/00401706.1982.10487790).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..core.significance import holm
from .facts import Claim, StudyFacts
from .findings import Column, Finding, Table
from .records import Record, lineages
from .statistics import CONFIDENCE, FEWEST, is_constant, ratio_interval, t_interval
from .words import ROUNDING, span, spell

AGREES, DISAGREES, UNTOLD = "agrees", "does not agree", "cannot tell"
WITHIN = ("near", "stays")  # claims of a number with a tolerance; the others are claims of a side


class Pairs(NamedTuple):
    """What the lineages of a claim give: the value, and what it is compared with; 0 or 1 where that is nothing."""

    seeds: list[int]
    values: np.ndarray
    beside: np.ndarray


class Held(NamedTuple):
    """A claim held against records.

    status: agrees, does not agree, or cannot tell. mean, low, high: what was found, with its 95 % interval. p:
    two-sided, of the mean against the nearest bound of what is claimed, after Holm's correction. why: of one that
    cannot tell.
    """

    claim: Claim
    status: str
    pairs: Pairs
    mean: float
    low: float
    high: float
    p: float
    why: str = ""


def pairs(claim: Claim, last: int, records: Sequence[Record]) -> Pairs:
    """The numbers of each lineage that has all of them. last: the study's last generation, if the claim says none."""
    generation = last if claim.at is None else claim.at
    own = lineages(records, claim.arm, claim.endpoint)
    other = lineages(records, claim.than, claim.endpoint) if claim.than else own
    then = generation if claim.than else claim.earlier
    nothing = 1.0 if claim.by == "ratio" else 0.0
    found = {}
    for seed, lineage in own.items():
        value, beside = lineage.get(generation), other.get(seed, {}).get(then, np.nan) if claim.compares else nothing
        if value is not None and np.isfinite(beside):
            found[seed] = value, beside
    values, beside = np.array(list(found.values()), np.float64).reshape(-1, 2).T
    return Pairs(list(found), values, beside)


def weigh(claims: Sequence[tuple[Claim, Pairs]]) -> list[Held]:
    """The claims of a study, each with what its lineages say of it: the rule, which needs nothing but these numbers."""
    first = [_weighed(claim, found) for claim, found in claims]
    adjusted = holm({index: one.p for index, one in enumerate(first) if one.status == DISAGREES})
    sure = {index: one._replace(p=adjusted.get(index, one.p)) for index, one in enumerate(first)}
    # One that is corrected to more than chance allows has been found by chance alone.
    return [
        one._replace(status=UNTOLD, why="after Holm's correction chance explains it")
        if one.status == DISAGREES and one.p > 1 - CONFIDENCE
        else one
        for one in sure.values()
    ]


def concluded(statuses: Iterable[str]) -> str:
    """What all claims of a paper come to: one that does not agree is enough, and all have to agree."""
    found = list(statuses)
    if DISAGREES in found:
        return DISAGREES
    return AGREES if found and set(found) == {AGREES} else UNTOLD


def _weighed(claim: Claim, found: Pairs) -> Held:
    """A claim, before any correction."""
    if len(found.seeds) < FEWEST:
        why = f"an interval needs at least {FEWEST} lineages and there are {len(found.seeds)}"
        return Held(claim, UNTOLD, found, _mean(claim, found), -np.inf, np.inf, 1.0, why)
    mean, low, high = _interval(claim, found)
    whole = Held(claim, UNTOLD, found, mean, low, high, 1.0)
    if claim.by == "ratio" and not _surely_positive(found.beside):
        return whole._replace(why="what it is compared with is not surely above 0")
    apart = _apart(claim, found, claim.goal)
    if is_constant(apart):
        if abs(float(apart.mean())) > ROUNDING * max(np.abs(found.values).max(), abs(claim.goal)):
            return whole._replace(why=f"all {len(apart)} lineages are equal, which leaves no spread to judge by")
        return whole._replace(status=AGREES if claim.is_ in WITHIN else DISAGREES, p=0.0)  # all lie on the goal itself
    wanted = [1, -1] if claim.is_ in WITHIN else [1] if claim.is_ in ("rises", "above") else [-1]
    sides = [_side(_apart(claim, found, bound)) for bound in _bounds(claim)]
    if all(side == want for (side, _), want in zip(sides, wanted, strict=True)):
        return whole._replace(status=AGREES, p=max(p for _, p in sides))
    missed = [p for (side, p), want in zip(sides, wanted, strict=True) if side == -want]
    return whole._replace(status=DISAGREES if missed else UNTOLD, p=min(missed or [p for _, p in sides]))


def _bounds(claim: Claim) -> list[float]:
    """The lower and the upper bound of a number with a tolerance, or the one that is to be on a side of."""
    return [claim.goal - claim.within, claim.goal + claim.within] if claim.is_ in WITHIN else [claim.goal]


def _apart(claim: Claim, found: Pairs, bound: float) -> np.ndarray:
    """How far each lineage lies above a bound. A ratio of means lies above r where value - r * beside does above 0."""
    return found.values - bound * found.beside if claim.by == "ratio" else found.values - found.beside - bound


def _side(apart: np.ndarray) -> tuple[int, float]:
    """On which side of 0 a mean surely lies, 0 where it may lie on either, and the p-value of that."""
    low, high, p = t_interval(apart)
    return (1 if low > 0 else -1 if high < 0 else 0), p


def _surely_positive(numbers: np.ndarray) -> bool:
    return bool(numbers[0] > 0 if is_constant(numbers) else t_interval(numbers)[0] > 0)


def _mean(claim: Claim, found: Pairs) -> float:
    """The mean difference, or the ratio of the means; NaN without lineages."""
    if not found.seeds:
        return np.nan
    if claim.by == "ratio":
        return float(found.values.mean() / found.beside.mean()) if found.beside.mean() else np.nan
    return float((found.values - found.beside).mean())


def _interval(claim: Claim, found: Pairs) -> tuple[float, float, float]:
    """The mean and its 95 % interval; of a ratio that of the means, by Fieller (1954)."""
    mean = _mean(claim, found)
    if claim.by == "ratio":
        return mean, *ratio_interval(found.values, found.beside)
    return mean, *t_interval(found.values - found.beside)[:2]


# -- in words ----------------------------------------------------------------------------------------------------------


def said(claim: Claim, last: int, label: str) -> str:
    """What is claimed, in a sentence without its end. last: the study's last generation. label: the endpoint's name."""
    end = last if claim.at is None else claim.at
    own = claim.is_ in ("rises", "falls", "stays")
    when = f"from generation {claim.earlier} to {end}" if own else f"at generation {end}"
    return f"{label} of `{claim.arm}` {_relation(claim)} {when}"


def _relation(claim: Claim) -> str:
    size, tolerance = spell(abs(claim.goal) if claim.is_ == "falls" else claim.goal), f" within {spell(claim.within)}"
    of = f"that of `{claim.than}`" if claim.than else f"what it was at generation {claim.earlier},"
    if claim.is_ in ("rises", "falls"):
        if claim.value is None:
            return claim.is_
        if claim.by == "ratio":
            return f"{claim.is_} to {size} times or {'more' if claim.is_ == 'rises' else 'less'}"
        return f"{claim.is_} by {size} or more"
    if claim.is_ == "stays":
        return f"stays at {size} times{tolerance}" if claim.by == "ratio" else f"stays{tolerance}"
    if not claim.compares:
        return f"is near {size}{tolerance}" if claim.is_ == "near" else f"is {claim.is_} {size}"
    if claim.by == "ratio":
        side = {"above": "more than ", "below": "less than ", "near": ""}[claim.is_]
        return f"is {side}{size} times {of}{tolerance if claim.is_ == 'near' else ''}"
    if claim.is_ == "near":
        return f"is {of} plus {size}{tolerance}"
    return f"is {claim.is_} {of}" + (f" plus {size}" if claim.goal else "")


def found_words(one: Held) -> str:
    """``0.31, 95 % interval 0.25 to 0.37, 3 lineages``, or why there is none."""
    count = len(one.pairs.seeds)
    lineages_said = f"{count} lineage{'s' * (count != 1)}"
    if not np.isfinite(one.mean):
        return f"not measured, {lineages_said}"
    if not (np.isfinite(one.low) and np.isfinite(one.high)):
        return f"{spell(one.mean)}, {lineages_said}"
    return f"{spell(one.mean)}, 95 % interval {span(one.low, one.high)}, {lineages_said}"


def held(facts: StudyFacts, records: Sequence[Record]) -> list[Held]:
    """Every claim of a study, held against its records."""
    return weigh([(claim, pairs(claim, facts.generations, records)) for claim in facts.claims])


def claims(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Whether each claim of the paper that a study is made after is found; none for a study after no paper.

    status: agrees, does not agree, or cannot tell.
    """
    findings = []
    for number, one in enumerate(held(facts, records)):
        named = {"mean": one.mean, "low": one.low, "high": one.high, "p_holm": one.p}
        numbers = {key: float(value) for key, value in named.items() if np.isfinite(value)}
        numbers |= {"lineages": len(one.pairs.seeds), "claimed": one.claim.goal, "within": one.claim.within}
        label = f"{facts.label(one.claim.endpoint.metric)} ({one.claim.endpoint.extractor})"
        claimed = said(one.claim, facts.generations, label)
        sentence = f"Claimed: {claimed}. Found: {found_words(one)}{f'; {one.why}' if one.why else ''}."
        findings.append(Finding(f"claim.{number}", one.claim.arm, one.status, sentence, numbers))
    return findings


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "What the paper claims that this study is made after, as the study's file says it, held against the records. A "
        "claim agrees where the 95 % interval lies wholly in what is claimed, and does not where it lies wholly "
        f"outside (Holm's correction over {len(found)} claims). A small study may not tell what a large one would."
    )


TABLE = Table("claims", "What the paper claims", "Verdict", _about, after=(Column("Claimed", "claimed", "number"),))
