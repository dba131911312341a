"""From features to the numbers of a record: who plays which role, and how each number was made.

Every set of a study is measured at the same n, and every value carries a fingerprint: two values with unlike ones are
never compared.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .features import FEATURES, Features
from .metrics import METRICS, Undefined

Values = list[dict[str, Any]]
Fingerprints = dict[str, dict[str, Any]]


class Role(NamedTuple):
    """What plays the real samples: features, the hash of the samples that they are of, and how these were resized."""

    features: Features
    digest: str
    resize: str = "none"


@dataclass(frozen=True)
class Measurement:
    """What is measured, against what.

    metrics: name -> options. reals: (part, extractor) -> role; parts are held_out and train. extractors: name -> facts
    on its weights. training: the model's training set as data and hash, read only if a metric looks for copies in it.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    reals: Mapping[tuple[str, str], Role]
    extractors: Mapping[str, Mapping[str, Any]]
    training: Callable[[], tuple[np.ndarray, str]] | None = None

    def of_samples(
        self, fakes: Mapping[tuple[str, str], Features], makers: Mapping[str, Mapping[str, Any]]
    ) -> tuple[Values, Fingerprints]:
        """The values of sample sets and the fingerprints that they name.

        fakes: (set, extractor) -> features. makers: set -> how its samples were made.
        """
        fingerprints: Fingerprints = {}
        trained_on: dict[str, Role | None] = {}
        values = []
        for (which, extractor), fake in sorted(fakes.items()):
            for metric in self.metrics:
                against = METRICS[metric].against
                if against == "training_set":
                    if extractor not in trained_on:
                        trained_on[extractor] = self._training_role(extractor, metric)
                    real = trained_on[extractor]
                else:
                    real = self.reals.get((against, extractor))
                values += self._values(metric, extractor, which, real, fake, makers[which], fingerprints)
        return values, fingerprints

    def of_reality(self, count: int) -> tuple[Values, Fingerprints]:
        """The values that ``count`` other real samples reach: what a perfect model would score.

        Copies are looked for among the images that may be trained on, so there the held-out ones play the fakes.
        """
        fingerprints: Fingerprints = {}
        values = []
        for extractor in self.extractors:
            for metric in self.metrics:
                real, fake = ("held_out", "train") if METRICS[metric].against == "held_out" else ("train", "held_out")
                other = first(self.reals[fake, extractor].features, count)
                values += self._values(metric, extractor, "real", self.reals[real, extractor], other, {}, fingerprints)
        return values, fingerprints

    def _training_role(self, extractor: str, metric: str) -> Role | None:
        wanted = METRICS[metric].extractors
        if self.training is None or FEATURES[extractor].trained or (wanted and extractor not in wanted):
            return None
        data, digest = self.training()
        return Role(FEATURES[extractor].extract(data), digest)

    def _values(
        self,
        metric: str,
        extractor: str,
        which: str,
        real: Role | None,
        fake: Features,
        maker: Mapping[str, Any],
        fingerprints: Fingerprints,
    ) -> Iterator[dict[str, Any]]:
        entry, options = METRICS[metric], self.metrics[metric]
        if real is None or (entry.extractors and extractor not in entry.extractors):
            return
        if entry.reads == "classes" and (fake.classes is None or real.features.classes is None):
            return
        fingerprint = {
            "metric": metric,
            "set": which,
            "extractor": extractor,
            **{f"extractor_{key}": value for key, value in self.extractors[extractor].items()},
            "resize": real.resize,
            "reference": entry.against,
            "reference_hash": real.digest,
            "n_real": len(real.features),
            "n_fake": len(fake),
            "moments": "exact" if real.features.moments else "estimated",
            **{f"option_{key}": value for key, value in options.items()},
            **{key: maker.get(key) for key in ("family", "sampler", "steps", "ema_half_life")},
            "sampling_bias": maker.get("sampling_bias"),
        }
        key = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:8]
        fingerprints[key] = fingerprint
        row = {"set": which, "extractor": extractor, "fingerprint": key}
        try:
            found = entry(real.features, fake, **options)
        except Undefined as error:
            yield {**row, "metric": metric, "value": None, "reason": str(error)}
            return
        for name, value in found.items() if isinstance(found, dict) else [("", found)]:
            yield {**row, "metric": f"{metric}.{name}" if name else metric, "value": float(value)}


def taken(features: Features, rows: np.ndarray) -> Features:
    """Some rows of features."""
    return Features(features.values[rows], None if features.classes is None else features.classes[rows])


def first(features: Features, count: int) -> Features:
    """The first ``count`` rows, or all if there are no more."""
    return taken(features, np.arange(min(count, len(features))))
