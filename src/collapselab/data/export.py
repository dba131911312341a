"""Samples written as folders and zips of pictures, which are read back as data sets."""

import json
import os
import shutil
import zipfile
from pathlib import Path

from .. import store
from ..core.kinds import KINDS
from ..core.sets import SampleSet
from .pictures import encode


def export_zip(samples: SampleSet, path: Path) -> None:
    """Write images as a dataset zip, in one step: PNG members ``00000/img00000000.png`` and ``dataset.json``.

    Members are stored uncompressed with a fixed date: the same samples give the same bytes. Raises ValueError for
    samples that are not (N, 1 or 3, H, W) uint8.
    """
    names = _export_names(samples)
    labels = None if samples.labels is None else list(zip(names, samples.labels.tolist(), strict=True))

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, pixels in zip(names, samples.data, strict=True):
                archive.writestr(_member(name), encode(pixels))
            archive.writestr(_member("dataset.json"), json.dumps({"labels": labels}))

    store.write_atomically(path, write)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    member.create_system, member.external_attr = 3, 0o644 << 16  # unix, wherever it is written
    return member


def export_folder(samples: SampleSet, path: Path) -> None:
    """Write images as a folder of PNG files, in one step: one sub-folder a class if there are labels.

    Classes without images get an empty folder, so that :class:`ImageFolder` reads the same labels back. Raises
    ValueError for samples that are not (N, 1 or 3, H, W) uint8, for negative labels, and if ``path`` exists.
    """
    path = Path(path)
    names = [Path(name).name for name in _export_names(samples)]
    if path.exists():
        raise ValueError(f"path: {str(path)!r} exists already, exported is to a new folder")
    if samples.labels is not None:
        if len(names) and samples.labels.min() < 0:
            raise ValueError(f"labels: found {samples.labels.min()}, allowed are integers from 0")
        names = [f"{label:05d}/{name}" for label, name in zip(samples.labels.tolist(), names, strict=True)]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        for label in range(samples.labels.max() + 1 if samples.labels is not None and len(names) else 0):
            (temporary / f"{label:05d}").mkdir()
        for name, pixels in zip(names, samples.data, strict=True):
            (temporary / name).write_bytes(encode(pixels))
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _export_names(samples: SampleSet) -> list[str]:
    data = samples.data
    if not KINDS["images"].holds(data) or data.shape[1] not in (1, 3):
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, exported are uint8 images (N, 1 or 3, H, W)")
    return [f"{row // 1000:05d}/img{row:08d}.png" for row in range(len(data))]
