"""Samples that no study made: folders, zips and arrays of anybody, measured as a study's own are."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import Undefined
from ..core.progress import counted
from ..core.registry import usable
from ..core.spreadsheet import csv_text
from ..features import FEATURES, Features
from ..metrics import METRICS, SCORES
from . import quality
from .compare import aligned
from .pools import Pool, shared
from .record import Measurement, Role

ROLES = {"sampled": "what is measured", "held_out": "--against", "train": "--train"}


@dataclass(frozen=True)
class Look:
    """An extractor as it is used once: what it looks with, its options, and what belongs into the fingerprint."""

    weights: Any
    options: Mapping[str, Any]
    facts: Mapping[str, Any]


def lacks(name: str, extractors: Iterable[str], kind: str, with_train: bool) -> str | None:
    """What keeps a metric from being measured in any of these feature spaces, of data of a kind; None for nothing."""
    metric = METRICS[name]
    suited = [extractor for extractor in extractors if metric.suits(extractor)]
    if metric.labelled:
        return "reads the labels of rows, which a study's samples have"
    if not suited:
        return f"means nothing in {', '.join(extractors)}"
    if not any(FEATURES[extractor].tells(metric.reads, kind) for extractor in suited):
        return f"reads {metric.reads}, which {', '.join(suited)} does not tell"
    if metric.reads == "values" and kind == "categories" and not metric.extractors:
        return "measures distances, and categories have none"
    if metric.against == "training_set":
        return "is about the training sets of a study"
    return "needs --train" if metric.against == "train" and not with_train else None


def leaks(pools: Mapping[str, Pool]) -> tuple[dict[str, int], list[str]]:
    """How many samples two sets have in common, by "one/other", and what follows from it, in words.

    pools: by role, those of :data:`ROLES`. Raises ValueError where the real samples that the model learnt from are
    those that it is compared with: whatever were measured would be about nothing.
    """
    counts, told = {}, []
    for one, other in (("held_out", "train"), ("sampled", "train"), ("sampled", "held_out")):
        if not {one, other} <= pools.keys() or not (many := shared(pools[one], pools[other])):
            continue
        mine, yours = pools[one], pools[other]
        equal = many == len(mine.data) == len(yours.data)
        if equal and one == "held_out":
            raise ValueError(
                f"--train {yours.path} holds the same {many} samples as --against {mine.path}; --train is what the "
                "model learnt from, --against has to be real samples that it has not seen"
            )
        counts[f"{one}/{other}"] = many
        meaning = {
            "held_out": "what a perfect model scores is then too good, and copies of training images look like others",
            "sampled": "they are copies",
        }[one]
        told.append(f"{many} of {len(mine.data)} samples of {ROLES[one]} are also in {ROLES[other]}: {meaning}")
    return counts, told


def unlike(pools: Mapping[str, Pool]) -> list[str]:
    """What distances between images will also show: that they were stored in other ways."""
    stored = {pool.stored for pool in pools.values() if pool.kind == "images"}
    if len(stored) < 2:
        return []
    each = "; ".join(f"{ROLES[role]}: {pool.stored}" for role, pool in pools.items())
    return [f"not all are stored alike ({each}): compression alone moves distances"]


def measured(
    fake: Pool,
    real: Pool,
    train: Pool | None,
    looks: Mapping[str, Look],
    metrics: Mapping[str, Mapping[str, Any]],
    place: Callable[[str, Features], Features],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The record of samples that are compared with real ones, and the scores of every sample as named columns.

    train: the real samples that the model was trained on, for metrics that look for copies of them; as many of these as
    there are fakes are measured too, as the set ``real``: what a perfect model would score. place: where the features
    of an extractor are computed on.
    """
    pools = {"sampled": fake, "held_out": real} | ({"train": train} if train else {})
    reals, fakes, columns, digests = {}, {}, {}, {}
    for name, look in counted(looks.items(), "feature spaces"):
        seen = {
            role: place(name, FEATURES[name].extract(pool.data, look.weights, **look.options))
            for role, pool in counted(pools.items(), "sets")
        }
        if len({found.values.shape[1] for found in seen.values()}) > 1:
            shapes = " and ".join(dict.fromkeys(pool.shape for pool in pools.values()))
            raise ValueError(f"{name}: found samples of shapes {shapes}, allowed is one: see --channels, --resolution")
        digests = digests or {role: pool.digest for role, pool in pools.items()}  # known once all were looked at
        fakes["sampled", name] = seen.pop("sampled")
        reals |= {(part, name): Role(found, digests[part], pools[part].resize) for part, found in seen.items()}
        columns |= _scores(name, seen, fakes["sampled", name])
    measurement = Measurement(metrics, reals, {name: look.facts for name, look in looks.items()})
    maker = fake.lineage.get("model_options", {}) | dict(fake.lineage)
    values, fingerprints = measurement.of_samples(fakes, {"sampled": maker})
    if train:
        of_real, made = measurement.of_reality(len(fakes["sampled", next(iter(looks))]))
        values, fingerprints = values + of_real, fingerprints | made
    values, fingerprints = _with_sources(values, fingerprints, pools)
    values.sort(key=lambda entry: list(looks).index(entry["extractor"]))
    told = quality.warnings(values, reals, fingerprints)
    record = {"status": "ok", "lineage": digests, "values": values, "fingerprints": fingerprints}
    return record | ({"warnings": told} if told else {}), columns


def _with_sources(
    values: list[dict[str, Any]], fingerprints: Mapping[str, Mapping[str, Any]], pools: Mapping[str, Pool]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Values and fingerprints that also say what of the files of samples moves numbers, or tells them from others."""
    found, renamed = {}, {}
    for key, made in fingerprints.items():
        real = pools[made["reference"]]
        other = "train" if made["reference"] == "held_out" else "held_out"
        fake = pools["sampled" if made["set"] == "sampled" else other]
        said = {"reference_content": real.content}
        if "beside" in made:
            said["beside_content"] = pools[made["beside"]].content
        for which, pool in (("fake", fake), ("real", real)):
            if pool.kind == "images":
                said[f"stored_{which}"] = pool.stored
            if pool.kind != "categories":
                sees_colour = pool.kind == "images" and bool(FEATURES[made["extractor"]].needs.published)
                said[f"shape_{which}"] = _shape(pool, sees_colour)
        full = {**made, **said, **({"drawn": fake.drawn} if fake.drawn else {})}
        renamed[key] = hashlib.sha256(json.dumps(full, sort_keys=True).encode()).hexdigest()[:8]
        found[renamed[key]] = full
    return [{**entry, "fingerprint": renamed[entry["fingerprint"]]} for entry in values], found


def _shape(pool: Pool, makes_colour: bool) -> str:
    """The shape of the samples as it moves numbers: to a network that makes colours of grey, both are one."""
    if pool.kind == "images" and len(pool.shapes) == 1:
        channels, height, width = next(iter(pool.shapes))
        return f"{height} x {width}" if makes_colour else f"{channels} x {height} x {width}"
    sizes = {shape[1:] for shape in pool.shapes}
    if makes_colour and len(sizes) == 1:
        return " x ".join(map(str, next(iter(sizes))))
    return "various" if len(pool.shapes) > 1 else " x ".join(map(str, next(iter(pool.shapes))))


def _scores(name: str, seen: Mapping[str, Features], fake: Features) -> dict[str, np.ndarray]:
    """The scores of every sample, as far as the real samples that they need are there; nan where undetermined."""
    columns = {}
    for score, entry in usable(SCORES):
        if entry.against in seen and entry.suits(name):
            try:
                columns[f"{score}.{name}"] = entry(seen[entry.against], fake)
            except Undefined:
                columns[f"{score}.{name}"] = np.full(len(fake), np.nan)
    return columns


# -- what is said of it ------------------------------------------------------------------------------------------------


def table(record: Mapping[str, Any], fake: str, real: str) -> str:
    """The record in words, a block for each feature space: value, 95 % interval, or why there is no value.

    Beside it stands what real data score in the samples' place, where that was measured.
    """
    sets: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {"sampled": {}, "real": {}}
    for entry in record["values"]:
        sets[entry["set"]][entry["extractor"], entry["metric"]] = entry
    lines = []
    for extractor in dict.fromkeys(space for space, _ in sets["sampled"]):
        own = [entry for (space, _), entry in sets["sampled"].items() if space == extractor]
        made = record["fingerprints"][own[0]["fingerprint"]]
        lines += [f"{extractor}: {made['n_fake']} samples of {fake} against {made['n_real']} of {real}{_facts(made)}"]
        beside = [("real data", *(_value(sets["real"].get((extractor, entry["metric"]))) for entry in own))]
        columns = [
            ("metric", *(entry["metric"] for entry in own)),
            ("better", *(METRICS[entry["metric"].split(".")[0]].better or "" for entry in own)),
            ("value", *(_value(entry) for entry in own)),
            *(beside if sets["real"] else []),
            ("95 % interval", *(_interval(entry) for entry in own)),
        ]
        lines += [f"  {line}" for line in aligned(list(zip(*columns, strict=True)))] + [""]
    lines += one_sided({entry["metric"] for entry in record["values"] if "low" in entry})
    if sets["real"]:
        most = max(record["fingerprints"][entry["fingerprint"]]["n_fake"] for entry in sets["real"].values())
        lines.append(f"real data: up to {most} other real samples in the place of these: what a perfect model scores")
    else:
        lines.append(
            "With --train, the real samples that the model learnt from, what a perfect one scores stands beside"
        )
    return "\n".join(lines)


def one_sided(metrics: Iterable[str]) -> list[str]:
    """A line that names those of some metrics whose intervals count the chance of one set alone; none without any."""
    names = sorted({metric.partition(".")[0] for metric in metrics}, key=list(METRICS).index)
    words = {"fake": "of the samples for", "real": "of the real ones for"}
    of_sets = {said: [name for name in names if METRICS[name].chance == who] for who, said in words.items()}
    told = [f"{said} {', '.join(found)}" for said, found in of_sets.items() if found]
    if not told:
        return []
    why = "With few rows another draw of the other set moves more."
    return [f"These intervals count the chance of one set alone: {'; '.join(told)}. {why}"]


def _value(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    return "undefined" if entry["value"] is None else f"{entry['value']:.6g}"


def _interval(entry: Mapping[str, Any]) -> str:
    """The interval, or the reason why there is no value."""
    return entry.get("reason") or (f"{entry['low']:.4g} to {entry['high']:.4g}" if "low" in entry else "")


def _facts(made: Mapping[str, Any]) -> str:
    """How the extractor looked, where there is something to tell."""
    facts = {key.removeprefix("extractor_"): value for key, value in made.items() if key.startswith("extractor_")}
    words = [f"{key} {value[:8] if key == 'weights' else value}" for key, value in facts.items() if value is not None]
    return f" ({', '.join(words)})" if words else ""


def csv_of(columns: Mapping[str, np.ndarray], called: Sequence[str] | None) -> str:
    """Scores as CSV, a row for each sample; a score that a sample does not have is left empty.

    Bytes of a name that are no UTF-8 are written as \\xNN.
    """
    names = [name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for name in called or ()]
    numbers = zip(*([float(n) if np.isfinite(n) else None for n in column] for column in columns.values()), strict=True)
    rows = ([names[index] if called else index, *row] for index, row in enumerate(numbers))
    return csv_text(["sample", *columns], rows)
