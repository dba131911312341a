"""The records of a study, passed over once and asked many times."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .facts import Endpoint, StudyFacts

Record = Mapping[str, Any]
"""One parsed ``metrics.json``: the numbers of one arm, seed and generation, and how they were made."""


Lineages = Mapping[int, Mapping[int, float]]
"""Values of an arm: seed -> generation -> value."""


class Indexed(Sequence[Record]):
    """Records that are passed over once: the same sequence, with what its readers ask for at hand.

    A study of a thousand seeds has hundreds of thousands of records, and dozens of questions are put to each arm.
    measured: the (metric, extractor, set) that have an entry, in the order of seeds and generations; determined: those
    of them with a value, and the arms that have one. seeds: arm -> seeds.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = tuple(records)
        self._lineages: dict[tuple[str, Endpoint], dict[int, dict[int, float]]] = {}
        self._at_risk: dict[str, dict[int, int]] = {}
        self._diverged: dict[str, dict[int, int]] = {}
        self.measured: dict[tuple[str, str, str], None] = {}
        self.determined: dict[tuple[str, str, str], set[str]] = {}
        self.seeds: dict[str, dict[int, None]] = {}
        keys: dict[tuple[str, str, str, str], dict[int, dict[int, float]]] = {}
        self._counts: dict[tuple[str, str, str, str], dict[int, dict[int, tuple[int, int]]]] = {}
        for record in sorted(self._records, key=lambda record: (record["seed"], record["generation"])):
            arm, seed, generation = record["arm"], record["seed"], record["generation"]
            self.seeds.setdefault(arm, {})[seed] = None
            there = self._at_risk.setdefault(arm, {})
            there[generation] = there.get(generation, 0) + (record["status"] == "ok")
            if record["status"] == "diverged":
                first = (record.get("diverged") or {}).get("generation", generation)
                gone = self._diverged.setdefault(arm, {})
                gone[seed] = min(first, gone.get(seed, first))
            for entry in record["values"]:
                key = entry["metric"], entry["extractor"], entry["set"]
                number = entry["value"]
                self.measured[key] = None
                if number is not None:
                    self.determined.setdefault(key, set()).add(arm)
                keys.setdefault((arm, *key), {}).setdefault(seed, {})[generation] = (
                    np.nan if number is None else float(number)
                )
                made = record.get("fingerprints", {}).get(entry.get("fingerprint"), {})
                if made.get("n_fake"):
                    counts = self._counts.setdefault((arm, *key), {}).setdefault(seed, {})
                    counts[generation] = made["n_fake"], made.get("n_real") or 0
        self._numbers = {(arm, Endpoint(*key)): found for (arm, *key), found in keys.items()}

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        return self._records[index]

    def has(self, arm: str, endpoint: Endpoint) -> bool:
        """Whether an arm's samples of just this set were measured."""
        return (arm, endpoint) in self._numbers

    def numbers(self, arm: str, endpoint: Endpoint) -> Mapping[int, Mapping[int, float]]:
        """The values of just this set: seed -> generation -> value, NaN where it is not determined."""
        return self._numbers.get((arm, endpoint), {})

    def counts(self, arm: str, endpoint: Endpoint) -> Mapping[int, Mapping[int, tuple[int, int]]]:
        """How many samples and real rows a value rests on: seed -> generation -> (n_fake, n_real), where told."""
        own = self._counts.get((arm, endpoint.metric, endpoint.extractor, endpoint.set), {})
        plain = self._counts.get((arm, endpoint.metric, endpoint.extractor, "sampled"), {})
        return {seed: {**plain.get(seed, {}), **own.get(seed, {})} for seed in {**plain, **own}}

    def lineages(self, arm: str, endpoint: Endpoint) -> dict[int, dict[int, float]]:
        """What :func:`lineages` says."""
        if (arm, endpoint) not in self._lineages:
            own = self.numbers(arm, endpoint)
            plain = self.numbers(arm, replace(endpoint, set="sampled"))
            found = {}
            for seed in self.seeds.get(arm, ()):
                both = {**plain.get(seed, {}), **own.get(seed, {})}
                found[seed] = {t: both[t] for t in sorted(both) if np.isfinite(both[t])}
            self._lineages[arm, endpoint] = found
        return self._lineages[arm, endpoint]

    def diverged(self, arm: str) -> dict[int, int]:
        """What :func:`diverged` says."""
        return self._diverged.get(arm, {})

    def at_risk(self, arm: str) -> dict[int, int]:
        """What :func:`at_risk` says."""
        return dict(sorted(self._at_risk.get(arm, {}).items()))


def indexed(records: Iterable[Record]) -> Indexed:
    """The records, passed over once; nothing is done to those that have been."""
    return records if isinstance(records, Indexed) else Indexed(records)


def lineages(records: Iterable[Record], arm: str, endpoint: Endpoint) -> dict[int, dict[int, float]]:
    """The finite values of an arm: seed -> generation -> value, both in ascending order.

    An arm without sampling bias and selection has only ``sampled``, which equals its raw and its kept samples.
    """
    return indexed(records).lineages(arm, endpoint)


def comparable(facts: StudyFacts, records: Iterable[Record], arm: str, beside: str | None = None) -> Lineages:
    """The same of the primary endpoint, up to the generation that all lineages have of the arm, and of the one that it
    is compared with: the slope of one that was stopped is of other generations than the slope of one that goes on.
    """
    return up_to(lineages(records, arm, facts.primary), facts.horizon(arm, *([beside] if beside else [])))


def up_to(found: Lineages, last: int) -> Lineages:
    """The same values up to a generation."""
    return {seed: {t: value for t, value in lineage.items() if t <= last} for seed, lineage in found.items()}


def diverged(records: Iterable[Record], arm: str) -> dict[int, int]:
    """The lineages of an arm that diverged: seed -> generation at which they did."""
    return indexed(records).diverged(arm)


def at_risk(records: Iterable[Record], arm: str) -> dict[int, int]:
    """The number of an arm's lineages that are there and have not diverged: generation -> count."""
    return indexed(records).at_risk(arm)
