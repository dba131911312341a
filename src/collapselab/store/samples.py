"""Sample sets as files of tensors."""

from pathlib import Path

from ..core import sound
from ..core.errors import Damaged
from ..core.sets import SampleSet
from .bytes import expect
from .tensors import read_tensors, write_tensors


def write_samples(path: Path, samples: SampleSet) -> str:
    """Write a sample set as one safetensors file; its hash. Of clips the lineage says what their numbers mean."""
    tensors = {"data": samples.data, **{f"aux.{name}": column for name, column in samples.aux.items()}}
    if samples.labels is not None:
        tensors["labels"] = samples.labels
    lineage = dict(samples.lineage)
    if samples.kind == "audio":
        lineage["log_mel"] = sound.told(samples.data.shape[1:])
    return write_tensors(path, tensors, {"kind": samples.kind, "lineage": lineage})


def read_samples(path: Path) -> SampleSet:
    """A verified, memory-mapped sample set."""
    tensors, metadata = read_tensors(path)
    expect(path, "data" in tensors, "samples")
    if not isinstance(metadata.get("lineage"), dict) or not all(array.ndim for array in tensors.values()):
        raise Damaged(path, "holds samples without a lineage, or numbers without an axis")
    aux = {name.removeprefix("aux."): column for name, column in tensors.items() if name.startswith("aux.")}
    try:
        return SampleSet(tensors["data"], tensors.get("labels"), aux, metadata["lineage"], metadata.get("kind"))
    except (ValueError, TypeError) as error:
        raise Damaged(path, f"holds no samples: {error}") from None
