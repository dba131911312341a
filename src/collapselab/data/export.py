"""Samples written as folders and zips of pictures, which are read back as data sets."""

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, store
from ..core.kinds import KINDS
from ..core.progress import counted
from ..core.sets import SampleSet
from .pictures import encode
from .provenance import Origin, encode_told
from .signing import Signer, signed

MANIFEST = "manifest.json"
Encode = Callable[[int, np.ndarray], bytes]
"""``f(row, pixels) -> bytes`` of a PNG file."""
Put = Callable[[str, bytes], None]
"""``f(name, content)`` writes a file of a folder, or a member of a zip."""


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

    origin: of the samples, which each picture then tells with its own place, and a member ``manifest.json`` of all;
    signer: who signs that. Members are stored uncompressed with a fixed date: the same samples give the same bytes. The
    zip's hash stands beside it. Raises ValueError for samples that are not (N, 1 or 3, H, W) uint8.
    """
    names, made = export_names(samples), encoder(origin, signer)
    labels = None if samples.labels is None else list(zip(names, samples.labels.tolist(), strict=True))

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w") as archive:

            def put(name: str, content: bytes) -> None:
                archive.writestr(_member(name), content)

            put_pictures(samples, names, made, origin, put)
            put("dataset.json", json.dumps({"labels": labels}).encode())

    store.write_hashed(path, write)


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
    names, made = [Path(name).name for name in export_names(samples)], encoder(origin, signer)
    if samples.labels is not None:
        if len(names) and samples.labels.min() < 0:
            raise ValueError(f"labels: found {samples.labels.min()}, allowed are integers from 0")
        names = [f"{label:05d}/{name}" for label, name in zip(samples.labels.tolist(), names, strict=True)]

    def write(temporary: Path) -> None:
        for label in range(samples.labels.max() + 1 if samples.labels is not None and len(names) else 0):
            (temporary / f"{label:05d}").mkdir()
        put_pictures(samples, names, made, origin, lambda name, content: put_file(temporary / name, content))

    store.write_folder_atomically(path, write)


def put_file(path: Path, content: bytes) -> None:
    """Write a file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def export_names(samples: SampleSet) -> list[str]:
    """The names of pictures, ``00000/img00000000.png``. Raises ValueError for what are no (N, 1 or 3, H, W) uint8."""
    data = samples.data
    if not KINDS["images"].holds(data) or data.shape[1] not in (1, 3):
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, exported are uint8 images (N, 1 or 3, H, W)")
    return [f"{row // 1000:05d}/img{row:08d}.png" for row in range(len(data))]


def put_pictures(samples: SampleSet, names: list[str], made: Encode, origin: Origin | None, put: Put) -> None:
    """Write each picture under its name, one after the other, and where an origin is told a manifest of them."""
    listed = []
    for row, (name, pixels) in enumerate(counted(zip(names, samples.data, strict=True), "pictures", len(names))):
        content = made(row, pixels)
        put(name, content)
        listed.append({"file": name, "index": row, "sha256": hashlib.sha256(content).hexdigest()})
    if origin is not None:
        put(MANIFEST, (json.dumps(_manifest(samples, listed, origin), indent=1) + "\n").encode())


def _manifest(samples: SampleSet, listed: list[dict[str, Any]], origin: Origin) -> dict[str, Any]:
    if samples.labels is not None:
        listed = [one | {"label": label} for one, label in zip(listed, samples.labels.tolist(), strict=True)]
    made_by = f"collapselab {__version__}"
    return {"made_by": made_by, "generated": origin.generated, "origin": origin.plain, "pictures": listed}


def unlike_manifest(folder: Path) -> Iterator[str]:
    """What of a folder of pictures is not as its manifest says, in words: files that are lacking, changed or new.

    Raises ValueError for a folder whose manifest is none.
    """
    where = folder / MANIFEST
    try:
        said = {one["file"]: one["sha256"] for one in json.loads(where.read_bytes())["pictures"]}
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{where}: is no manifest of pictures ({type(error).__name__}: {error})") from None
    found = {file.relative_to(folder).as_posix() for file in folder.rglob("*.png")}
    for name in sorted(said):
        if name not in found:
            yield f"{folder / name}: is lacking, and {MANIFEST} lists it"
        elif store.content_hash(folder / name) != said[name]:
            yield f"{folder / name}: has changed since {MANIFEST} was written"
    yield from (f"{folder / name}: is not in {MANIFEST}" for name in sorted(found - said.keys()))


SUMS = "SHA256SUMS"  # of a folder, as sha256sum writes and reads it


def unlike_sums(sums: Path) -> Iterator[str]:
    """What is not as a list of hashes says, in words: files that are lacking, or changed. sums: a line a file.

    Raises ValueError for a file that is no such list.
    """
    for number, line in enumerate(sums.read_text(encoding="utf-8", errors="backslashreplace").splitlines(), 1):
        digest, _, name = line.partition("  ")
        if not re.fullmatch("[0-9a-f]{64}", digest) or not name:
            raise ValueError(f"{sums}: line {number} is not a hash and a file: {line[:80]!r}")
        path = sums.parent / name
        if not path.is_file():
            yield f"{path}: is lacking, and {sums.name} lists it"
        elif store.content_hash(path) != digest:
            yield f"{path}: has changed since {sums.name} was written"
