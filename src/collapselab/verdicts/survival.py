"""How many lineages go on: the share of an arm's that is not stopped yet, where the study's end cuts others short.

A lineage that was stopped has an event at the generation after which it was; one that was not is censored at the last
generation that it was measured at, be it the study's last, or that before its training diverged, or that with which it
ended since another arm's did. So nothing is taken for a lineage that went on which was only not watched any longer.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .facts import StudyFacts
from .findings import Column, Finding, Table
from .records import Record, indexed
from .words import spell

Z = 1.959963984540054  # of a standard normal, of which 95 % lie within


class Step(NamedTuple):
    """A generation: the lineages that are watched up to it, those stopped after it, and the share that goes on."""

    generation: int
    at_risk: int
    stopped: int
    share: float
    low: float
    high: float


def kaplan_meier(times: Sequence[int], stopped: Sequence[bool]) -> list[Step]:
    """The share of lineages that go on beyond each generation, with its 95 % interval.

    S(t) = prod over i <= t of (1 - d_i / n_i), of n_i lineages watched at generation i and d_i stopped after it (Kaplan
    and Meier 1958, J. Am. Stat. Assoc. 53, 457, eq. 2b). The interval is that of log(-log S) with Greenwood's variance
    sum d_i / (n_i (n_i - d_i)), which keeps within 0 and 1 (Kalbfleisch and Prentice 1980, section 1.4); 0 to 1 where
    it is not determined, which is where none was stopped yet and where none is left.

    times: of each lineage the last generation at which it was measured. stopped: whether it was stopped after it.
    """
    steps, share, variance = [], 1.0, 0.0
    for generation in range(max(times, default=-1) + 1):
        at_risk = sum(time >= generation for time in times)
        gone = sum(time == generation and event for time, event in zip(times, stopped, strict=True))
        share *= 1 - gone / at_risk
        variance += gone / (at_risk * (at_risk - gone)) if at_risk > gone else 0.0
        steps.append(Step(generation, at_risk, gone, share, *_interval(share, variance)))
    return steps


def _interval(share: float, variance: float) -> tuple[float, float]:
    if not 0 < share < 1:
        return 0.0, 1.0
    half = Z * math.sqrt(variance) / abs(math.log(share))
    return share ** math.exp(half), share ** math.exp(-half)


def of_arm(facts: StudyFacts, records: Iterable[Record], arm: str) -> list[Step]:
    """The steps of an arm whose study stops lineages; none of a study that stops none."""
    if not facts.stops:
        return []
    last: dict[int, int] = {}
    for record in indexed(records):
        if record["arm"] == arm and record["status"] == "ok":
            last[record["seed"]] = max(record["generation"], last.get(record["seed"], 0))
    gone: Any = _by_own_rule(facts, arm)
    times = {seed: gone[seed]["generation"] if seed in gone else time for seed, time in last.items()}
    return kaplan_meier(list(times.values()), [seed in gone for seed in times])


def stopping(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Of each arm that may be stopped how many lineages were, and which share goes on beyond the last generation."""
    findings = []
    for arm in facts.arms:
        steps = of_arm(facts, records, arm)
        if not steps or facts.is_control(arm) or facts.is_chance(arm):
            continue
        gone, end = _by_own_rule(facts, arm), steps[-1]
        share = f"{spell(end.share)} of its lineages go on beyond generation {end.generation}"
        interval = f" (95 % interval {spell(end.low)} to {spell(end.high)})" if 0 < end.share < 1 else ""
        whens: dict[str, int] = {}
        for one in gone.values():
            whens[one["when"]] = whens.get(one["when"], 0) + 1
        of = ", ".join(f"{count} {when}" for when, count in whens.items()) or "none"
        at_risk = ", ".join(str(step.at_risk) for step in steps)
        numbers = {"stopped": len(gone), "lineages": steps[0].at_risk, "share": end.share}
        numbers |= {"low": end.low, "high": end.high, "last": end.generation}
        status = "stopped" if len(gone) == steps[0].at_risk else "in part stopped"
        if not gone:
            status = "ended with others" if facts.stopped.get(arm) else "goes on"
        sentence = f"{len(gone)} of {steps[0].at_risk} were stopped ({of}); {share}{interval}."
        sentence += _with_others(facts, arm)
        findings.append(Finding("stopping", arm, status, sentence, numbers, {"at_risk": at_risk}))
    return findings


def _by_own_rule(facts: StudyFacts, arm: str) -> dict[int, Mapping[str, Any]]:
    """The lineages that a rule stopped. One that ended with another arm's was watched as long as it lasted, no more."""
    return {seed: one for seed, one in facts.stopped.get(arm, {}).items() if not one.get("with")}


def _with_others(facts: StudyFacts, arm: str) -> str:
    found = [f"{one['with']}, which {one['which']}" for one in facts.stopped.get(arm, {}).values() if one.get("with")]
    return "".join(f" {found.count(other)} ended with {other}." for other in dict.fromkeys(found))


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "A lineage is stopped after the first generation at which a rule of the study holds, and trained no further; "
        f"the controls go on. The rules: {'; '.join(facts.stops)}. The share that goes on is by Kaplan and Meier "
        "(1958): a lineage that diverged, or that the study's end cuts short, counts as long as it was watched. The "
        "slopes of an arm are over the generations that all of its lineages, and all of its control's, have."
    )


TABLE = Table(
    "stopping",
    "Stopped lineages",
    "Lineages",
    _about,
    after=(Column("At risk, by generation", "at_risk", "soft"),),
    over_seeds=False,
)
