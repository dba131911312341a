"""Samples written as folders and zips of pictures, which are read back as data sets."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .. import store
from ..core.kinds import KINDS
from ..core.sets import SampleSet
from .pictures import encode
from .provenance import Origin, encode_told
from .signing import Signer, signed

Encode = Callable[[int, np.ndarray], bytes]
"""``f(row, pixels) -> bytes`` of a PNG file."""


def encoder(origin: Origin | None, signer: Signer | None = None) -> Encode:
    """What makes files of pictures: plain ones; that say where they come from; and that are signed.

    Raises ValueError for a signer without an origin: what is signed is where a picture comes from.
    """
    if origin is None:
        if signer is not None:
            raise ValueError("signer: found one without an origin, allowed is one that signs where pictures come from")
        return lambda row, pixels: encode(pixels)

    def told(row: int, pixels: np.ndarray) -> bytes:
        own = origin._replace(index=row)
        png = encode_told(pixels, own)
        return png if signer is None else signed(png, own, signer)

    return told


def export_zip(samples: SampleSet, path: Path, origin: Origin | None = None, signer: Signer | None = None) -> None:
    """Write images as a dataset zip, in one step: PNG members ``00000/img00000000.png`` and ``dataset.json``.

    origin: of the samples, which each picture then tells with its own place; signer: who signs that.
    Members are stored uncompressed with a fixed date: the same samples give the same bytes. Raises ValueError for
    samples that are not (N, 1 or 3, H, W) uint8.
    """
    names, made = _export_names(samples), encoder(origin, signer)
    labels = None if samples.labels is None else list(zip(names, samples.labels.tolist(), strict=True))

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w") as archive:
            for row, (name, pixels) in enumerate(zip(names, samples.data, strict=True)):
                archive.writestr(_member(name), made(row, pixels))
            archive.writestr(_member("dataset.json"), json.dumps({"labels": labels}))

    store.write_atomically(path, write)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    member.create_system, member.external_attr = 3, 0o644 << 16  # unix, wherever it is written
    return member


def export_folder(samples: SampleSet, path: Path, origin: Origin | None = None, signer: Signer | None = None) -> None:
    """Write images as a folder of PNG files, in one step: one sub-folder a class if there are labels.

    origin, signer: as of :func:`export_zip`.

    Classes without images get an empty folder, so that :class:`ImageFolder` reads the same labels back. Raises
    ValueError for samples that are not (N, 1 or 3, H, W) uint8, for negative labels, and if ``path`` exists.
    """
    path = Path(path)
    names, made = [Path(name).name for name in _export_names(samples)], encoder(origin, signer)
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
        for row, (name, pixels) in enumerate(zip(names, samples.data, strict=True)):
            (temporary / name).write_bytes(made(row, pixels))
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _export_names(samples: SampleSet) -> list[str]:
    data = samples.data
    if not KINDS["images"].holds(data) or data.shape[1] not in (1, 3):
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, exported are uint8 images (N, 1 or 3, H, W)")
    return [f"{row // 1000:05d}/img{row:08d}.png" for row in range(len(data))]
