"""The records of arms whose seeds ran together, as cells with files of their own would have them."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..compose.regimes import Recipe
from ..measure.compare import MADE
from ..store.provenance import PACKAGE, entries, source_hash
from .loop import Replicates

UNDETERMINED = {"value": None, "reason": "not determined of this law"}


def records(study: str, arm: Replicates, columns: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """A record for each row of the columns that ``run`` gave, as a cell with files of its own would have it.

    Of a subsample, which falls out differently for each seed, the composition is that expected.
    """
    prints = [_fingerprints(arm, bias) for bias in arm.sampling_bias]
    eaten = [_composition(recipe) for recipe in arm.recipes]
    measured = {name: columns[name].tolist() for name in arm.metrics}
    for row, (seed, generation) in enumerate(
        zip(columns["seed"].tolist(), columns["generation"].tolist(), strict=True)
    ):
        keys = {fingerprint["metric"]: key for key, fingerprint in prints[generation].items()}
        yield {
            "study": study,
            "arm": arm.name,
            "seed": seed,
            "generation": generation,
            "status": "ok",
            "diverged": None,
            "lineage": {},
            "values": [_value(name, keys[name], measured[name][row]) for name in arm.metrics],
            "fingerprints": prints[generation],
            "composition": eaten[generation],
        }


def means(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One record for each arm and generation, with the mean over its seeds of each value that all of them have.

    It stands as seed 0, where the records of a hundred seeds would be more than anybody looks at.
    """
    cells: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for record in records:
        cells.setdefault((record["arm"], record["generation"]), []).append(record)
    found = []
    for cell in cells.values():
        values = []
        for same in zip(*(record["values"] for record in cell), strict=True):
            numbers = [entry["value"] for entry in same]
            known = None not in numbers
            mean = {"value": float(np.mean(numbers))} if known else UNDETERMINED
            values.append({name: same[0][name] for name in ("set", "extractor", "fingerprint", "metric")} | mean)
        found.append({**cell[0], "seed": 0, "values": values})
    return found


def _composition(recipe: Recipe) -> list[dict[str, Any]]:
    total = sum(draw.count for draw in recipe.draws)
    if recipe.budget is None or recipe.budget >= total:
        return [draw._asdict() for draw in recipe.draws]
    return [draw._asdict() | {"count": round(draw.count * recipe.budget / total, 1)} for draw in recipe.draws]


def _value(name: str, fingerprint: str, value: float) -> dict[str, Any]:
    entry = {"set": "sampled", "extractor": "moments", "fingerprint": fingerprint, "metric": name}
    return entry | ({"value": value} if math.isfinite(value) else UNDETERMINED)


def _fingerprints(arm: Replicates, sampling_bias: float) -> dict[str, dict[str, Any]]:
    """How the values of a generation were made, by the key that they name."""
    truth = json.dumps([arm.population, arm.population_options], sort_keys=True)
    facts = {
        "set": "sampled",
        "extractor": "moments",
        "resize": "none",
        "reference": "held_out",
        "reference_hash": hashlib.sha256(truth.encode()).hexdigest(),
        "n_real": 1,
        "n_fake": 1,
        "moments": "exact",
        **dict.fromkeys(MADE),
        "family": arm.family,
        "sampling_bias": sampling_bias,
    }
    roots = f"{PACKAGE}.together.loop:run", *entries("models:MODELS", [arm.family])
    prints = [
        {"metric": name, **facts, "source": source_hash(*roots, *entries("metrics:METRICS", [name], "stacked"))}
        for name in arm.metrics
    ]
    return {hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest()[:8]: one for one in prints}
