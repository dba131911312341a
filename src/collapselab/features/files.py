"""Features in files: named arrays, by sample set and extractor."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from .. import store
from .base import Extractor, Features

PARTS = ("values", "classes", "probabilities", "neighbour_distances")


def arrays(features: Features) -> Iterator[tuple[str, np.ndarray]]:
    """What a file holds of features."""
    moments = zip(("mean", "covariance"), features.moments or features.sample_moments or (), strict=False)
    for name, array in (*((name, getattr(features, name)) for name in PARTS), *moments):
        if array is not None:
            yield name, array


def read_features(path: Path, extractors: Mapping[str, Extractor]) -> dict[tuple[str, str], Features]:
    """Features by (set, extractor). extractors: those that are known; of a law they have the exact moments."""
    tensors, metadata = store.read_tensors(path)
    current = {"sets", "names"} <= metadata.keys() and all("content" in entry for entry in metadata["sets"].values())
    store.expect(path, current, "features of this version")
    parts: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for key, array in tensors.items():
        which, name, part = key.split("/")
        parts.setdefault((which, name), {})[part] = array
    found = {}
    for (which, name), own in parts.items():
        called = metadata["names"][name]
        moments = (own["mean"], own["covariance"]) if "mean" in own else None
        known = "moments" if name in extractors and extractors[name].needs.through == "law" else "sample_moments"
        rows = {part: own.get(part) for part in PARTS}
        found[which, name] = Features(**rows, names=tuple(called) if called else None, **{known: moments})
    return found
