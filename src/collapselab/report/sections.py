"""What the sections of the page say: its first sentence, the rules of a fair comparison, and its tables."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..core.errors import Undefined
from ..measure.roles import roles_of
from ..metrics.artefacts import growth_rate
from ..study.file import BUDGETS, FAIRNESS, JUDGING
from ..verdicts import ANALYSES, Endpoint, Finding, Record, StudyFacts, Table, at_risk, digits_apart, lineages, spell
from ..verdicts.forgetting import matrices
from .numbers import SETS, arms_with, endpoints, final, in_order, sets_of

LISTED = 2000  # cells in the table of lineages
NAMED = ("extractor", "reference")  # what a row of the table of fingerprints is called by
YARDSTICK = "Selectors never see the yardstick"
TUNED = "Nothing tuned on the yardstick"
CONTRACT = {
    "Common random numbers": "seeds name the study, the replicate, the generation and the stage, never the arm: "
    "generation 0 is shared, arms are compared in pairs, and the grids show the same latents in every generation.",
    "One split": "training, held-out and fresh data are split once for the whole study; from a known population each "
    "seed draws its own, and the population itself is the reference.",
    YARDSTICK: "whoever selects, corrects or adapts is shown no held-out image, and looks in another space than that "
    "of the primary endpoint.",
    "Raw, biased, kept": "the model itself, its samples and what was kept of them are measured apart, at equal n.",
    TUNED: "the last snapshot counts; nothing is chosen by a metric shown here.",
    "Failures stay in the picture": "diverged lineages are drawn up to where they end, and counted.",
    "Few seeds are shown as few": "below eight lineages points and their range, from eight on a 95 % band of the mean.",
    "One primary endpoint": "named in the study's file; p-values are corrected over the arms (Holm 1979).",
}


def fairness(facts: StudyFacts) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """What makes the comparison fair: (what holds: name -> words, what is waived: rule and reason).

    A waiver is a rule's words, a colon and the reason; a rule that is waived is not among what holds.
    """
    rules = (FAIRNESS | BUDGETS | JUDGING).values()
    waived = [
        next(((rule, w[len(rule) + 2 :]) for rule in rules if w.startswith(f"{rule}: ")), ("", w))
        for w in facts.waivers
    ]
    gone = {rule for rule, _ in waived}
    asked = FAIRNESS | (BUDGETS if facts.prevention else {})
    held = [rule for rule in asked.values() if rule not in gone]
    contract = dict(CONTRACT)
    if JUDGING["primary_space"] in gone:
        contract[YARDSTICK] = (
            "whoever selects, corrects or adapts is shown no held-out image; but not all look in another space than "
            "that of the primary endpoint."
        )
    if facts.adapted:
        chosen = "; ".join(f"{arm}, {words} (a number a seed)" for arm, words in facts.adapted.items())
        contract[TUNED] = (
            "the last snapshot counts; what adapters choose they choose on validation rows, which no metric here is "
            f"computed of: {chosen}."
        )
    held.append("all arms have the same number of evaluated samples")
    held += facts.matched
    where = "at each point of the sweep " if facts.points else ""
    return {"Equal budgets": f"{where}{'; '.join(held)}."} | contract, waived


def used_words(facts: StudyFacts) -> str:
    """How many real images or rows each arm has used by the last generation, arms with the same number together."""
    numbers: dict[int, list[str]] = {}
    for arm in (arm for arm in facts.arms if arm in facts.used):
        numbers.setdefault(facts.used[arm].real, []).append(arm)
    if not numbers:
        return ""
    said = [
        f"{number:,} in {'every arm' if len(numbers) == 1 else ', '.join(arms)}" for number, arms in numbers.items()
    ]
    more = [f" In {arm} {words}." for arm, words in facts.shown.items() if arm in facts.arms]
    return f"Distinct real {facts.unit} used by generation {facts.generations}: {'; '.join(said)}.{''.join(more)}"


def answers(found: Mapping[str, Sequence[Finding]], section: str) -> dict[str, dict[str, Finding]]:
    """The findings of the analyses of a section, one an arm: name -> arm -> finding."""
    chosen = (name for name, analysis in ANALYSES.items() if analysis.section == section)
    return {name: {one.arm: one for one in found[name]} for name in chosen}


def tables(facts: StudyFacts, found: Mapping[str, Sequence[Finding]]) -> list[dict[str, Any]]:
    """The analyses that have a table of their own and found something: their titles, rows and words around these."""
    return [
        {"title": analysis.title, "table": analysis.section, "rows": found[name]}
        | {"about": analysis.section.about(facts, found[name]), "beneath": analysis.section.beneath(found[name])}
        for name, analysis in ANALYSES.items()
        if isinstance(analysis.section, Table) and found[name]
    ]


def topped_up(shares: Mapping[str, Mapping[int, float]]) -> list[str]:
    """In which arms chance had to add to what was kept, and how much of it, in a sentence each."""
    said = []
    for arm, of in shares.items():
        told = ", ".join(f"{share:.1%} at generation {generation}" for generation, share in of.items())
        said.append(f"In {arm} too few were good enough, and chance added others: {told} of what was kept.")
    return said


def counted(shares: Mapping[str, Mapping[int, float]]) -> list[str]:
    """As how many of its rows what is weighted counts, in a sentence for each arm."""
    said = []
    for arm, of in shares.items():
        told = ", ".join(f"{share:.1%} of them at generation {generation}" for generation, share in of.items())
        said.append(f"In {arm} the weights of the kept rows count as fewer rows that all weigh alike: {told}.")
    return said


def truth_words(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each panel how far the estimates follow the truth, and by how much they are off on average."""
    said = []
    for panel in dict.fromkeys(row["panel"] for row in rows):
        pairs = np.array([(row["truth"], row["estimate"]) for row in rows if row["panel"] == panel])
        off = float((pairs[:, 1] - pairs[:, 0]).mean())
        side = "above" if off > 0 else "below"
        varied = len(pairs) > 2 and (pairs.std(axis=0) > 1e-12).all()
        follows = f"correlation {spell(np.corrcoef(pairs.T)[0, 1])}" if varied else "no correlation can be told"
        said.append(f"{panel}: {follows}, on average {spell(abs(off))} {side} the truth ({len(pairs)} pairs).")
    return said


def numbers_table(facts: StudyFacts, records: Sequence[Record]) -> list[dict[str, Any]]:
    """A row for each metric and feature space, with a cell for each arm: its numbers of each set of samples.

    A cell is a list of (set, mean, range): the primary endpoint's set without a name, and others where they were
    measured apart, which is not so of samples that are drawn from the model itself and all kept. Sets with the same
    numbers share theirs.
    """
    rows: list[dict[str, Any]] = []
    for endpoint in endpoints(facts, records):
        names = sets_of(records, endpoint.metric, endpoint.extractor)
        names = sorted(names, key=lambda name: name != facts.primary.set)
        real = facts.reference.get(endpoint.extractor, {}).get(endpoint.metric)
        row = {
            "metric": facts.label(endpoint.metric),
            "extractor": endpoint.extractor,
            "better": {"higher": "↑", "lower": "↓"}.get(facts.direction(endpoint.metric) or "", ""),
            "cells": [_of_sets(facts, records, arm, endpoint, names) for arm in facts.arms],
            "real": "–" if real is None else spell(real),
        }
        rows.append(row)
    return rows


def _of_sets(
    facts: StudyFacts, records: Sequence[Record], arm: str, endpoint: Endpoint, names: Sequence[str]
) -> list[tuple[str, str, str]]:
    """What an arm has of each set of its samples that was measured apart."""
    found: dict[str, tuple[str, str]] = {}
    for index, name in enumerate(names):
        of_set = Endpoint(endpoint.metric, endpoint.extractor, name)
        if not index or arm in arms_with(facts, records, of_set):
            found[name] = mean_and_range(final(facts, records, arm, of_set))
    alike: dict[tuple[str, str], list[str]] = {}
    for index, (name, numbers) in enumerate(found.items()):
        alike.setdefault(numbers, []).extend([SETS[name]] if index else [])
    return [(", ".join(sets) if index else "", *numbers) for index, (numbers, sets) in enumerate(alike.items())]


def forgetting_matrices(
    facts: StudyFacts, records: Sequence[Record], found: Mapping[str, Sequence[Finding]]
) -> list[dict[str, Any]]:
    """The forgetting matrix of each arm of a stream, as means over the seeds that have the number; empty without one.

    words: its three numbers, where it has been found whole. rows: of each step its cells, (words, shade): a shade runs
    from 0 for the worst number of all arms to 1 for the best; it is None for a number that is not there.
    """
    seeds = {arm: np.array(list(of.values())) for arm, of in matrices(records, facts.generations).items()}
    words, means = {one.arm: one.words for one in found.get("forgetting", ())}, {}
    for arm in (arm for arm in facts.arms if arm in seeds):
        there = np.isfinite(seeds[arm])
        sums, counts = np.where(there, seeds[arm], 0).sum(0), there.sum(0)
        means[arm] = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    numbers = np.concatenate([one[np.isfinite(one)] for one in means.values()]) if means else np.empty(0)
    if not len(numbers):
        return []
    low, high = float(numbers.min()), float(numbers.max())
    lower = facts.direction(facts.primary.metric) == "lower"

    def cell(number: float) -> tuple[str, float | None]:
        if not np.isfinite(number):
            return "–", None
        shade = (number - low) / (high - low) if high > low else 1.0
        return spell(number, high), 1 - shade if lower else shade

    return [
        {"arm": arm, "words": words.get(arm, {}), "rows": [[cell(one) for one in row] for row in matrix]}
        for arm, matrix in means.items()
    ]


def undefined_table(facts: StudyFacts, records: Sequence[Record]) -> list[tuple[str, str, str, int]]:
    """What was asked for and is not determined: metric, features, the reason, in how many cells."""
    found: dict[tuple[str, str, str], int] = {}
    for record in records:
        for entry in record["values"]:
            if entry["value"] is None:
                key = facts.label(entry["metric"]), entry["extractor"], entry.get("reason", "")
                found[key] = found.get(key, 0) + 1
    return [(*key, count) for key, count in found.items()]


def warned(records: Sequence[Record]) -> list[str]:
    """What measuring has warned of, each sentence once, with the cells that it was said of."""
    cells: dict[str, list[str]] = {}
    for record in records:
        for sentence in record.get("warnings", ()):
            cell = f"{record['arm']}, seed {record['seed']}, generation {record['generation']}"
            cells.setdefault(sentence, []).append(cell)
    return [f"{sentence[:1].upper()}{sentence[1:]} ({'; '.join(of)})." for sentence, of in cells.items()]


def growth_table(facts: StudyFacts, records: Sequence[Record]) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each index of an artefact the growth of its amplitude a generation, arm by arm; empty without any."""
    table = []
    for endpoint in endpoints(facts, records):
        if not roles_of(endpoint.metric).artefact:
            continue
        cells = []
        for arm in facts.arms:
            rates = []
            for lineage in lineages(records, arm, endpoint).values():
                with suppress(Undefined):
                    rates.append(float(growth_rate(lineage).rate))
            spread = {"low": min(rates), "mean": float(np.mean(rates)), "high": max(rates)} if rates else None
            cells.append(mean_and_range(spread))
        table.append((facts.label(endpoint.metric), cells))
    return table


def mean_and_range(numbers: Mapping[str, Any] | None) -> tuple[str, str]:
    """Mean and range in words, with as many digits as tell the ends of the range apart."""
    if numbers is None:
        return "–", ""
    low, mean, high = (numbers[key] for key in ("low", "mean", "high"))
    digits = digits_apart(low, high)
    return spell(mean, digits=digits), f"{spell(low, mean, digits)} – {spell(high, mean, digits)}"


def risk_table(facts: StudyFacts, records: Sequence[Record]) -> list[tuple[str, list[Any]]]:
    """arm -> lineages at risk per generation; empty when none is missing."""
    rows = [(arm, [at_risk(records, arm).get(t, 0) for t in range(facts.generations + 1)]) for arm in facts.arms]
    return rows if any(count < facts.seeds for _, counts in rows for count in counts) else []


def fingerprint_table(records: Sequence[Record]) -> tuple[str, list[tuple[str, str, str]]]:
    """What all numbers have in common; a row for each feature space and what it compares with: its metrics, the rest.

    Several values of a field stand side by side.
    """
    found: dict[str, dict[str, dict[str, set[str]]]] = {}
    told_of: dict[str, Mapping[str, Any]] = {}
    for record in records:
        for key, fingerprint in record["fingerprints"].items():
            if told_of.setdefault(key, fingerprint) is not fingerprint and told_of[key] == fingerprint:
                continue
            space = f"{fingerprint.get('extractor', '')} against {fingerprint.get('reference', '')}".replace("_", " ")
            for field, content in fingerprint.items():
                cell = found.setdefault(space, {}).setdefault(field, {})
                cell.setdefault(_plain(content), set()).add(str(fingerprint.get("metric", "")).replace("_", " "))
    words = {
        space: {field: _side_by_side(field, cell) for field, cell in sorted(fields.items())}
        for space, fields in sorted(found.items())
    }
    told = {space: {field: said for field, said in fields.items() if said != "–"} for space, fields in words.items()}
    common = {field for field, said in next(iter(told.values()), {}).items() if field != "metric"}
    common = {field for field in common if len({fields.get(field) for fields in told.values()}) == 1}

    def listed(fields: Mapping[str, str]) -> str:
        return "; ".join(f"{field.removeprefix('option_').replace('_', ' ')} {said}" for field, said in fields.items())

    rows = []
    for space, fields in told.items():
        own = {field: said for field, said in fields.items() if field not in {*common, "metric", *NAMED}}
        rows.append((space, fields.get("metric", ""), listed(own)))
    shared = {field: said for field, said in next(iter(told.values()), {}).items() if field in common - set(NAMED)}
    return listed(shared), rows


def _side_by_side(field: str, contents: Mapping[str, set[str]]) -> str:
    """Several values of one field; an option's with the metrics that they belong to."""
    if field == "metric":
        return ", ".join(sorted(name.replace("_", " ") for name in contents))
    if len(contents) > 6:
        return f"{len(contents)} different"  # such as the hashes of all training sets
    if field.startswith("option_") and len(contents) > 1:
        return "; ".join(f"{content} ({', '.join(sorted(metrics))})" for content, metrics in sorted(contents.items()))
    return ", ".join(sorted(contents)) or "–"


def _plain(content: Any) -> str:
    if isinstance(content, Mapping):
        return ", ".join(f"{key} {_plain(value)}" for key, value in content.items())
    if isinstance(content, str) and re.fullmatch("[0-9a-f]{32,}", content):
        return _short(content)
    return "–" if content is None else f"{content:g}" if isinstance(content, float) else str(content)


def _short(digest: Any) -> str:
    return str(digest)[:8] if digest else "–"


def lineage_table(facts: StudyFacts, records: Sequence[Record]) -> tuple[list[str], list[dict[str, Any]]]:
    """The nouns of which a cell has hashes, and a row for each cell; of many cells those of the first seeds."""
    found = dict.fromkeys(noun for record in records for noun in record.get("lineage", {}))
    nouns = [noun for noun in found if not noun.startswith("parent ")]  # those are other cells' files, shown there
    if len(records) > LISTED:
        seeds = sorted({record["seed"] for record in records})
        seeds = set(seeds[: max(1, LISTED * len(seeds) // len(records))])
        records = [record for record in records if record["seed"] in seeds]
    rows = [
        {
            "cell": (record["arm"], record["seed"], record["generation"]),
            "status": record["status"],
            "hashes": [_short(record.get("lineage", {}).get(noun)) for noun in nouns],
            "composition": ", ".join(f"{p['count']} {p['arm']} (gen {p['generation']})" for p in record["composition"]),
        }
        for record in in_order(facts, records)
    ]
    return nouns, rows


def cost_table(facts: StudyFacts, costs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Processor seconds inside compute functions, arm by verb, and totals."""
    if not costs:
        return None
    verbs = list(dict.fromkeys(cost["verb"] for cost in costs))
    names = dict.fromkeys([*facts.arms, *(cost["arm"] for cost in costs)])
    rows = []
    for arm in names:
        own = [cost for cost in costs if cost["arm"] == arm]
        if own:
            spent = [_total([c for c in own if c["verb"] == verb], "compute_cpu_seconds") for verb in verbs]
            rows.append((arm, [*spent, *_totals(own)]))
    rows.append(
        (
            "all",
            [*(_total([c for c in costs if c["verb"] == v], "compute_cpu_seconds") for v in verbs), *_totals(costs)],
        )
    )
    return {
        "verbs": verbs,
        "rows": rows,
        "energy": _energy_source(costs),
        "nonidentical": [
            f"{cost['arm']}, seed {cost['seed']}, generation {cost['generation']} ({'; '.join(cost['nonidentical'])})"
            for cost in costs
            if cost.get("nonidentical")
        ],
        "devices": ", ".join(sorted({str(c.get("device_name") or c.get("device") or "cpu") for c in costs})),
    }


def _total(costs: Sequence[Mapping[str, Any]], field: str) -> str:
    return f"{sum(cost.get(field) or 0 for cost in costs):,.0f}".replace(",", " ")


def _totals(costs: Sequence[Mapping[str, Any]]) -> list[str]:
    trained = [cost for cost in costs if cost["verb"] == "train"]
    memory = max((cost.get("peak_memory_mb") or 0 for cost in costs), default=0)
    return [
        *(_total(costs, f) for f in ("compute_cpu_seconds", "process_cpu_seconds", "wall_seconds")),
        f"{memory:,.0f}".replace(",", " "),
        _total(trained, "images_seen"),
        f"{sum(cost.get('joules') or 0 for cost in costs) / 3.6e6:.3g}",
    ]


def _energy_source(costs: Sequence[Mapping[str, Any]]) -> str:
    """Where the joules come from, in words."""
    words = {
        "nvml": "measured on the GPUs' boards",
        "rapl": "measured on the processors, with all that ran beside",
        "estimate": "estimated from processor time at an assumed power",
    }
    return " and ".join(words[source] for source in sorted({c["energy_source"] for c in costs if "energy_source" in c}))
