"""Samples from anywhere, as they are measured: read, drawn, and known by their content."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from .. import store
from ..core import seeds
from ..core.kinds import kind_of
from ..core.progress import counted
from ..core.sets import SampleSet
from ..data.archive import DatasetZip
from ..data.digest import digest
from ..data.enlarging import enlarged
from ..data.folder import ImageFolder
from ..data.pictures import said_of
from ..store.outside import check_regular
from . import arrays, columns

READABLE = (
    "a folder or a .zip of PNG and JPEG images, a .npy array, one of an .npz (FILE.npz:NAME), "
    "a .safetensors sample set, or a .parquet file with a column image, vector or category"
)
Crop = Literal["none", "centre"]
CROPS: tuple[str, ...] = get_args(Crop)
KEPT_BYTES = 200 * 2**20  # of decoded pictures that are kept until they are looked at, as many as CIFAR-10 has
LOSSLESS, LOSSY = "without loss", "JPEG"


class Pictures:
    """The images of a folder or a zip, each of its own size, decoded while they are looked at and then let go.

    Iterating gives (C, H, W) uint8. All are decoded once before, by ``survey``: whatever cannot be read is told before
    any network runs. ``digest`` is the SHA-256 of all of them in hex, ``contents`` has a hash of each, and ``shapes``
    the shapes that occur.
    """

    def __init__(self, dataset: ImageFolder | DatasetZip, names: Sequence[str]):
        self.dataset, self.names = dataset, names
        self._found: tuple[str, list[bytes], set[tuple[int, ...]]] | None = None
        self._kept: list[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[np.ndarray]:
        self.survey()
        for image in self._kept if self._kept is not None else self.dataset.decoded(self.names):
            if isinstance(image, ValueError):
                raise image
            yield image

    def survey(self) -> None:
        """Decode all of them, if nobody has. Raises ValueError that names each that cannot be read."""
        if self._found is not None:
            return
        sha, contents, shapes, faults = hashlib.sha256(), [], set(), []
        kept: list[np.ndarray] = []
        size = 0
        for image in self.dataset.decoded(self.names):
            if isinstance(image, ValueError):
                faults.append(image)
                continue
            sha.update(f"{image.shape}".encode())
            sha.update(image.tobytes())
            contents.append(content_of(image))
            shapes.add(image.shape)
            size += image.nbytes
            if size <= KEPT_BYTES:
                kept.append(image)
        if faults:
            raise ValueError(f"path: {str(self.dataset.path)!r}: {said_of(faults, len(self.names))}")
        self._found = sha.hexdigest(), contents, shapes
        self._kept = kept if size <= KEPT_BYTES else None

    @property
    def digest(self) -> str:
        """The hash of all of them, in their order."""
        self.survey()
        return self._found[0]

    @property
    def contents(self) -> list[bytes]:
        """A hash of each."""
        self.survey()
        return self._found[1]

    @property
    def shapes(self) -> set[tuple[int, ...]]:
        """Their shapes."""
        self.survey()
        return self._found[2]


@dataclass(frozen=True)
class Pool:
    """Samples to be looked at, and where they come from.

    path: as it was said. said: what was read there and what was passed over, in a line. called: what the samples are
    called, where they have more than numbers. drawn: how some of them were chosen; empty where all are there.
    stored: whether images were stored without loss. enlarged: in words, how many images were smaller than the
    resolution that was asked for; empty where none was.
    """

    data: np.ndarray | Pictures
    lineage: Mapping[str, Any]
    path: Path = Path()
    said: str = ""
    called: Sequence[str] | None = None
    drawn: str = ""
    stored: str = LOSSLESS
    classes: Sequence[str] = field(default=())
    enlarged: str = ""

    @property
    def kind(self) -> str:
        """What they are: images, vectors or categories."""
        return "images" if isinstance(self.data, Pictures) else kind_of(self.data)

    @property
    def digest(self) -> str:
        """The hash of their content in their order."""
        return self.data.digest if isinstance(self.data, Pictures) else digest(SampleSet(self.data))

    @cached_property
    def contents(self) -> list[bytes]:
        """A hash of the content of each sample, wherever it lies and however it is called."""
        if isinstance(self.data, Pictures):
            return self.data.contents
        return [content_of(row) for row in counted(self.data, "samples")]

    @cached_property
    def content(self) -> str:
        """The hash of their content in whatever order and file."""
        if self.kind == "categories":
            return hashlib.sha256(np.sort(self.data).tobytes()).hexdigest()
        return hashlib.sha256(b"".join(sorted(self.contents))).hexdigest()

    @property
    def shapes(self) -> set[tuple[int, ...]]:
        """The shapes of single samples."""
        return self.data.shapes if isinstance(self.data, Pictures) else {self.data.shape[1:]}

    @property
    def shape(self) -> str:
        """The shape of one sample."""
        return str(next(iter(self.shapes))) if len(self.shapes) == 1 else "various"

    @property
    def resize(self) -> str:
        """How the samples were made as large as they are."""
        options = self.lineage.get("options", {})
        cut = "" if options.get("crop", "none") == "none" else f"{options['crop']}, "
        sized = f"{options['resize']} to {options['resolution']}" if options.get("resolution") else ""
        return f"{cut}{sized}".removesuffix(", ") or "none"

    @property
    def channels(self) -> int:
        """1 of grey images, 3 of colours; 0 of what is no image."""
        if isinstance(self.data, Pictures):
            return self.data.dataset.depth(self.data.names)
        return self.data.shape[1] if self.kind == "images" else 0

    def in_colour(self) -> "Pool":
        """Grey images with three channels, all alike."""
        if self.channels != 1:
            return self
        if isinstance(self.data, Pictures):
            dataset = self.data.dataset.model_copy(update={"channels": 3})
            return replace(self, data=Pictures(dataset, self.data.names))
        return replace(self, data=np.repeat(self.data, 3, axis=1))


def content_of(sample: np.ndarray) -> bytes:
    """A hash of one sample: of an image's pixels, of grey ones once, or of numbers as float64."""
    if sample.ndim == 3:
        if len(sample) == 3 and np.array_equal(sample[0], sample[1]) and np.array_equal(sample[0], sample[2]):
            sample = sample[:1]
    elif sample.dtype.kind == "f":
        sample = sample.astype("<f8")
    return hashlib.sha256(f"{sample.shape}".encode() + np.ascontiguousarray(sample).tobytes()).digest()[:16]


def shared(one: Pool, other: Pool) -> int:
    """How many samples of one are in the other, too. Of categories none: they are few, and all of them recur."""
    if "categories" in (one.kind, other.kind):
        return 0
    return (Counter(one.contents) & Counter(other.contents)).total()


# -- reading -----------------------------------------------------------------------------------------------------------


def read(
    path: Path,
    *,
    resolution: int | None = None,
    crop: Crop = "none",
    channels: int | None = None,
    count: int | None = None,
    seed: int = 0,
    streamed: bool = False,
) -> Pool:
    """The samples at a path.

    A folder or zip holds PNG and JPEG images, which become (N, channels, H, W) uint8, grey where all of them are and
    nothing else is asked for; ``resolution`` shrinks them by the mean of the pixels, as the data sets of a study are,
    and the ``crop`` of ``centre`` cuts them to squares before.
    An array is (N, H, W), (N, H, W, C) or (N, C, H, W) uint8 with one or three channels, (N, d) float, or (N,) whole
    numbers; a Parquet file has a column of PNG or JPEG files of one size, of such vectors, or of such whole numbers; an
    .npz of several is asked for ``arr_0``, or for the one that the path names: ``real.npz:images``.

    count: draw so many by the ``seed``, in their order: many folders and arrays are sorted by class. streamed: leave
    the images of folders and zips where they are and in their own sizes, as published networks can look at them, if
    neither a resolution nor a crop is asked for.
    Raises ValueError for anything else, and Foreign for an array's file that holds none.
    """
    path = Path(path)
    file, _ = arrays.located(path)
    suffix, stored = file.suffix.lower(), LOSSLESS
    if file.exists():
        check_regular(file, may_be_folder=True)
    if suffix in (".safetensors", columns.SUFFIX, *arrays.SUFFIXES):
        _expect_as_it_is(path, resolution, crop)
    if path.is_dir() or suffix == ".zip":
        return _of_pictures(path, {"resolution": resolution, "crop": crop, "channels": channels}, count, seed, streamed)
    if suffix == ".safetensors":
        samples = store.read_samples(path)
        data, lineage, name = samples.data, samples.lineage, None
        if not data.size:
            raise ValueError(f"{path}: found no samples, needed is at least 1")
    elif suffix == columns.SUFFIX and file.exists():
        column = columns.read(path, channels)
        data, lineage, name = arrays.as_samples(column.data, path), {"source": "parquet", "options": {}}, None
        stored = _stored(column.kinds) if column.kinds else LOSSLESS
    elif suffix in arrays.SUFFIXES:
        found, name = arrays.read(path)
        data, lineage = arrays.as_samples(found, path), {"source": "array", "options": {}}
    else:
        found = "no such file" if not path.exists() else "found another format"
        raise ValueError(f"{path}: {found}; allowed: {READABLE}")
    found = _of_rows(data, lineage, path, f" of the array {name!r}" if name else "", count, seed)
    return replace(found, stored=stored)


def of_array(
    array: np.ndarray,
    path: Path,
    *,
    resolution: int | None = None,
    crop: Crop = "none",
    channels: int | None = None,
    count: int | None = None,
    seed: int = 0,
    streamed: bool = False,
) -> Pool:
    """An array as :func:`read` reads it from a file. path: what it is called. Raises ValueError for other arrays."""
    _expect_as_it_is(path, resolution, crop)
    return _of_rows(arrays.as_samples(array, path), {"source": "array", "options": {}}, path, "", count, seed)


def _expect_as_it_is(path: Path, resolution: int | None, crop: Crop) -> None:
    """Raise ValueError where something of an array is asked for that is done with pictures alone."""
    for asked, found in (("resolution", resolution), ("crop", None if crop == "none" else crop)):
        if found is not None:
            raise ValueError(f"{path}: found an array and a {asked} of {found}; allowed for folders and zips only")


def _of_rows(data: np.ndarray, lineage: Mapping[str, Any], path: Path, of: str, count: int | None, seed: int) -> Pool:
    rows, drawn = _drawn(len(data), count, seed)
    said = f"{len(data)} samples{of}, {data.dtype} of shape {data.shape[1:]}"
    return Pool(data if rows is None else data[rows], lineage, path, _with(said, drawn, len(data), count), None, drawn)


def dataset_at(path: Path, **options: Any) -> ImageFolder | DatasetZip | None:
    """The folder or zip of pictures that a path is; None for a file of another kind."""
    if not path.is_dir() and path.suffix.lower() != ".zip":
        return None
    return (ImageFolder if path.is_dir() else DatasetZip)(path=path, **options)


def _of_pictures(path: Path, form: Mapping[str, Any], count: int | None, seed: int, streamed: bool) -> Pool:
    dataset = dataset_at(path, **form, labels="ignore")
    dataset.require()
    found = dataset.listing()
    rows, drawn = _drawn(len(found.names), count, seed)
    names = found.names if rows is None else [found.names[row] for row in rows]
    stored = _stored(dataset.kinds(names))
    lineage: dict[str, Any] = {"source": dataset.source, "options": {}}
    if streamed and form["resolution"] is None and form["crop"] == "none":
        data = Pictures(dataset, names)
    else:
        data = dataset.stacked(names)
        lineage["options"] = dataset.model_dump(mode="json")
    said = _with(found.said, drawn, len(found.names), count)
    larger = "" if form["resolution"] is None else _enlarged(dataset, names, form["resolution"])
    return Pool(data, lineage, path, said, names, drawn, stored, found.classes, larger)


def _enlarged(dataset: ImageFolder | DatasetZip, names: Sequence[str], resolution: int) -> str:
    if (found := enlarged(dataset, names, resolution)) is None:
        return ""
    return (
        f"{found} are smaller than {resolution} x {resolution} pixels and were enlarged, which adds no detail that a "
        f"metric could see; --resolution {found.least} enlarges none"
    )


def _stored(kinds: Counter[str]) -> str:
    lossy, lossless = kinds["JPEG"] > 0, kinds["PNG"] > 0
    return f"{LOSSY} and {LOSSLESS}" if lossy and lossless else LOSSY if lossy else LOSSLESS


def _drawn(there: int, count: int | None, seed: int) -> tuple[np.ndarray | None, str]:
    """The rows that are drawn, in order, and in words how; None and nothing where all are taken."""
    if count is None or count >= there:
        return None, ""
    rows = np.sort(seeds.generator(seed).permutation(there)[:count])
    return rows, f"{count} of {there} by seed {seed}"


def _with(said: str, drawn: str, there: int, count: int | None) -> str:
    if count is not None and there < count:
        return f"{said}; all taken, which are fewer than --count {count}"
    return f"{said}; drawn: {drawn}" if drawn else said


def kind_at(path: Path) -> str:
    """What the samples at a path are, of pictures without looking at them."""
    return "images" if dataset_at(Path(path)) else read(path).kind
