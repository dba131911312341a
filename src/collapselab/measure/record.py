"""From features to the numbers of a record: who plays which role, and how each number was made.

Every set of a study is measured at the same n, and every value carries a fingerprint: two values that were not measured
alike are never set side by side.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from ..core.errors import Undefined
from ..core.progress import counted
from ..features import FEATURES, Features, taken
from ..metrics import METRICS, Estimate, Metric
from ..store.provenance import entries, source_hash
from .compare import ALTERED, MADE

Values = list[dict[str, Any]]
Fingerprints = dict[str, dict[str, Any]]
Against = Literal["held_out", "train", "all"]


class Role(NamedTuple):
    """What plays the real samples: features, the hash of the samples that they are of, and how these were resized."""

    features: Features
    digest: str
    resize: str = "none"


def stays(extractor: str, features: Features) -> Features:
    """The features where they are."""
    return features


@dataclass(frozen=True)
class Measurement:
    """What is measured, against what.

    metrics: name -> options. reals: (part, extractor) -> role; parts are held_out and train. extractors: name -> facts
    on how it looks and on its weights. against: which real samples are the reference of metrics that do not ask for a
    part of their own: those held out, those that may be trained on, or all. training: the model's training set as data
    and hash, read only if a metric looks for copies in it. place: moves the features of an extractor to where metrics
    are to be computed.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    reals: Mapping[tuple[str, str], Role]
    extractors: Mapping[str, Mapping[str, Any]]
    against: Against = "held_out"
    training: Callable[[], tuple[np.ndarray, str]] | None = None
    place: Callable[[str, Features], Features] = stays

    def of_samples(
        self, fakes: Mapping[tuple[str, str], Features], makers: Mapping[str, Mapping[str, Any]]
    ) -> tuple[Values, Fingerprints]:
        """The values of sample sets and the fingerprints that they name.

        fakes: (set, extractor) -> features. makers: set -> how its samples were made.
        """
        fingerprints: Fingerprints = {}
        reals = self._placed_reals()
        values = []
        for (which, extractor), fake in counted(sorted(fakes.items()), "sets"):
            fake = self.place(extractor, fake)
            for name in counted(self.metrics, "metrics"):
                metric = METRICS[name]
                if not metric.suits(extractor):
                    continue
                part = self._part(metric)
                if (part, extractor) not in reals and (found := self._whole(part, extractor)):
                    reals[part, extractor] = self._placed(extractor, found)
                values += self._values(name, extractor, which, part, reals, fake, makers[which], fingerprints)
        return values, fingerprints

    def of_reality(self, count: int) -> tuple[Values, Fingerprints]:
        """The values that ``count`` other real samples reach: what a perfect model would score.

        Other than the reference: the training images against those held out, the held-out images against those that
        may be trained on or were. No real samples are left to compare with all of them.
        """
        fingerprints: Fingerprints = {}
        placed = self._placed_reals()
        values = []
        for extractor in counted(self.extractors, "feature spaces of real data"):
            for name in counted(self.metrics, "metrics"):
                metric = METRICS[name]
                part = {"training_set": "train"}.get(metric.against, self._part(metric))
                if part == "all" or not metric.suits(extractor):
                    continue
                reals = dict(placed)
                other = reals["train" if part == "held_out" else "held_out", extractor].features
                other = other if FEATURES[extractor].needs.through == "law" else first(other, count)
                if metric.beside == "held_out" and part == "train":  # one half stands beside the other
                    other, beside = halves(reals["held_out", extractor].features)
                    reals["held_out", extractor] = reals["held_out", extractor]._replace(features=beside)
                values += self._values(name, extractor, "real", part, reals, other, {}, fingerprints)
        return values, fingerprints

    def _part(self, metric: Metric) -> str:
        """What plays the real samples of a metric."""
        return self.against if metric.against == "held_out" else metric.against

    def _placed_reals(self) -> dict[tuple[str, str], Role]:
        return {key: self._placed(key[1], role) for key, role in self.reals.items()}

    def _placed(self, extractor: str, role: Role) -> Role:
        return role._replace(features=self.place(extractor, role.features))

    def _whole(self, part: str, extractor: str) -> Role | None:
        """A role that no file holds: all real samples, or the model's own training set."""
        if part == "all" and {("held_out", extractor), ("train", extractor)} <= self.reals.keys():
            held_out, train = self.reals["held_out", extractor], self.reals["train", extractor]
            digest = hashlib.sha256(f"{held_out.digest} {train.digest}".encode()).hexdigest()
            return Role(joined(held_out.features, train.features), digest, held_out.resize)
        if part == "training_set" and self.training is not None and FEATURES[extractor].needs.through == "nothing":
            data, digest = self.training()
            return Role(FEATURES[extractor].extract(data), digest)
        return None

    def _values(
        self,
        name: str,
        extractor: str,
        which: str,
        part: str,
        reals: Mapping[tuple[str, str], Role],
        fake: Features,
        maker: Mapping[str, Any],
        fingerprints: Fingerprints,
    ) -> Iterator[dict[str, Any]]:
        metric, options = METRICS[name], self.metrics[name]
        real, second = reals.get((part, extractor)), reals.get((metric.beside, extractor))
        if real is None or (metric.beside and second is None):
            return
        if metric.reads != "values" and any(getattr(one, metric.reads) is None for one in (fake, real.features)):
            return
        fingerprint = {
            "metric": name,
            "set": which,
            "extractor": extractor,
            **{f"extractor_{key}": value for key, value in self.extractors[extractor].items()},
            "resize": real.resize,
            "reference": part,
            "reference_hash": real.digest,
            **({"beside": metric.beside, "beside_hash": second.digest} if second else {}),
            "n_real": len(real.features),
            "n_fake": len(fake),
            "moments": "exact" if real.features.moments else "estimated",
            **{f"option_{key}": value for key, value in options.items()},
            **{key: maker.get(key) for key in MADE},
            **{key: maker[key] for key in ALTERED if key in maker},
            "source": _source(name, extractor),
        }
        key = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:8]
        fingerprints[key] = fingerprint
        row = {"set": which, "extractor": extractor, "fingerprint": key}
        roles = {metric.beside: second.features} if second else {}
        try:
            found = metric(real.features, fake, **options, **roles)
        except Undefined as error:
            found = error
        for part_of, value in found.items() if isinstance(found, dict) else [("", found)]:
            yield {**row, "metric": f"{name}.{part_of}" if part_of else name, **_number(value)}


def _source(metric: str, extractor: str) -> str:
    """The hash of the source that a value comes from: a metric may be defined anew under the name that it had."""
    return source_hash(*entries("metrics:METRICS", [metric]), *entries("features:FEATURES", [extractor]))


def _number(value: float | Undefined) -> dict[str, Any]:
    """A number as a record holds it: with its interval, where it has one, or with the reason why it is none."""
    if isinstance(value, Undefined):
        return {"value": None, "reason": str(value)}
    if not np.isfinite(value):
        return {"value": None, "reason": f"the value is {float(value)}"}
    interval = {"low": value.low, "high": value.high} if isinstance(value, Estimate) else {}
    return {"value": float(value), **interval}


# -- rows of features --------------------------------------------------------------------------------------------------


def first(features: Features, count: int) -> Features:
    """The first ``count`` rows, or all if there are no more."""
    return taken(features, slice(count))


def halves(features: Features) -> tuple[Features, Features]:
    """The first half of the rows and the second."""
    middle = len(features) // 2
    return taken(features, slice(middle)), taken(features, slice(middle, None))


def joined(one: Features, other: Features) -> Features:
    """The rows of both; of a population the moments stay known."""
    pairs = ((one.classes, other.classes), (one.probabilities, other.probabilities))
    classes, probabilities = (None if a is None or b is None else np.concatenate([a, b]) for a, b in pairs)
    return Features(np.concatenate([one.values, other.values]), classes, probabilities, one.names, one.moments)
