"""What is computed of a study's records: its endpoints, their means over lineages, and the rows that charts draw."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..core.spent import Spent
from ..measure.roles import roles_of, truths
from ..theory.setting import Prediction
from ..verdicts import (
    GOALS,
    NOT_BEATEN,
    Endpoint,
    Record,
    StudyFacts,
    at_risk,
    diverged,
    indexed,
    lineages,
    natural,
    of_arm,
    standings,
    t_interval,
)

DRAWN = 12  # lineages of an arm that are drawn one by one where there are many
BAND_FROM = 8  # lineages: below, a band would feign a precision that so few do not have
SETS = {"raw": "the model itself", "sampled": "as sampled", "released": "as released", "kept": "as kept"}
KNOWING = "truth"  # the feature space in which the truth is known
KINDS = ("real, fixed", "real, fresh", "real, redrawn", "own samples", "another arm's samples")  # of training images

Row = dict[str, Any]
"""One row of the data of a chart."""


# -- endpoints ---------------------------------------------------------------------------------------------------------


def endpoints(facts: StudyFacts, records: Sequence[Record]) -> list[Endpoint]:
    """The measured scalars, shares of a whole left out: the primary, the rest of its feature space, the others.

    Metrics stand in the order of the labels, and so do the feature spaces by the first metric that they have.
    """
    found = dict.fromkeys(
        (extractor, metric)
        for (metric, extractor, _), arms in indexed(records).determined.items()
        if not facts.is_share(metric) and not arms.isdisjoint(facts.arms)
    )
    place = {name: index for index, name in enumerate(facts.labels)}
    rank = {key: place.get(key[1].partition(".")[0], len(place)) for key in found}
    space = {extractor: min(rank[key] for key in found if key[0] == extractor) for extractor, _ in found}
    primary = (facts.primary.extractor, facts.primary.metric)
    order = sorted(
        found, key=lambda key: (key != primary, key[0] != facts.primary.extractor, space[key[0]], key[0], rank[key])
    )
    return [Endpoint(metric, extractor, facts.primary.set) for extractor, metric in order]


def name_of(endpoint: Endpoint) -> str:
    """The name of the endpoint's chart, file and column, without dots, which Vega reads as paths."""
    return f"{endpoint.metric}_{endpoint.extractor}".replace(".", "_")


def sets_of(records: Sequence[Record], metric: str, extractor: str) -> list[str]:
    """The sets of samples in which a metric was measured, in the order of ``SETS``."""
    measured = indexed(records).measured
    return [name for name in SETS if (metric, extractor, name) in measured]


def charts_of(facts: StudyFacts, records: Sequence[Record], endpoint: Endpoint) -> dict[str, str]:
    """A metric's charts: name -> of which set of samples; the primary endpoint's set first, under the bare name.

    Other sets are drawn where they have other values, and in the primary endpoint's feature space alone: elsewhere they
    stand among the numbers.
    """
    sets = sorted(sets_of(records, endpoint.metric, endpoint.extractor), key=lambda name: name != facts.primary.set)

    def repeats(which: str) -> bool:
        own, first = replace(endpoint, set=which), replace(endpoint, set=sets[0])
        return all(
            indexed(records).numbers(arm, own) == indexed(records).numbers(arm, first)
            for arm in arms_with(facts, records, own)
        )

    beside = sets[1:] if endpoint.extractor == facts.primary.extractor else []
    sets = sets[:1] + [which for which in beside if not repeats(which)]
    return {name_of(endpoint) + (f"_{which}" if index else ""): which for index, which in enumerate(sets)}


def arms_with(facts: StudyFacts, records: Sequence[Record], endpoint: Endpoint) -> list[str]:
    """The arms whose samples of this set were measured apart; elsewhere all sets are one, and drawn once.

    The primary endpoint's own set is every arm's.
    """
    if endpoint.set == facts.primary.set:
        return list(facts.arms)
    records = indexed(records)
    return [arm for arm in facts.arms if records.has(arm, endpoint)]


def final(facts: StudyFacts, records: Sequence[Record], arm: str, endpoint: Endpoint) -> dict[str, Any] | None:
    """Mean, standard deviation and range over the lineages that reach the arm's last generation; None without any."""
    found = lineages(records, arm, endpoint)
    last = max((generation for lineage in found.values() for generation in lineage), default=None)
    if last is None:
        return None
    numbers = [lineage[last] for lineage in found.values() if last in lineage]
    return {
        "generation": last,
        "mean": float(np.mean(numbers)),
        "sd": sd_of(numbers),
        "low": min(numbers),
        "high": max(numbers),
        "lineages": len(numbers),
    }


def sd_of(numbers: Sequence[float]) -> float | None:
    """The n - 1 standard deviation; None of a single number."""
    return float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None


def by_generation(records: Sequence[Record], arm: str, endpoint: Endpoint) -> dict[int, list[float]]:
    """The finite values of an arm's lineages: generation -> one each, in ascending order of generations."""
    found: dict[int, list[float]] = {}
    for lineage in lineages(records, arm, endpoint).values():
        for generation, number in lineage.items():
            found.setdefault(generation, []).append(number)
    return dict(sorted(found.items()))


def unchanged(facts: StudyFacts, records: Sequence[Record]) -> dict[Endpoint, float]:
    """The endpoints that have one value in all cells and sets, which a sentence says better than a curve."""
    found = {}
    for endpoint in endpoints(facts, records):
        numbers = (number for *_, number in _cells(facts, records, endpoint))
        first = next(numbers)  # there is one: it is determined somewhere
        # NaN, which is not determined, equals nothing.
        if endpoint != facts.primary and len(records) > 1 and all(number == first for number in numbers):
            found[endpoint] = first
    return found


def twins(facts: StudyFacts, records: Sequence[Record]) -> dict[Endpoint, Endpoint]:
    """Named numbers of a metric that in every cell equal an earlier one of its, as the channels of grey images do."""
    first: dict[tuple[Any, ...], Endpoint] = {}
    found = {}
    for endpoint in endpoints(facts, records):
        name, dot, _ = endpoint.metric.partition(".")
        if dot:
            # A mean of equals is off by rounding.
            cells = ((*cell, f"{number:.12g}") for *cell, number in _cells(facts, records, endpoint))
            other = first.setdefault((name, endpoint.extractor, *cells), endpoint)
            found |= {endpoint: other} if other != endpoint else {}
    return found


def _cells(
    facts: StudyFacts, records: Sequence[Record], endpoint: Endpoint
) -> Iterator[tuple[str, str, int, int, float]]:
    """What was measured of any set: (arm, set, seed, generation, value), NaN where it is not determined."""
    records = indexed(records)
    for arm in facts.arms:
        for which in SETS:
            for seed, lineage in records.numbers(arm, replace(endpoint, set=which)).items():
                for generation, number in lineage.items():
                    yield arm, which, seed, generation, number


def in_order(facts: StudyFacts, records: Sequence[Record]) -> list[Record]:
    """The records in the order of arm, seed and generation."""
    place = {arm: index for index, arm in enumerate(facts.arms)}
    return sorted(records, key=lambda record: (place[record["arm"]], record["seed"], record["generation"]))


def some(seeds: Iterable[int]) -> list[int]:
    """Of many seeds a dozen, evenly spread."""
    seeds = list(seeds)
    chosen = np.unique(np.linspace(0, len(seeds) - 1, min(DRAWN, len(seeds))).round().astype(int))
    return [seeds[index] for index in chosen]


# -- what curves draw --------------------------------------------------------------------------------------------------


def curve_rows(
    facts: StudyFacts, records: Sequence[Record], endpoint: Endpoint, sets: Sequence[str] = tuple(SETS)
) -> list[Row]:
    """What a curve draws, as flat rows: lineages' values, means with ranges, ends of lineages, theory, the reference.

    Of many lineages some are drawn. Arms stand a little beside each other on the axis (``x``), so that their ranges do
    not hide each other. sets: of which samples; a panel each.
    """
    records, rows = indexed(records), []
    primary = (endpoint.metric, endpoint.extractor) == (facts.primary.metric, facts.primary.extractor)
    real = facts.reference.get(endpoint.extractor, {}).get(endpoint.metric)
    panels = sorted(sets_of(records, endpoint.metric, endpoint.extractor), key=lambda name: name != facts.primary.set)
    for panel in (name for name in panels if name in sets):
        there = {"panel": SETS[panel] + (" (primary)" if primary and panel == facts.primary.set else "")}
        of_set = replace(endpoint, set=panel)
        for arm in arms_with(facts, records, of_set):
            found, aside = lineages(records, arm, of_set), _aside(facts, arm)
            own = _lineage_rows(facts, arm, found, aside)
            own += _mean_rows(facts, records, arm, of_set, aside)
            own += _end_rows(facts, records, arm, found, aside)
            if panel == panels[0]:  # the others are drawn with another bias, or chosen
                own += [row | {"x": row["x"] + aside} for row in _theory_rows(facts, arm, found, endpoint)]
            rows += [there | row for row in own]
        if real is not None:
            rows.append(there | {"what": "reference", "value": real, "x": facts.generations, "text": "real data"})
    return rows


def _aside(facts: StudyFacts, arm: str) -> float:
    """By how much of a generation an arm stands beside the tick."""
    count = len(facts.arms)
    return 0 if facts.seeds >= BAND_FROM else (list(facts.arms).index(arm) - (count - 1) / 2) * min(0.07, 0.5 / count)


def _lineage_rows(facts: StudyFacts, arm: str, found: Mapping[int, Mapping[int, float]], aside: float) -> list[Row]:
    """The points of every lineage; of many lineages some as thin lines, a row each."""
    if facts.seeds >= BAND_FROM:
        return [
            {"what": "line", "arm": arm, "seed": seed}
            | {"xs": list(found[seed]), "values": [float(f"{number:.5g}") for number in found[seed].values()]}
            for seed in some(found)
            if found[seed]
        ]
    return [
        {"what": "lineage", "arm": arm, "seed": seed, "generation": generation}
        | {"x": generation + aside, "value": number}
        for seed, lineage in found.items()
        for generation, number in lineage.items()
    ]


def _mean_rows(facts: StudyFacts, records: Sequence[Record], arm: str, endpoint: Endpoint, aside: float) -> list[Row]:
    """The mean over lineages with its range or band, and how many there are where some have just ended."""
    rows, alive = [], at_risk(records, arm)
    for generation, numbers in by_generation(records, arm, endpoint).items():
        low, high = min(numbers), max(numbers)
        if facts.seeds >= BAND_FROM and len(numbers) >= 2:
            low, high, _ = t_interval(np.array(numbers))
        point = {"what": "mean", "arm": arm, "generation": generation, "x": generation + aside}
        point |= {"value": float(np.mean(numbers)), "low": low, "high": high}
        rows.append(point | {"lineages": f"{len(numbers)} of {facts.seeds}"})
        if alive[generation] < min(facts.seeds, alive.get(generation - 1, facts.seeds)):
            rows.append(point | {"what": "few", "text": f"n = {len(numbers)}"})
    return rows


def _end_rows(
    facts: StudyFacts, records: Sequence[Record], arm: str, found: Mapping[int, Mapping[int, float]], aside: float
) -> list[Row]:
    """Where lineages diverged or were stopped, at their last value."""
    stopped = {seed: one["generation"] for seed, one in facts.stopped.get(arm, {}).items()}
    rows = []
    for what, gone in (("diverged", diverged(records, arm)), ("stopped", stopped)):
        for seed in some(gone):
            generation, before = gone[seed], found.get(seed, {})
            if before:
                last = max(before)
                point = {"what": what, "arm": arm, "seed": seed, "generation": generation}
                rows.append(point | {"x": last + aside, "value": before[last]})
    return rows


def _of_endpoint(facts: StudyFacts, arm: str, endpoint: Endpoint) -> list[Prediction]:
    where = endpoint.metric, endpoint.extractor
    return [one for one in facts.predictions.get(arm, ()) if (one.metric, one.extractor) == where]


OF_BOUND = {"equal": "", "upper": " (upper bound)", "large": " (of infinitely many rows)"}


def _theory_rows(
    facts: StudyFacts, arm: str, found: Mapping[int, Mapping[int, float]], endpoint: Endpoint
) -> list[Row]:
    """The predicted curve, and between which bounds the mean of so many replicates lies in 95 of 100 studies."""
    rows = []
    for one in _of_endpoint(facts, arm, endpoint):
        for generation, mean in enumerate(one.mean):
            count = sum(generation in lineage for lineage in found.values())
            point = {"what": "theory", "arm": arm, "generation": generation, "x": generation, "value": float(mean)}
            rows.append(point | {"law": one.note + OF_BOUND[one.bound]})
            if one.sd is not None and count:
                half = 1.96 * float(one.sd[generation]) / np.sqrt(count)
                rows.append(point | {"what": "expected", "low": float(mean) - half, "high": float(mean) + half})
    return rows


def survival_rows(facts: StudyFacts, records: Sequence[Record]) -> list[Row]:
    """The share of each arm's lineages that go on, from the start of generation 0 to the end of the last, as steps.

    Empty for a study that stops none. A lineage that is stopped after generation t has lived up to t + 1/2.
    """
    rows = []
    for arm in facts.arms:
        steps = [] if facts.is_control(arm) else of_arm(facts, records, arm)
        if steps:
            rows.append({"what": "step", "arm": arm, "x": 0.0, "value": 1.0, "at_risk": steps[0].at_risk})
        for one in steps:
            point = {"arm": arm, "x": one.generation + 0.5, "value": one.share, "at_risk": one.at_risk}
            interval = {"low": one.low, "high": one.high} if 0 < one.share < 1 else {}
            rows.append({"what": "step", **point, **interval})
            rows.append({"what": "count", **point, "x": one.generation})
    return rows


# -- what the other charts draw ----------------------------------------------------------------------------------------


class Shares(NamedTuple):
    """The named numbers of a metric that are parts of a whole, arm by arm and generation by generation.

    parts: their names, in the order in which they are drawn. less: what is taken off them. rows: an arm's part at a
    generation each, with its mean over lineages (share), what is taken off (real) and the difference.
    """

    extractor: str
    parts: list[str]
    less: str
    rows: list[Row]


def shares(facts: StudyFacts, records: Sequence[Record], metric: str) -> Shares | None:
    """Shares of a whole less the real ones; None without any.

    Where no real share is known, the arm's own first generation stands for it.
    """
    named = indexed(records).measured
    measured = [(extractor, name) for name, extractor, _ in named if name.startswith(f"{metric}.")]
    if not measured:
        return None
    extractor = min({extractor for extractor, _ in measured}, key=lambda name: (name != facts.primary.extractor, name))
    found = dict.fromkeys(name.split(".", 1)[1] for space, name in measured if space == extractor)
    parts = sorted(found, key=natural) if all(part.isdigit() for part in found) else list(found)
    real = facts.reference.get(extractor, {})
    rows = []
    for arm in facts.arms:
        for part in parts:
            name = f"{metric}.{part}"
            numbers = by_generation(records, arm, Endpoint(name, extractor, facts.primary.set))
            means = {generation: float(np.mean(shares)) for generation, shares in numbers.items()}
            expected = real.get(name, next(iter(means.values()), 0.0))
            for generation, share in means.items():
                row = {"arm": arm, "part": part, "generation": generation, "share": share}
                rows.append(row | {"real": expected, "difference": share - expected})
    there = {row["part"] for row in rows if row["share"] or row["real"]}  # such as no colours in grey images
    rows = [row for row in rows if row["part"] in there] or rows
    drawn = {row["part"] for row in rows}
    less = "real share" if real else "share in generation 0"
    return Shares(extractor, [part for part in parts if part in drawn], less, rows)


def composition_rows(facts: StudyFacts, records: Sequence[Record]) -> list[Row]:
    """What each arm is trained on at each generation, by kind, in its first seed."""
    rows = []
    for arm in facts.arms:
        own = [record for record in records if record["arm"] == arm]
        first = min((record["seed"] for record in own), default=None)
        for record in sorted((r for r in own if r["seed"] == first), key=lambda record: record["generation"]):
            counts: dict[str, int] = {}
            for part in record["composition"]:
                kind = _kind(part["arm"], arm)
                counts[kind] = counts.get(kind, 0) + part["count"]
            cell = {"arm": arm, "generation": record["generation"]}
            rows += [cell | {"kind": kind, "count": n, "order": KINDS.index(kind)} for kind, n in counts.items()]
    return rows


def _kind(source: str, arm: str) -> str:
    if source in ("fixed", "fresh", "redrawn"):
        return f"real, {source}"
    return "own samples" if source == arm else "another arm's samples"


def truth_rows(facts: StudyFacts, records: Sequence[Record]) -> list[Row]:
    """Each estimate beside what it estimates, where the truth is known: of every arm, seed and generation a row.

    panel: metric and feature space of the estimate.
    """
    records, rows = indexed(records), []
    spaces = sorted({(metric, extractor) for metric, extractor, _ in records.determined if extractor != KNOWING})
    known = truths({metric for metric, extractor, _ in records.determined if extractor == KNOWING})
    for metric, knowing in known.items():
        for extractor in (space for name, space in spaces if name == metric):
            panel = {"panel": f"{facts.label(metric)}, {extractor} features"}
            for arm in facts.arms:
                true = _true(facts, records, arm, knowing)
                for seed, lineage in lineages(records, arm, Endpoint(metric, extractor, facts.primary.set)).items():
                    for generation in (t for t in lineage if t in true.get(seed, ())):
                        point = {"arm": arm, "seed": seed, "generation": generation}
                        point |= {"truth": true[seed][generation], "estimate": lineage[generation]}
                        rows.append(panel | point)
    return rows


def _true(
    facts: StudyFacts, records: Sequence[Record], arm: str, metrics: Iterable[str]
) -> dict[int, dict[int, float]]:
    """The truth by the first metric that an arm has: where that knows the rest of it to one, the difference tells."""
    for metric in metrics:
        found = lineages(records, arm, Endpoint(metric, KNOWING, facts.primary.set))
        if any(found.values()):
            if not roles_of(metric).rest:
                return found
            return {seed: {t: 1 - rest for t, rest in lineage.items()} for seed, lineage in found.items()}
    return {}


# -- measures against collapse ----------------------------------------------------------------------------------------


def prevention_rows(facts: StudyFacts, records: Sequence[Record]) -> list[Row]:
    """A row for each arm and goal of a comparison of measures: how much more is kept than without one, in points.

    price: its words; arms of one price stand beside each other. front: whether no other measure beats it. What ended is
    left out, and the arm without a measure is at 0 and has no interval.
    """
    found = standings(facts, records)
    if not found:
        return []
    against, rows = facts.prevention.against, []
    prices = sorted({one.spent.price for one in found.values()})
    for one in (one for one in found.values() if one.gain or one.arm == against):
        group = [other.arm for other in found.values() if other.spent.price == one.spent.price]
        aside = (group.index(one.arm) - (len(group) - 1) / 2) * PRICED / max(len(found), 1)
        row = {"arm": one.arm, "price": price_words(one.spent, found[against].spent)}
        row |= {"group": prices.index(one.spent.price), "x": prices.index(one.spent.price) + aside}
        row |= {"status": "yardstick" if one.arm == facts.prevention.yardstick else one.status}
        row |= {"front": row["status"] == NOT_BEATEN}
        for goal in GOALS:
            by = one.gain.get(goal)
            ends = (by.mean, by.low, by.high) if by else (0.0, None, None)
            ends = [100 * end if end is not None and np.isfinite(end) else None for end in ends]
            row |= dict(zip((goal, f"{goal}_low", f"{goal}_high"), ends, strict=True))
        for goal in GOALS:
            rows.append(
                {"goal": goal, **row, "value": row[goal], "low": row[f"{goal}_low"], "high": row[f"{goal}_high"]}
            )
    return rows


PRICED = 0.86  # of the room of a price that its arms take


def price_words(spent: Spent, plain: Spent) -> str:
    """What a measure costs beside the arm without one: ``the budget``, ``64,000 images less``, ``3,200 judgements``."""
    parts = zip(("images", "real rows", "evaluations", "judgements"), spent.price, plain.price, strict=True)
    said = [f"{abs(own - of):,} {words} {'less' if own < of else 'more'}" for words, own, of in parts if own != of]
    return " and ".join(said) or "the budget"
