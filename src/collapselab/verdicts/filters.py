"""What does it do that somebody selects? An arm beside the one in which chance keeps as many, and what that is worth.

The two differ in who selects alone: model, regime, budgets and random numbers are the same, and as many are kept of
each class. Generation 0 is the same model in both; what selecting has done is what the models of the last generation
differ by, in pairs of one seed.
"""

import math
from collections.abc import Sequence

import numpy as np

from ..measure.roles import roles_of
from .effective import worth
from .effects import POWER, smallest_effect, standardised
from .facts import Endpoint, StudyFacts
from .findings import Column, Finding, Table
from .records import Record, indexed, lineages
from .statistics import FEWEST, Estimate, contrast, estimate
from .words import spell

WAYS = {1: "higher", -1: "lower"}
WHOLE = ("", "mean")  # of a metric that gives named numbers only their mean is told


def filtering(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """What selecting does to each metric by which a filter is judged: arm by arm, corrected over all of them (Holm).

    The differences of the last generation that the two arms of a seed share, of all samples of their models. status:
    better or worse where the metric has a better side, else higher or lower; inconclusive. numbers: the mean difference
    with its interval, g (Hedges 1981), and ``smallest_effect``, the difference that a study of so many seeds finds in
    80 of 100 cases.
    """
    records = indexed(records)
    found: dict[tuple[str, Endpoint], tuple[int, np.ndarray]] = {}
    for arm, one in facts.selected.items():
        for metric, extractor, of in records.measured:
            endpoint = Endpoint(metric, extractor, of)
            if of == "sampled" and roles_of(metric).filtered and metric.partition(".")[2] in WHOLE:
                found[arm, endpoint] = _differences(records, arm, one.chance, endpoint)
    told = estimate({key: differences for key, (_, differences) in found.items() if len(differences)})
    return [_finding(facts, *key, found[key][0], one) for key, one in told.items()]


def _differences(records: Sequence[Record], arm: str, chance: str, endpoint: Endpoint) -> tuple[int, np.ndarray]:
    """The last generation that every pair shares, and what pairs differ by there: (generation, (pairs,))."""
    ours, theirs = (lineages(records, one, endpoint) for one in (arm, chance))
    shared = {seed: set(ours[seed]) & set(theirs.get(seed, {})) for seed in ours}
    common = set.intersection(*(one for one in shared.values() if one)) if any(shared.values()) else set()
    last = max(common, default=0)
    if not last:  # generation 0 is one model
        return 0, np.empty(0)
    seeds = [seed for seed, there in shared.items() if last in there]
    pairs = [np.array([ours[seed][last], theirs[seed][last]]) for seed in seeds]
    return last, np.array([contrast(pair, np.array([1.0, -1.0])) for pair in pairs])


def _finding(facts: StudyFacts, arm: str, endpoint: Endpoint, generation: int, found: Estimate) -> Finding:
    metric, better = facts.label(endpoint.metric), facts.direction(endpoint.metric)
    status = "inconclusive"
    if found.side:
        status = WAYS[found.side]
        if better:
            status = "better" if status == better else "worse"
    judges = facts.selected[arm].judges
    numbers = (
        found.numbers() | ({"judges": judges} if judges else {}) | {"g": standardised(found), "generation": generation}
    )
    sentence = f"{metric} at generation {generation}"
    if found.unchanged:
        sentence += " is the same in both."
    else:
        sentence += f" is {'higher' if found.mean > 0 else 'lower'} by {spell(abs(found.mean))}"
        if found.lineages >= FEWEST and not found.alike:
            sentence += f" ({found.interval(float if found.mean > 0 else lambda end: -end, noun='pairs')})"
        sentence += "." if found.side else f": {found.conclusion('', '', noun='pairs')}."
    if found.lineages >= FEWEST and found.sd > 0:
        least = smallest_effect(found.sd, found.lineages)
        numbers["smallest_effect"] = least
        sentence += f" So many pairs find a difference of {spell(least)} in {POWER * 100:.0f} of 100 studies."
    if endpoint.extractor in facts.selected[arm].reads:
        sentence += " These are the features that it selects by: who selects is not who measures."
    words = {"features": endpoint.extractor, "metric": metric}
    return Finding(f"filter.{endpoint.metric}", arm, status, sentence, numbers, words)


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "Each arm in which somebody selects, beside the one in which chance keeps as many of each class: model, "
        "regime, budgets and random numbers are the same. Differences of the models' samples at the last generation, "
        "in pairs of one seed, corrected over all rows (Holm 1979)."
    )


def _beneath(found: Sequence[Finding]) -> list[str]:
    """Whether the study was large enough to see what it did not find."""
    open_ones = [one for one in found if one.status == "inconclusive"]
    if not open_ones:
        return []
    pairs = min(int(one.numbers["lineages"]) for one in open_ones)
    judges = min((int(one.numbers["judges"]) for one in open_ones if "judges" in one.numbers), default=0)
    who = f"{judges} judges and " if judges else ""
    blind = [one for one in open_ones if "smallest_effect" not in one.numbers]
    known = len(open_ones) - len(blind)
    said = [
        f"{len(open_ones)} of {len(found)} comparisons are inconclusive: "
        f"{who}{pairs} seed{'s' * (pairs != 1)} may not suffice."
    ]
    if known:
        said.append("A smaller difference than each row's own may be there, and was not seen.")
    if blind:
        said.append(
            f"An interval, and with it the smallest difference that is seen, needs at least {FEWEST} pairs that differ."
        )
    return [" ".join(said)]


FILTER = Table(
    "filters",
    "What selecting does",
    "Against chance",
    _about,
    before=(Column("Features", "features", "soft"),),
    beneath=_beneath,
)


# -- what it is worth --------------------------------------------------------------------------------------------------


def price(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """What selecting is worth in fresh real rows, and what it has cost in those that it has seen.

    Its worth is the effective size of the arm (:func:`~.effective.worth`) less that of the arm in which chance selects;
    ``seen`` are the real rows by which samples were scored. status: pays where the gain is surely larger than what was
    seen, by the far ends of both intervals, which is cautious; does not pay where it is surely smaller; else cannot
    tell. Empty where nothing is calibrated.
    """
    sizes = {one.arm: one.numbers for one in worth(facts, records)}
    findings = []
    for arm, who in facts.selected.items():
        if arm not in sizes or who.chance not in sizes:
            continue
        ours, theirs, seen = sizes[arm], sizes[who.chance], who.seen
        gain, low, high = (
            ours[one] - theirs[other] for one, other in (("size", "size"), ("low", "high"), ("high", "low"))
        )
        status = "pays" if low > seen else "does not pay" if high < seen else "cannot tell"
        findings.append(
            Finding("filter_price", arm, status, _price(gain, low, high, seen), _finite(gain, low, high, seen))
        )
    return findings


def _finite(gain: float, low: float, high: float, seen: int) -> dict[str, float | int | None]:
    named = {"gain": gain, "low": low, "high": high}
    return {name: number for name, number in named.items() if math.isfinite(number)} | {"seen": seen}


def _price(gain: float, low: float, high: float, seen: int) -> str:
    words = "Its worth lies outside what was calibrated"
    if math.isfinite(gain):
        words = f"Selecting is worth {abs(gain):.0f} real rows {'more' if gain >= 0 else 'less'} than chance"
        words += f" (surely {low:.0f} to {high:.0f})" if math.isfinite(low) and math.isfinite(high) else ""
    if not seen:
        return f"{words}; the study showed whoever scored no real rows."
    net = f", which leaves {gain - seen:.0f}" if math.isfinite(gain) else ""
    return f"{words}, and the {seen} real rows by which samples were scored cost as many{net}."


def _about_price(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        "From how many more real rows alone a model would get as close to the truth as selecting gets it, beside the "
        "real rows that the scorer has seen, which could have been trained on instead. People have seen what they have "
        "seen before: that is not counted."
    )


PRICE = Table(
    "price",
    "Price of a filter",
    "Verdict",
    _about_price,
    before=(Column("Real rows seen", "seen", "number"),),
)
