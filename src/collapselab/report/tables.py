"""A study's numbers and answers as CSV and JSON, for whoever goes on with them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.spreadsheet import csv_text
from ..verdicts import Endpoint, Finding, Record, StudyFacts, indexed
from .numbers import by_generation, endpoints, final, in_order, name_of, sd_of, sets_of

USED = ("distinct_real_rows", "generated_samples")


def metrics_csv(facts: StudyFacts, records: Sequence[Record]) -> bytes:
    """Every value of every cell, one row each; a diverged cell without values has one row that says so."""
    cell_columns = ["study", "arm", "seed", "generation", "status"]
    of_value = ["set", "extractor", "metric", "value", "low", "high", "reason", "fingerprint"]
    counts = ["n_real", "n_fake"]

    def rows() -> Iterator[list[Any]]:
        for record in in_order(facts, records):
            cell = [record[name] for name in cell_columns]
            for entry in record["values"] or ({},):
                made = record.get("fingerprints", {}).get(entry.get("fingerprint"), {})
                yield cell + [entry.get(name) for name in of_value] + [made.get(name) for name in counts]

    return _written([*cell_columns, *of_value, *counts], rows())


def summary_csv(facts: StudyFacts, records: Sequence[Record]) -> bytes:
    """The last generation of each arm: of each endpoint mean, sd and range over lineages; real data; data used."""
    rows, used = [], {arm: _used(facts, arm) for arm in facts.arms}
    for endpoint in endpoints(facts, records):
        for name in sets_of(records, endpoint.metric, endpoint.extractor):
            for arm in facts.arms:
                numbers = final(facts, records, arm, Endpoint(endpoint.metric, endpoint.extractor, name))
                real = facts.reference.get(endpoint.extractor, {}).get(endpoint.metric)
                where = {"arm": arm, "metric": endpoint.metric, "extractor": endpoint.extractor, "set": name}
                rows += [where | numbers | {"real_against_real": real} | used[arm]] if numbers else []
    columns = ["arm", "metric", "extractor", "set", "generation", "mean", "sd", "low", "high", "lineages"]
    return _csv([*columns, "real_against_real", *USED], rows)


def glance(facts: StudyFacts, records: Sequence[Record]) -> dict[str, bytes]:
    """What fits a screen, for DVC: ``metrics/ARM.json`` and ``plots/ENDPOINT.csv`` -> content.

    metrics: the primary endpoint of an arm at its first and its last generation, mean and sd over n lineages. plots:
    the means by generation of the primary endpoint, and in the same feature space of all of which one knows what is
    better.
    """
    files, facts, records = {}, facts.loops, indexed(records)
    for arm in facts.arms:
        if last := final(facts, records, arm, facts.primary):
            first = next(iter(by_generation(records, arm, facts.primary).values()))
            numbers = {"first": float(np.mean(first)), "last": last["mean"], "sd": last["sd"]}
            row = {name: float(f"{number:.6g}") for name, number in numbers.items() if number is not None}
            what = {"primary": name_of(facts.primary), "generation": last["generation"], "n": last["lineages"]}
            files[f"metrics/{arm}.json"] = _json(what | row)
    for endpoint in endpoints(facts, records):
        same = (endpoint.extractor, endpoint.set) == (facts.primary.extractor, facts.primary.set)
        if endpoint == facts.primary or (same and facts.better.get(endpoint.metric)):
            found = {arm: by_generation(records, arm, endpoint) for arm in facts.arms}
            points = [[arm, t, float(np.mean(found[arm][t]))] for arm in facts.arms for t in sorted(found[arm])]
            files[f"plots/{name_of(endpoint)}.csv"] = _written(["arm", "generation", "mean"], points)
    return files


def _used(facts: StudyFacts, arm: str) -> dict[str, int]:
    """The distinct real rows and the generated samples that an arm has used by the last generation."""
    return dict(zip(USED, (facts.used[arm].real, facts.used[arm].generated), strict=True)) if arm in facts.used else {}


def curves_csv(facts: StudyFacts, records: Sequence[Record]) -> bytes:
    """One row per arm and generation; of each endpoint the mean over lineages (for ``dvc plots show``), sd and n."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    columns = ["arm", "generation"]
    for endpoint in endpoints(facts, records):
        name = name_of(endpoint)
        columns += [name, f"{name}.sd", f"{name}.n"]
        for arm in facts.arms:
            for generation, numbers in by_generation(records, arm, endpoint).items():
                row = rows.setdefault((arm, generation), {"arm": arm, "generation": generation})
                row |= {name: float(np.mean(numbers)), f"{name}.sd": sd_of(numbers), f"{name}.n": len(numbers)}
    order = list(facts.arms)
    return _csv(columns, [rows[key] for key in sorted(rows, key=lambda key: (order.index(key[0]), key[1]))])


def primary_csv(facts: StudyFacts, records: Sequence[Record]) -> bytes:
    """The primary endpoint, one row per generation: of each arm the mean over lineages, the sd and n."""
    rows = {generation: {"generation": generation} for generation in range(facts.generations + 1)}
    for arm in facts.arms:
        for generation, numbers in by_generation(records, arm, facts.primary).items():
            of_arm = {arm: float(np.mean(numbers)), f"{arm}.sd": sd_of(numbers), f"{arm}.n": len(numbers)}
            rows[generation] |= of_arm
    columns = [name for arm in facts.arms for name in (arm, f"{arm}.sd", f"{arm}.n")]
    return _csv(["generation", *columns], rows.values())


def summary_json(facts: StudyFacts, records: Sequence[Record]) -> bytes:
    """arm -> endpoint -> mean at the arm's last generation, and what it used by then (for ``dvc metrics show``)."""
    summary = {}
    for arm in facts.arms:
        found = {endpoint: final(facts, records, arm, endpoint) for endpoint in endpoints(facts, records)}
        summary[arm] = {name_of(endpoint): round(numbers["mean"], 6) for endpoint, numbers in found.items() if numbers}
        summary[arm] |= _used(facts, arm)
    return _json(summary)


def verdicts_json(found: Mapping[str, Sequence[Finding]]) -> bytes:
    """Every finding as plain data: question -> arm -> status, sentence and the numbers that are finite."""
    answers: dict[str, dict[str, Any]] = {}
    for one in (one for findings in found.values() for one in findings):
        finite = {name: number for name, number in one.numbers.items() if number is None or np.isfinite(number)}
        answer = {"status": one.status, "sentence": one.sentence, "numbers": finite}
        answers.setdefault(one.question, {})[one.arm] = answer
    return _json(answers)


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    return _written(columns, ([row.get(name) for name in columns] for row in rows))


def _written(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    return csv_text(columns, rows).encode()


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
