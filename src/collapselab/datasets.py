"""Real data: read from the formats of the field, made equal in size, split once, and written back out.

A data set is a small pydantic class: its fields are what a study writes under ``data``, and its methods read it.
Making one reads no file, so a study is validated anywhere; ``check`` and ``count`` are cheap, and ``load`` reads the
pixels. Files from outside are never trusted: images pass an allow-list of formats and a cap on their size, archives
are read member by member and never extracted, and pickles are read without numpy and without running anything.
"""

import gzip
import hashlib
import importlib.util
import io
import json
import math
import os
import pickle
import shutil
import stat
import zipfile
import zlib
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from . import seeds, store
from .compat import import_torchvision
from .store import SampleSet

PARTS = ("held_out", "train", "validation", "fresh")  # cut in this order: asking for more fresh rows moves no other row
SUFFIXES = (".png", ".jpg", ".jpeg")
MEMBER_BYTES = 2**28  # the largest file that is read out of an archive; a zip of 42 kB can claim 4.5 PB
IDX_BYTES = 2**32  # the largest idx file, some 100 times MNIST
FEW_FILES = 20  # of so many, the beginnings are looked at
BEGINNING_BYTES = 2**16
BATCH_IMAGES = 1024  # images that are resized together, which bounds the memory in float64
THREAD_IMAGES = 8  # images that a thread decodes at a time: a small one takes no longer than a change of threads

Subset = Literal["train", "test", "all"]
Resize = Literal["area", "lanczos"]

# -- resizing and splitting: arrays in, arrays out --------------------------------------------------------------------


def resize(images: np.ndarray, resolution: int, method: Resize = "area") -> np.ndarray:
    """The images at ``resolution`` by ``resolution`` pixels: (N, C, resolution, resolution) uint8.

    ``area``: every new pixel is the mean of the old image over the square that it covers, A X A' / n^2 for n by n
    images, where A holds how much of each old pixel, in whole units of 1 / resolution, falls into each new one. All
    numbers are integers, so the mean is exact; halves are rounded up. ``lanczos``: Pillow's windowed sinc with three
    lobes, widened when shrinking, so that it does not alias (Parmar, Zhang and Zhu 2022 show what resizing without
    that does to a Fréchet distance).

    images: (N, C, n, n) uint8. Raises ValueError for images that are not square, whose shape would change.
    """
    count, channels, height, width = images.shape
    if height != width:
        raise ValueError(f"resolution: found images of {height} x {width} pixels, resized are square images only")
    if method not in RESIZES:
        raise ValueError(f"resize: found {method!r}, allowed are {', '.join(RESIZES)}")
    if height == resolution:
        return images
    resized = np.empty((count, channels, resolution, resolution), np.uint8)
    for start in range(0, count, BATCH_IMAGES):
        resized[start : start + BATCH_IMAGES] = RESIZES[method](images[start : start + BATCH_IMAGES], resolution)
    return resized


def _resize_area(images: np.ndarray, resolution: int) -> np.ndarray:
    size = images.shape[-1]
    old = np.arange(size) * resolution  # left edges, in units of 1 / (size * resolution)
    new = np.arange(resolution)[:, None] * size
    overlap = np.clip(np.minimum(old + resolution, new + size) - np.maximum(old, new), 0, None).astype(np.float64)
    total = overlap @ images.astype(np.float64) @ overlap.T  # exact: integers of at most 255 size^2, far below 2^53
    return np.floor((2 * total + size**2) / (2 * size**2)).astype(np.uint8)


def _resize_lanczos(images: np.ndarray, resolution: int) -> np.ndarray:
    from PIL import Image

    planes = images.reshape(-1, *images.shape[2:])
    side = (resolution, resolution)
    resized = [np.asarray(Image.fromarray(plane).resize(side, Image.Resampling.LANCZOS)) for plane in planes]
    return np.stack(resized).reshape(*images.shape[:2], *side)


RESIZES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"area": _resize_area, "lanczos": _resize_lanczos}


def digest(samples: SampleSet) -> str:
    """The SHA-256 of the samples' content in hex: type, shape and bytes of data and labels, in whatever file."""
    sha = hashlib.sha256()
    for array in (samples.data, samples.labels):
        if array is None:
            sha.update(b"none")
        else:
            array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(array.data)
    return sha.hexdigest()


def split(
    samples: SampleSet, sizes: Mapping[str, int], seed: int, rare: Mapping[int, float] | None = None
) -> dict[str, SampleSet]:
    """Disjoint parts of the samples, by name: the rows of one permutation, cut in the order of ``PARTS``.

    The permutation depends on ``seed`` and the number of samples alone, so that another size of a part moves no row of
    the parts before it. Rows may be left over. Every part has its raw rows in ``aux["row"]``, and its lineage names the
    source, its options, the digest of all the samples, the part and the seed.

    sizes: number of rows of each part; any of ``PARTS``, the others are empty and left out.
    rare: the share that a label is thinned to before all parts are cut, see :func:`thin`.
    Raises ValueError for an unknown part, a negative size, more rows than there are, and as :func:`thin` does.
    """
    order = seeds.generator(seed).permutation(len(samples))
    lineage = {**samples.lineage, "digest": digest(samples), "split_seed": seed}  # not the sizes: other parts may grow
    if rare:
        order = order[thin(samples.labels, rare, seed)[order]]
        lineage["rare"] = {str(label): share for label, share in rare.items()}
    check_sizes(sizes, len(order))
    parts, begin = {}, 0
    for part in PARTS:
        if part in sizes:
            rows = order[begin : begin + sizes[part]]
            begin += sizes[part]
            labels = None if samples.labels is None else samples.labels[rows]
            aux = {name: column[rows] for name, column in samples.aux.items()} | {"row": rows}
            parts[part] = SampleSet(samples.data[rows], labels, aux, {**lineage, "part": part})
    return parts


def thin(labels: np.ndarray | None, rare: Mapping[int, float], seed: int) -> np.ndarray:
    """Which samples stay so that labels are as rare as asked for: (N,) bool.

    All samples of other labels stay, m of them. Of a label with share s, round(m s / (1 - sum of the shares)) stay,
    chosen by ``seed``: so it has the share s of what is left, and on average of every part that is cut from that.

    labels: (N,) whole numbers. rare: label -> share, each above 0, together below 1.
    Raises ValueError for other shares, without labels, and for a label with fewer samples than its share needs.
    """
    if labels is None:
        raise ValueError("rare: the samples have no labels, needed to know which ones are rare")
    wrong = [share for share in rare.values() if not share > 0]
    if wrong or sum(rare.values()) >= 1:
        raise ValueError(f"rare: found {dict(rare)}, allowed are shares above 0 which sum to less than 1")
    stays = ~np.isin(labels, list(rare))
    others, rest = np.count_nonzero(stays), 1 - sum(rare.values())
    for label, share in rare.items():
        rows, count = np.flatnonzero(labels == label), round(others * share / rest)
        if not 0 < count <= len(rows):
            raise ValueError(
                f"rare: a share of {share:g} of label {label} beside {others} others is {count} samples, "
                f"allowed are 1 to {len(rows)}, which it has"
            )
        chance = seeds.generator(seeds.seed_of(seed, None, None, "rare", label))
        stays[chance.choice(rows, count, replace=False)] = True
    return stays


def check_sizes(sizes: Mapping[str, int], available: int) -> None:
    """Nothing, if ``available`` samples can be split into these sizes. Raises ValueError, as :func:`split` does."""
    for part, size in sizes.items():
        if part not in PARTS:
            raise ValueError(f"split: found the part {part!r}, allowed are {', '.join(PARTS)}")
        if size < 0:
            raise ValueError(f"split: found {part}: {size}, allowed is a number from 0")
    asked = sum(sizes.values())
    if asked > available:
        listed = ", ".join(f"{part} {sizes[part]}" for part in PARTS if part in sizes)
        raise ValueError(f"split: {asked} images were asked for ({listed}), but there are {available}")


# -- one picture ------------------------------------------------------------------------------------------------------


def decode(content: bytes, name: str, channels: int) -> np.ndarray:
    """The pixels of a PNG or JPEG file: (channels, H, W) uint8.

    Grey becomes colour by repetition, colour becomes grey by the luma of ITU-R BT.601; palettes and bilevel images are
    expanded; a transparency that hides nothing is dropped; an EXIF orientation is applied; colour profiles are ignored.
    Raises ValueError, which names the file, for what has no such rule: 16 bits a channel, CMYK, visible transparency,
    animations, other formats whatever their suffix says, more pixels than Pillow's limit against decompression bombs,
    and damaged files.
    """
    from PIL import Image, ImageOps

    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[24:25] == b"\x10":  # Pillow would cut colours to 8 bits unasked
        raise ValueError(f"{name!r}: has 16 bits a channel, allowed are 8")
    try:
        image = Image.open(io.BytesIO(content), formats=["PNG", "JPEG"])
        if image.width * image.height > Image.MAX_IMAGE_PIXELS:  # Pillow itself only warns, up to twice as many
            raise Image.DecompressionBombError
        image.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"{name!r}: has more than the {Image.MAX_IMAGE_PIXELS} pixels that are allowed") from None
    except Image.UnidentifiedImageError:
        raise ValueError(f"{name!r}: is neither PNG nor JPEG, which are allowed") from None
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error) as error:  # what Pillow raises for damaged files
        raise ValueError(f"{name!r}: is damaged: {error}") from None
    if getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"{name!r}: has {image.n_frames} frames, allowed is 1")
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            raise ValueError(f"{name!r}: has transparent pixels, allowed are opaque images")
        image = image.convert("RGB")
    if image.mode not in ("1", "L", "P", "RGB"):
        raise ValueError(f"{name!r}: has the colour mode {image.mode!r}, allowed are grey, RGB and palettes")
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _decoded(files: Iterable[tuple[str, bytes]], channels: int) -> Iterator[np.ndarray]:
    """The pixels of named files in order; Pillow lets other threads run while it decodes."""

    def pixels(part: list[tuple[str, bytes]]) -> list[np.ndarray]:
        return [decode(content, name, channels) for name, content in part]

    files = iter(files)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ahead: deque[Future[list[np.ndarray]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while part := list(islice(files, THREAD_IMAGES)):
                ahead.append(pool.submit(pixels, part))
                if len(ahead) > threads:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:  # also where the reader has had enough
            for task in ahead:
                task.cancel()


def encode(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file of (1 or 3, H, W) uint8 pixels; the same pixels give the same bytes."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(stream, "PNG")
    return stream.getvalue()


# -- what all sources share -------------------------------------------------------------------------------------------


class Dataset(BaseModel):
    """Real images: the fields say where they are and what is made of them.

    ``check`` lists what is missing and ``count`` says how many images there are, both without decoding pixels; ``load``
    reads. ``citation`` says whose data it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    citation: ClassVar[str]

    source: str
    resolution: int | None = Field(None, ge=1, le=4096, description="side of the images in pixels; None: as stored")
    resize: Resize = Field("area", description="how images come to that resolution")

    @abstractmethod
    def check(self) -> list[str]:
        """What keeps the data from being read, as messages that begin with the field; empty if nothing does."""

    @abstractmethod
    def count(self) -> int:
        """How many images ``load`` will return. Raises ValueError as ``load`` does."""

    @abstractmethod
    def stored_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of an image as stored, read from the first. Raises ValueError as ``load`` does."""

    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of an image as ``load`` returns it."""
        channels, height, width = self.stored_shape()
        return (channels, height, width) if self.resolution is None else (channels, self.resolution, self.resolution)

    @abstractmethod
    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Images (N, C, H, W) uint8 and labels (N,) or None, as stored."""

    def load(self) -> SampleSet:
        """The images, (N, C, H, W) uint8, with labels (N,) int64 or None, and with source and options as lineage.

        Raises ValueError for anything that ``check`` lists, and for contents that cannot be read as images.
        """
        self.require()
        images, labels = self.read()
        if self.resolution is not None:
            images = resize(images, self.resolution, self.resize)
        options = self.model_dump(mode="json", exclude={"source"})
        labels = None if labels is None else np.asarray(labels, np.int64)
        return SampleSet(images, labels, lineage={"source": self.source, "options": options})

    def fingerprint(self) -> str:
        """What tells one version of the files from another without reading all of them: a reason to prepare them again.

        DVC's own note of the content where there is one (``<path>.dvc``), else every file's name and size, and how it
        begins where files are few: those of other data may be as long. Dates do not count, a checkout touches them.
        """
        place = getattr(self, "path", None)
        if place is None:
            return "in the package"
        note = Path(f"{place}.dvc")
        if note.exists():
            return hashlib.sha256(note.read_bytes()).hexdigest()[:16]
        files = self.files()
        digest = hashlib.sha256()
        for file in files:
            digest.update(f"{file.relative_to(place)} {file.stat().st_size}\n".encode())
            if len(files) <= FEW_FILES:
                with file.open("rb") as stream:
                    digest.update(stream.read(BEGINNING_BYTES))
        return digest.hexdigest()[:16]

    def files(self) -> list[Path]:
        """The files under ``path`` that the data consist of, in order."""
        place = self.path
        return sorted(file for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file())

    def require(self) -> None:
        """Nothing. Raises ValueError with all faults that ``check`` lists."""
        if faults := self.check():
            raise ValueError("; ".join(faults))


def _missing(field: str, folder: Path, files: Iterable[str]) -> list[str]:
    """A message if the folder is not there, or else if any ``files`` are missing from it."""
    if not folder.is_dir():
        return [f"{field}: there is no folder {str(folder)!r}"]
    listed = ", ".join(files)
    return [f"{field}: the folder {str(folder)!r} has no {listed}"] if listed else []


# -- digits -----------------------------------------------------------------------------------------------------------


class Digits(Dataset):
    """The 1,797 handwritten digits of 8 by 8 pixels that scikit-learn's package carries; needs no download."""

    citation: ClassVar[str] = "Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI. CC BY 4.0."

    source: Literal["digits"] = "digits"

    def check(self) -> list[str]:
        file = self._file()
        return [] if file and file.is_file() else ["source: 'digits' needs scikit-learn, which carries them"]

    def count(self) -> int:
        self.require()
        return 1797

    def stored_shape(self) -> tuple[int, int, int]:
        return 1, 8, 8

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Values 0..16 become round(255 v / 16)."""
        with gzip.open(self._file(), "rt") as stream:
            table = np.loadtxt(stream, delimiter=",", dtype=np.int64)
        images = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8)
        return images.reshape(-1, 1, 8, 8), table[:, -1]

    @staticmethod
    def _file() -> Path | None:
        spec = importlib.util.find_spec("sklearn")  # finding costs nothing, importing sklearn.datasets 1.6 s
        return Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else None


# -- pictures: folders and zips of PNG and JPEG files -----------------------------------------------------------------


class _Pictures(Dataset):
    """What folders and zips share: names, labels and bytes in, images of one size out."""

    path: Path = Field(description="the folder or the zip")
    channels: Literal[1, 3] = Field(3, description="1 for grey, 3 for RGB; files of the other kind are converted")
    crop: Literal["none", "centre"] = Field("none", description="centre: cut the largest square from the middle first")

    @abstractmethod
    def listing(self) -> tuple[Sequence[str], Sequence[int] | None]:
        """The names of the images in order, and their labels. Raises ValueError for what cannot be listed."""

    @abstractmethod
    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        """The bytes of the named images, one after the other."""

    def check(self) -> list[str]:
        try:
            names, _ = self.listing()
        except ValueError as error:
            return [str(error)]
        return [] if names else [f"path: {str(self.path)!r} has no images; allowed are {', '.join(SUFFIXES)}"]

    def count(self) -> int:
        self.require()
        return len(self.listing()[0])

    def stored_shape(self) -> tuple[int, int, int]:
        self.require()
        name = self.listing()[0][0]
        return decode(next(iter(self.contents([name]))), name, self.channels).shape

    def pictures(self) -> Iterator[np.ndarray]:
        """The images in order, (channels, H, W) uint8, each of its own size, decoded by threads that run ahead.

        Only the few that are ahead lie in memory. Raises ValueError, as :func:`decode` and ``contents`` do.
        """
        names, _ = self.listing()
        return _decoded(zip(names, self.contents(names), strict=True), self.channels)

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Resized one by one, so that large pictures need not lie in memory together."""
        names, labels = self.listing()
        images: np.ndarray | None = None
        for row, (name, image) in enumerate(zip(names, self.pictures(), strict=True)):
            height, width = image.shape[1:]
            if self.crop == "centre":
                side = min(height, width)
                top, left = (height - side) // 2, (width - side) // 2
                image = image[:, top : top + side, left : left + side]
            elif self.resolution is not None and height != width:
                raise ValueError(
                    f"{name!r}: has {height} x {width} pixels, resized are square images; set crop: centre"
                )
            if self.resolution is not None:
                image = resize(image[None], self.resolution, self.resize)[0]
            if images is None:
                images = np.empty((len(names), *image.shape), np.uint8)
            if image.shape != images.shape[1:]:
                found, first = (" x ".join(map(str, shape[-2:])) for shape in (image.shape, images.shape))
                raise ValueError(
                    f"{name!r}: has {found} pixels, {names[0]!r} has {first}; set resolution to make them equal"
                )
            images[row] = image
        assert images is not None
        return images, None if labels is None else np.asarray(labels, np.int64)


def _labels_of(names: Sequence[str], text: bytes, where: str) -> list[int] | None:
    """The labels of the named images from the text of a ``dataset.json``: one integer an image, or None."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: is not JSON: {error}") from None
    pairs = content.get("labels") if isinstance(content, dict) else None
    if pairs is None:
        return None
    try:
        labels = dict(pairs)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: labels must be null or a list of [name, label]") from None
    if len(labels) < len(pairs):
        raise ValueError(f"{where}: has two labels for one image")
    if strangers := sorted(labels.keys() - set(names), key=str):  # keys may be of any type
        raise ValueError(f"{where}: has a label for {strangers[0]!r}, which is not among the images")
    for name in names:
        if name not in labels:
            raise ValueError(f"{where}: has no label for {name!r}")
        if type(labels[name]) is not int or not 0 <= labels[name] < 2**63:
            raise ValueError(f"{where}: found the label {labels[name]!r} of {name!r}, allowed are integers from 0")
    return [labels[name] for name in names]


class ImageFolder(_Pictures):
    """A folder of PNG and JPEG files.

    Labels are the sub-folders' places in sorted order (every sub-folder counts, also an empty one); a folder of files
    alone has no labels; a ``dataset.json`` in the folder, as in NVIDIA's zips, overrules both. Names that begin with a
    dot and files of other types are passed over. The order is that of the sorted names.
    """

    citation: ClassVar[str] = "The study's own images."

    source: Literal["folder"] = "folder"

    def listing(self) -> tuple[Sequence[str], Sequence[int] | None]:
        if missing := _missing("path", self.path, []):
            raise ValueError(missing[0])
        flat, folders = _pictures_in(self.path), sorted(_visible(self.path, os.DirEntry.is_dir))
        nested = [
            (name, label) for label, folder in enumerate(folders) for name in _pictures_in(self.path / folder, folder)
        ]
        described = self.path / "dataset.json"
        if described.is_file():
            names = sorted(flat + [name for name, _ in nested])
            return names, _labels_of(names, described.read_bytes(), f"path: {str(described)!r}")
        if flat and nested:
            raise ValueError(
                f"path: {str(self.path)!r} has images both beside and in its sub-folders, allowed is one of them"
            )
        return (flat, None) if flat else ([name for name, _ in nested], [label for _, label in nested])

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        return ((self.path / name).read_bytes() for name in names)


def _visible(folder: Path, kind: Callable[[os.DirEntry], bool]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from (entry.name for entry in entries if kind(entry) and not entry.name.startswith("."))


def _pictures_in(folder: Path, prefix: str = "") -> list[str]:
    names = (name for name in _visible(folder, os.DirEntry.is_file) if name.lower().endswith(SUFFIXES))
    return sorted(f"{prefix}/{name}" if prefix else name for name in names)


class DatasetZip(_Pictures):
    """A zip of PNG and JPEG files with a ``dataset.json``, as StyleGAN and EDM read them (Karras et al. 2020, 2022).

    ``dataset.json`` holds ``{"labels": [[name, label], ...]}``, or null for no labels. The order is that of the sorted
    names. Nothing is extracted; archives with encrypted, linked, doubled, absolute or climbing names are refused.
    """

    citation: ClassVar[str] = "The study's own images."

    source: Literal["zip"] = "zip"

    def listing(self) -> tuple[Sequence[str], Sequence[int] | None]:
        if not self.path.is_file():
            raise ValueError(f"path: there is no file {str(self.path)!r}")
        where = f"path: {str(self.path)!r}"
        with _open_zip(self.path) as archive:
            members = {}
            for member in archive.infolist():
                if fault := _member_fault(member) or ("doubled" if member.filename in members else None):
                    raise ValueError(f"{where}: the member {member.filename!r} is {fault}, which is refused")
                members[member.filename] = member
            names = sorted(name for name in members if name.lower().endswith(SUFFIXES))
            if "dataset.json" not in members:
                return names, None
            return names, _labels_of(names, _member_bytes(archive, "dataset.json"), f"{where}: dataset.json")

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        with _open_zip(self.path) as archive:
            for name in names:
                yield _member_bytes(archive, name)


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"path: {str(path)!r} is not a zip: {error}") from None


def _member_bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, zlib.error) as error:
        raise ValueError(f"path: {archive.filename!r}: the member {name!r} is damaged: {error}") from None


def _member_fault(member: zipfile.ZipInfo) -> str | None:
    name = member.filename
    steps = name.removesuffix("/").split("/")
    if any(step in ("", ".", "..") for step in steps) or any(letter in "\\:" or letter < " " for letter in name):
        return "a path out of the archive"
    if member.flag_bits & 0x1:
        return "encrypted"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if member.file_size > MEMBER_BYTES:
        return f"{member.file_size} bytes large, more than {MEMBER_BYTES}"
    return None


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
    if data.dtype != np.uint8 or data.ndim != 4 or data.shape[1] not in (1, 3):
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, exported are uint8 images (N, 1 or 3, H, W)")
    return [f"{row // 1000:05d}/img{row:08d}.png" for row in range(len(data))]


# -- MNIST's idx files ------------------------------------------------------------------------------------------------


class MnistIdx(Dataset):
    """The idx files of MNIST, and of the data sets that took over its format, plain or gzipped.

    An idx file is big-endian: two zero bytes, the type (8: unsigned byte), the number of axes, their lengths, the data.
    """

    citation: ClassVar[str] = "LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning. CC BY-SA 3.0."

    source: Literal["mnist_idx"] = "mnist_idx"
    path: Path = Field(description="folder with train-images-idx3-ubyte and its three companions, .gz or not")
    subset: Subset = Field("train", description="the published part: 60,000 to train, 10,000 to test")

    def check(self) -> list[str]:
        stems = [stem for pair in self._stems() for stem in pair]
        return _missing("path", self.path, (f"{stem}[.gz]" for stem in stems if _idx_file(self.path, stem) is None))

    def count(self) -> int:
        self.require()
        total = 0
        for images, _ in self._stems():
            with _idx(_idx_file(self.path, images), axes=3) as (shape, _stream):
                total += shape[0]
        return total

    def stored_shape(self) -> tuple[int, int, int]:
        self.require()
        images, _ = next(iter(self._stems()))
        with _idx(_idx_file(self.path, images), axes=3) as (shape, _stream):
            return 1, *shape[1:]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        images, labels = [], []
        for image_stem, label_stem in self._stems():
            images.append(_read_idx(_idx_file(self.path, image_stem), axes=3))
            labels.append(_read_idx(_idx_file(self.path, label_stem), axes=1))
            if len(images[-1]) != len(labels[-1]):
                raise ValueError(f"path: {str(self.path)!r} has {len(images[-1])} images, but {len(labels[-1])} labels")
        return np.concatenate(images)[:, None], np.concatenate(labels)

    def files(self) -> list[Path]:
        found = (_idx_file(self.path, stem) for pair in self._stems() for stem in pair)
        return sorted(file for file in found if file is not None)

    def _stems(self) -> list[tuple[str, str]]:
        prefixes = {"train": ["train"], "test": ["t10k"], "all": ["train", "t10k"]}[self.subset]
        return [(f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte") for prefix in prefixes]


def _idx_file(folder: Path, stem: str) -> Path | None:
    names = (stem, f"{stem}.gz", stem.replace("-idx", ".idx"), stem.replace("-idx", ".idx") + ".gz")
    return next((folder / name for name in names if (folder / name).is_file()), None)


@contextmanager
def _idx(path: Path, axes: int) -> Iterator[tuple[tuple[int, ...], IO[bytes]]]:
    """The shape that an idx file announces, and the stream from which its bytes are read next."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            header = stream.read(4 + 4 * axes)
            if len(header) < 4 + 4 * axes or header[:4] != bytes((0, 0, 8, axes)):
                allowed = f"00 00 08 {axes:02x}"
                raise ValueError(f"path: {str(path)!r} begins with {header[:4].hex(' ')!r}, allowed is {allowed!r}")
            yield tuple(np.frombuffer(header, ">u4", offset=4).tolist()), stream
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"path: {str(path)!r} is damaged: {error}") from None


def _read_idx(path: Path, axes: int) -> np.ndarray:
    with _idx(path, axes) as (shape, stream):
        size = math.prod(shape)
        if size > IDX_BYTES:  # asked before reading: that many bytes are set aside at once
            raise ValueError(f"path: {str(path)!r} announces {size} bytes of data, allowed are {IDX_BYTES}")
        content = stream.read(size + 1)
    if len(content) != size:
        found = f"{len(content)}" if len(content) < size else "more"
        raise ValueError(f"path: {str(path)!r} announces {size} bytes of data, but has {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)


# -- CIFAR-10's batches -----------------------------------------------------------------------------------------------


class Cifar10Batches(Dataset):
    """CIFAR-10 as its authors publish it: the Python version, which is pickled, or the binary version.

    A pickle is a program that its reader runs. These are read without the numpy that they ask for and without calling
    anything: :func:`read_batch` says how.
    """

    citation: ClassVar[str] = "Krizhevsky (2009), Learning multiple layers of features from tiny images. No licence."

    source: Literal["cifar10_batches"] = "cifar10_batches"
    path: Path = Field(description="folder with data_batch_1 to data_batch_5 and test_batch, .bin or not")
    subset: Subset = Field("train", description="the published part: 50,000 to train, 10,000 to test")

    def check(self) -> list[str]:
        return _missing("path", self.path, (f"{stem}[.bin]" for stem in self._stems() if self._file(stem) is None))

    def count(self) -> int:
        """Read from the files: their lengths are not in their names."""
        self.require()
        return sum(len(read_batch(self._file(stem))[1]) for stem in self._stems())

    def stored_shape(self) -> tuple[int, int, int]:
        return 3, 32, 32

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        images, labels = zip(*(read_batch(self._file(stem)) for stem in self._stems()), strict=True)
        return np.concatenate(images), np.concatenate(labels)

    def files(self) -> list[Path]:
        return sorted(file for file in map(self._file, self._stems()) if file is not None)

    def _stems(self) -> list[str]:
        train = [f"data_batch_{number}" for number in range(1, 6)]
        return {"train": train, "test": ["test_batch"], "all": [*train, "test_batch"]}[self.subset]

    def _file(self, stem: str) -> Path | None:
        return next((file for file in (self.path / stem, self.path / f"{stem}.bin") if file.is_file()), None)


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) uint8 and labels (N,) int64 of one CIFAR-10 batch.

    A ``.bin`` file is rows of one label byte and 3,072 pixel bytes. Any other file is a pickle of a dictionary with
    ``data`` and ``labels``, written by any version of Python or numpy. It is unpickled with every name that numpy's
    arrays are made of standing for one inert class, which keeps what it is given; the array is then put together
    here from its bytes. A pickle that asks for any other name is refused before anything is made of it.

    Raises ValueError for files of another form.
    """
    if path.suffix == ".bin":
        content = np.fromfile(path, np.uint8)
        if len(content) % 3073:
            raise ValueError(f"path: {str(path)!r} has {len(content)} bytes, allowed are rows of 3073")
        rows = content.reshape(-1, 3073)
        images, labels = rows[:, 1:], rows[:, 0].tolist()
    else:
        try:
            with open(path, "rb") as stream:
                content = _InertUnpickler(stream, encoding="bytes").load()
            content = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
            images, labels = _inert_array(content["data"]), list(content["labels"])
        except _BROKEN_PICKLE as error:
            raise ValueError(f"path: {str(path)!r} is not a batch of CIFAR-10: {error!r}") from None
    if images.shape != (len(labels), 3072) or not all(type(label) is int and 0 <= label < 10 for label in labels):
        raise ValueError(f"path: {str(path)!r} is not a batch of CIFAR-10: images {images.shape}, {len(labels)} labels")
    return images.reshape(-1, 3, 32, 32), np.array(labels, np.int64)


_BROKEN_PICKLE = (  # a pickle that is no batch raises nearly anything
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class _Inert:
    """Stands for whatever a pickle wants to call: keeps the arguments and the state, and does nothing."""

    def __init__(self, *arguments: Any):
        self.arguments, self.state = arguments, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


_INERT_NAMES = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),  # before numpy 2
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),  # pickle protocol 5
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),  # bytes, in protocols 0 to 2 written by Python 3
}


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Inert]:
        if (module, name) not in _INERT_NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")
        return _Inert


def _inert_array(value: _Inert) -> np.ndarray:
    """The uint8 array that an unpickled stand-in describes. Anything unexpected raises, whatever it raises."""
    if value.state is not None:  # _reconstruct(ndarray, (0,), b"b"), then the state
        _, shape, kind, fortran, content = value.state
        order = "F" if fortran else "C"
    else:  # _frombuffer(content, dtype, shape, order)
        content, kind, shape, order = value.arguments
    if isinstance(content, _Inert):  # _codecs.encode(text, "latin1")
        content = content.arguments[0].encode("latin1")
    if kind.arguments[0] not in ("u1", b"u1"):
        raise ValueError(f"data has the type {kind.arguments[0]!r}, allowed is 'u1'")
    return np.frombuffer(content, np.uint8).reshape(shape, order=order)


# -- torchvision ------------------------------------------------------------------------------------------------------


class Torchvision(Dataset):
    """MNIST, FashionMNIST or CIFAR10 in the folders where torchvision keeps them.

    The files are read by :class:`MnistIdx` and :class:`Cifar10Batches`; torchvision, and with it torch, is imported
    only to download them, and checks them by its own lists of hashes then.
    """

    citation: ClassVar[str] = "As mnist_idx and cifar10_batches; FashionMNIST: Xiao, Rasul and Vollgraf (2017), MIT."

    source: Literal["torchvision"] = "torchvision"
    name: Literal["MNIST", "FashionMNIST", "CIFAR10"]
    root: Path = Field(Path("data"), description="torchvision's root folder")
    subset: Subset = Field("train", description="the published part: to train, to test, or both")
    download: bool = Field(False, description="whether files that are missing may be downloaded")

    def check(self) -> list[str]:
        if self.download or not (missing := self._files().check()):
            return []
        where = missing[0].removeprefix("path: ")
        return [f"root: {self.name} is not there: {where}; put the files there, or set download: true"]

    def count(self) -> int:
        """Of the files, or the published number while they are not yet downloaded."""
        self.require()
        if not self._files().check():
            return self._files().count()
        train = 50_000 if self.name == "CIFAR10" else 60_000
        return {"train": train, "test": 10_000, "all": train + 10_000}[self.subset]

    def stored_shape(self) -> tuple[int, int, int]:
        return (3, 32, 32) if self.name == "CIFAR10" else (1, 28, 28)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        if self._files().check():
            self._download()
        return self._files().read()

    def fingerprint(self) -> str:
        """That of its own files; of those that may be downloaded the published name, before and after."""
        return f"{self.name} as published" if self.download else self._files().fingerprint()

    def _files(self) -> MnistIdx | Cifar10Batches:
        if self.name == "CIFAR10":
            return Cifar10Batches(path=self.root / "cifar-10-batches-py", subset=self.subset)
        return MnistIdx(path=self.root / self.name / "raw", subset=self.subset)

    def _download(self) -> None:
        try:
            getattr(import_torchvision().datasets, self.name)(self.root, download=True)
        except (OSError, RuntimeError) as error:
            raise OSError(f"download: {self.name} cannot be brought to {str(self.root)!r}: {error}") from error


DATASETS: dict[str, type[Dataset]] = {
    "digits": Digits,
    "folder": ImageFolder,
    "zip": DatasetZip,
    "mnist_idx": MnistIdx,
    "cifar10_batches": Cifar10Batches,
    "torchvision": Torchvision,
}
