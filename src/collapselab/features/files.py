"""Features in files: named arrays, by sample set and extractor."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

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
    with store.understood(path):
        current = {"sets", "names"} <= metadata.keys() and all("content" in one for one in metadata["sets"].values())
    store.expect(path, current, "features of this version")
    with store.understood(path):
        _check_said(tensors, metadata)
        return _features(tensors, metadata, extractors)


def _check_said(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Raise ValueError, or what comes of other types, unless each array has its set, its extractor and its names."""
    for group, kinds in {"sets": Mapping, "extractors": Mapping, "names": (list, NoneType)}.items():
        strangers = [name for name, said in metadata[group].items() if not isinstance(said, kinds)]
        if strangers:
            raise ValueError(f"{group}: {strangers[0]}")
    for said in metadata["sets"].values():
        facts = ("inputs", "diverged", "options", "model_options")
        hashes = isinstance(said["content"], str) and isinstance(said["hash"], str)
        if not hashes or not all(isinstance(said.get(one, {}), Mapping) for one in facts):
            raise ValueError("sets: no hash of what they hold, or of what they were made of")
    for key in tensors:
        which, name, _ = key.split("/")
        if which not in metadata["sets"] or name not in metadata["extractors"] or name not in metadata["names"]:
            raise ValueError(f"nothing of {key}")


def _features(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any], extractors: Mapping[str, Extractor]
) -> dict[tuple[str, str], Features]:
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
