"""Two sets of records side by side, as far as their numbers were made alike."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .. import store
from ..core.progress import counted

# Of a fingerprint: how the samples were made, which is what arms vary; all else is how they were measured.
MADE = ("family", "sampler", "steps", "ema_half_life", "guide", "sampling_bias")
ALTERED = (
    "adapter",
    "transforms",
    "mark",
    "sampled_by",
)  # likewise, told only of samples to which, or to whose model, something was done
# What is told and keeps no numbers apart: another source may compute the same.
TOLD = (*MADE, *ALTERED, "source", "extractor_mark")
# What is a cell's own when it is measured against data of its own.
OWN = {"training_set": ("reference_hash", "n_real")}
# Of samples from outside a later version tells more than an earlier one did: what only one tells keeps none apart.
SINCE = ("reference_content", "beside_content", "stored_fake", "stored_real", "shape_fake", "shape_real")
# The same samples in another order or file have another hash, and this content.
CONTENTS = {"reference_hash": "reference_content", "beside_hash": "beside_content"}
# How an arm's samples are made may not change on the way; its sampling bias may, where the study says so.
CONSTANT = tuple(field for field in MADE if field not in ("sampling_bias", "guide"))

Record = Mapping[str, Any]
Records = Mapping[str, Record]
"""label -> record: a study's cells by their place, such as ``fresh_data/seed0/gen1``; of one record ``""``."""


class Pair(NamedTuple):
    """One number as two records have it; None where it is not determined."""

    cell: str
    set: str
    extractor: str
    metric: str
    one: float | None
    other: float | None


class Comparison(NamedTuple):
    """What two sets of records have to say to each other.

    pairs: numbers that were measured alike. unlike: (metric, extractor, field) -> the field in one and in the other,
    of numbers that were not, and are not set side by side. made: fields in which the samples of the pairs were made
    differently, with both contents. alone: numbers that only one of them has. untold: fields that an earlier version
    did not tell, with what the other says of them.
    """

    pairs: list[Pair]
    unlike: dict[tuple[str, str, str], tuple[Any, Any]]
    made: dict[str, tuple[Any, Any]]
    alone: int
    untold: dict[str, tuple[Any, Any]] = {}  # noqa: RUF012 - a default that nobody writes to


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The fields in which two fingerprints differ in how samples were measured; how they were made is left aside."""
    aside = {*TOLD, *OWN.get(one.get("reference", ""), ()), "set", *_untold(one, other)}
    aside |= {hashed for hashed, content in CONTENTS.items() if content in one and content in other}
    return [
        field
        for field in sorted(one.keys() | other.keys())
        if field not in aside and one.get(field) != other.get(field)
    ]


def _untold(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The fields that only one of two fingerprints has, since the other is of an earlier version."""
    return [field for field in SINCE if (field in one) != (field in other)]


def compare(one: Records, other: Records) -> Comparison:
    """The numbers of two sets of records side by side, and what keeps some of them apart.

    Numbers belong together that have the same place, set of samples, feature space and name. They are set side by side
    only where their fingerprints say that they were measured alike.
    """
    pairs, unlike, made, untold, alone = [], {}, {}, {}, 0
    for cell in dict.fromkeys([*one, *other]):
        ours, theirs = (dict(_numbers(records.get(cell))) for records in (one, other))
        alone += len(ours.keys() ^ theirs.keys())
        for key in (key for key in ours if key in theirs):
            (value, mine), (counterpart, yours) = ours[key], theirs[key]
            _, extractor, metric = key
            if fields := differences(mine, yours):
                name = metric.split(".")[0]
                unlike |= {(name, extractor, field): (mine.get(field), yours.get(field)) for field in fields}
                continue
            made |= {
                field: (mine.get(field), yours.get(field))
                for field in (*MADE, *ALTERED)
                if mine.get(field) != yours.get(field)
            }
            pairs.append(Pair(cell, *key, value, counterpart))
            lacking = [field for field in _untold(mine, yours) if field not in CONTENTS.values()]
            untold |= {field: (mine.get(field), yours.get(field)) for field in lacking}
    return Comparison(pairs, unlike, made, alone, untold)


def _numbers(record: Record | None) -> Iterator[tuple[tuple[str, str, str], tuple[float | None, Mapping[str, Any]]]]:
    """(set, extractor, metric) -> (value, fingerprint)."""
    for entry in record["values"] if record else []:
        key = entry["set"], entry["extractor"], entry["metric"]
        yield key, (entry["value"], record["fingerprints"][entry["fingerprint"]])


def load(path: Path) -> Records:
    """The records at a path: that of a file, or all ``metrics.json`` under a folder. Raises ValueError without any."""
    path = Path(path)
    files = sorted(path.rglob("metrics.json")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path}: has no metrics.json; allowed are a record, or a folder with records under it")
    labels = {file: str(file.parent.relative_to(path)) if path.is_dir() else "" for file in files}
    records = {labels[file]: store.read_json(file) for file in counted(files, "records")}
    for label, record in records.items():
        if not isinstance(record, dict) or not {"values", "fingerprints"} <= record.keys():
            raise ValueError(f"{path / label}: is not a record of numbers")
    return records


def table(found: Comparison, one: str, other: str) -> str:
    """The numbers side by side; of many cells how many are equal, metric by metric, and the largest difference."""
    lines = [f"A = {one}", f"B = {other}"]
    if len({pair.cell for pair in found.pairs}) == 1:
        rows = [(_called(pair), _number(pair.one), _number(pair.other), _change(pair)) for pair in found.pairs]
        lines += aligned([("", "A", "B", "B - A"), *rows])
    elif found.pairs:
        rows = []
        for called in dict.fromkeys(map(_called, found.pairs)):
            own = [pair for pair in found.pairs if _called(pair) == called]
            equal = sum(pair.one == pair.other for pair in own)
            largest = max(own, key=lambda pair: abs((pair.other or 0) - (pair.one or 0)))
            rows.append((called, f"{equal} of {len(own)}", _change(largest), largest.cell if equal < len(own) else ""))
        lines += aligned([("", "equal", "largest B - A", "at"), *rows])
    lines += [f"made differently: {field} is {a!r} in A and {b!r} in B" for field, (a, b) in found.made.items()]
    for field, (a, b) in found.untold.items():
        older, said, newer = ("A", b, "B") if a is None else ("B", a, "A")
        lines += [f"measured by an earlier version: {older} does not tell {field}, which is {said!r} in {newer}"]
    lines += [f"{found.alone} numbers are in only one of them"] if found.alone else []
    return "\n".join(lines)


def refusal(found: Comparison, one: str, other: str) -> str:
    """Why some numbers are not set side by side: a line for each field that differs, and what it keeps apart."""
    apart: dict[tuple[str, str, str], list[str]] = {}
    for (metric, extractor, field), contents in found.unlike.items():
        apart.setdefault((field, *map(_brief, contents)), []).append(f"{metric} ({extractor})")
    faults = [f"- {field} is {a} in {one} and {b} in {other}: {', '.join(of)}" for (field, a, b), of in apart.items()]
    return "\n".join(["these numbers were not measured alike and are not set side by side:", *faults])


def _brief(content: Any) -> str:
    return content[:12] if isinstance(content, str) and re.fullmatch("[0-9a-f]{64}", content) else repr(content)


def _called(pair: Pair) -> str:
    return f"{pair.metric} ({pair.extractor}, {pair.set})"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"


def _change(pair: Pair) -> str:
    if pair.one is None or pair.other is None:
        return "" if pair.one is pair.other else "undefined in one"
    return "equal" if pair.one == pair.other else f"{pair.other - pair.one:+.3g}"


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows of a table as lines, with each column as wide as its longest word."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def check_comparable(records: Iterable[Record]) -> None:
    """Return if all values of a metric in a feature space were measured alike, and those of one arm made alike.

    Raises ValueError that names each field in which fingerprints differ, with both values and where they stand; what
    an arm may vary (how its samples are made, which of them are measured, its own training set) is left aside between
    arms.
    """
    first: dict[tuple[str, ...], tuple[str, Mapping[str, Any]]] = {}
    faults: dict[tuple[str, str, str], str] = {}
    for record in records:
        arm = record["arm"]
        place = f"{arm}/seed{record['seed']}/gen{record['generation']}"
        for (which, extractor, metric), (_, fingerprint) in _numbers(record):
            name = metric.split(".")[0]
            if (name, extractor, arm, which) in first and first[name, extractor, arm, which][1] == fingerprint:
                continue  # all was said of the one that it equals
            there, like = first.setdefault((name, extractor), (place, fingerprint))
            told = [(there, like, field) for field in differences(like, fingerprint)]
            there, like = first.setdefault((name, extractor, arm, which), (place, fingerprint))
            told += [(there, like, field) for field in CONSTANT if like.get(field) != fingerprint.get(field)]
            for there, like, field in told:
                fault = f"{field} is {like.get(field)!r} in {there} and {fingerprint.get(field)!r} in {place}"
                faults.setdefault((name, extractor, field), f"{name} ({extractor}): {fault}")
    if faults:
        lines = "\n".join(f"- {fault}" for fault in faults.values())
        raise ValueError(f"these records were not measured alike and cannot be compared:\n{lines}")
