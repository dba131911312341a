"""Samples that no study made: folders, zips and arrays of anybody, measured as a study's own are."""

import hashlib
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from .. import store
from ..core.errors import Foreign, Undefined
from ..core.kinds import kind_of_shape
from ..core.registry import usable
from ..core.sets import SampleSet
from ..core.spreadsheet import csv_text
from ..data.archive import DatasetZip
from ..data.digest import digest
from ..data.folder import ImageFolder
from ..features import FEATURES, Features
from ..metrics import METRICS, SCORES
from .compare import aligned
from .record import Measurement, Role

READABLE = "a folder or a .zip of PNG and JPEG images, a .npy or .npz array, or a .safetensors sample set"
RATIO_MAX = 1000  # of a compressed array; images of nothing but black come near


@dataclass(frozen=True)
class Look:
    """An extractor as it is used once: what it looks with, its options, and what belongs into the fingerprint."""

    weights: Any
    options: Mapping[str, Any]
    facts: Mapping[str, Any]


class Pictures:
    """The images of a folder or a zip, each of its own size, decoded while they are looked at and then let go.

    Iterating gives (C, H, W) uint8, calls ``tell`` for each if it is set and, at its end, sets ``digest``, the SHA-256
    of all of them in hex.
    """

    digest: str
    tell: Callable[[], object] | None = None

    def __init__(self, dataset: ImageFolder | DatasetZip, count: int | None):
        self.dataset = dataset
        there = dataset.count()
        self.count = there if count is None else min(there, count)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[np.ndarray]:
        sha = hashlib.sha256()
        for image in islice(self.dataset.pictures(), self.count):
            sha.update(f"{image.shape}".encode())
            sha.update(image.tobytes())
            if self.tell is not None:
                self.tell()
            yield image
        self.digest = sha.hexdigest()


class Pool(NamedTuple):
    """Samples to be looked at, and where they come from."""

    data: np.ndarray | Pictures
    lineage: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What they are: images, vectors or categories."""
        return "images" if isinstance(self.data, Pictures) else kind_of_shape(self.data.shape[1:])

    @property
    def digest(self) -> str:
        """The hash of their content; of pictures once all were looked at."""
        return self.data.digest if isinstance(self.data, Pictures) else digest(SampleSet(self.data))

    @property
    def shape(self) -> str:
        """The shape of one sample."""
        return "various" if isinstance(self.data, Pictures) else str(self.data.shape[1:])

    @property
    def resize(self) -> str:
        """How the samples were made as large as they are."""
        options = self.lineage.get("options", {})
        return f"{options['resize']} to {options['resolution']}" if options.get("resolution") else "none"


def read(
    path: Path,
    *,
    resolution: int | None = None,
    channels: int = 3,
    count: int | None = None,
    streamed: bool = False,
) -> Pool:
    """The samples at a path.

    A folder or zip holds PNG and JPEG images, which become (N, channels, H, W) uint8; ``resolution`` shrinks them by
    the mean of the pixels, as the data sets of a study are. An array is (N, H, W), (N, H, W, C) or (N, C, H, W) uint8
    with one or three channels, (N, d) float, or (N,) whole numbers; of an .npz the first array counts.

    count: take the first so many. streamed: leave the images of folders and zips where they are and in their own sizes,
    as published networks can look at them, if no resolution is asked for.
    Raises ValueError for anything else, and Foreign for an array's file that holds none.
    """
    path = Path(path)
    if resolution is not None and path.suffix in (".safetensors", ".npy", ".npz"):
        raise ValueError(f"{path}: found an array and a resolution of {resolution}; allowed for folders and zips only")
    if path.suffix == ".safetensors":
        samples = store.read_samples(path)
        if not samples.data.size:
            raise ValueError(f"{path}: found no samples, needed is at least 1")
        return Pool(samples.data[:count], samples.lineage)
    if path.is_dir() or path.suffix == ".zip":
        kind = ImageFolder if path.is_dir() else DatasetZip
        dataset = kind(path=path, resolution=resolution, channels=channels)
        if streamed and resolution is None:
            return Pool(Pictures(dataset, count), {"source": dataset.source, "options": {}})
        samples = dataset.load()
        return Pool(samples.data[:count], samples.lineage)
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(
            f"{path}: {'no such file' if not path.exists() else 'found another format'}; allowed: {READABLE}"
        )
    return Pool(_as_samples(_array(path), path)[:count], {"source": "array", "options": {}})


def _array(path: Path) -> np.ndarray:
    """The array of an .npy file, or the first of an .npz. Raises Foreign for other content."""
    try:
        if not zipfile.is_zipfile(path):
            with open(path, "rb") as stream:
                return _whole_array(stream, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            member = archive.infolist()[0]
            if member.file_size > 2**20 + RATIO_MAX * member.compress_size:
                raise ValueError(f"{member.compress_size} bytes would become {member.file_size}")
            with archive.open(member) as stream:
                return _whole_array(stream, member.file_size)
    except OSError:
        raise
    # What the readers of headers and of zips raise of content that nobody wrote with numpy.
    except (Exception, MemoryError) as error:
        said = " ".join(str(error).split())[:200]
        raise Foreign(path, f"{path}: cannot be read as an array of numbers: {said}") from None


def _whole_array(stream: IO[bytes], size: int) -> np.ndarray:
    """The array that a stream of so many bytes holds; its shape is compared with them before memory is taken."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject or any(length < 0 for length in shape):
        raise ValueError(f"found {dtype} of shape {shape}; objects are not read")
    if math.prod(shape) * dtype.itemsize > size - stream.tell():
        raise ValueError(f"found {dtype} of shape {shape} in {size} bytes")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _as_samples(array: np.ndarray, path: Path) -> np.ndarray:
    """An array in the shape and type of a sample set's data."""
    if not array.size:
        raise ValueError(f"{path}: found no numbers, in an array of shape {array.shape}; needed is at least 1")
    if array.dtype == np.uint8 and array.ndim == 3:
        return array[:, None]
    if array.dtype == np.uint8 and array.ndim == 4:
        if array.shape[1] in (1, 3):
            return array
        if array.shape[3] in (1, 3):
            return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    if array.dtype.kind == "f" and array.ndim == 2:
        return array.astype(np.float64 if array.dtype == np.float64 else np.float32)
    if array.dtype.kind in "iu" and array.ndim == 1:
        return array.astype(np.int64)
    raise ValueError(
        f"{path}: found {array.dtype} of shape {array.shape}; allowed are uint8 images (N, H, W), (N, H, W, C) or "
        "(N, C, H, W) with one or three channels, float vectors (N, d), and whole numbers (N,)"
    )


def usual_extractor(path: Path) -> str:
    """The extractor that the samples at a path are looked at with, unless another is asked for."""
    return "inception" if read(path, streamed=True).kind == "images" else "identity"


def names(path: Path) -> list[str] | None:
    """What the samples at a path are called, in order; None where they have only numbers."""
    if Path(path).is_dir():
        return list(ImageFolder(path=path).listing()[0])
    return list(DatasetZip(path=path).listing()[0]) if Path(path).suffix == ".zip" else None


def lacks(name: str, extractors: Iterable[str], kind: str, with_train: bool) -> str | None:
    """What keeps a metric from being measured in any of these feature spaces, of data of a kind; None for nothing."""
    metric = METRICS[name]
    suited = [extractor for extractor in extractors if metric.suits(extractor)]
    if not suited:
        return f"means nothing in {', '.join(extractors)}"
    if not any(FEATURES[extractor].tells(metric.reads, kind) for extractor in suited):
        return f"reads {metric.reads}, which {', '.join(suited)} does not tell"
    if metric.reads == "values" and kind == "categories" and not metric.extractors:
        return "measures distances, and categories have none"
    if metric.against == "training_set":
        return "is about the training sets of a study"
    return "needs --train" if metric.against == "train" and not with_train else None


def measured(
    fake: Pool,
    real: Pool,
    train: Pool | None,
    looks: Mapping[str, Look],
    metrics: Mapping[str, Mapping[str, Any]],
    place: Callable[[str, Features], Features],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The record of samples that are compared with real ones, and the scores of every sample as named columns.

    train: the real samples that the model was trained on, for metrics that look for copies of them; as many of these as
    there are fakes are measured too, as the set ``real``: what a perfect model would score. place: where the features
    of an extractor are computed on.
    """
    pools = {"sampled": fake, "held_out": real} | ({"train": train} if train else {})
    reals, fakes, columns, digests = {}, {}, {}, {}
    for name, look in looks.items():
        seen = {
            role: place(name, FEATURES[name].extract(pool.data, look.weights, **look.options))
            for role, pool in pools.items()
        }
        if len({found.values.shape[1] for found in seen.values()}) > 1:
            shapes = " and ".join(dict.fromkeys(pool.shape for pool in pools.values()))
            raise ValueError(f"{name}: found samples of shapes {shapes}, allowed is one: see --channels, --resolution")
        digests = digests or {role: pool.digest for role, pool in pools.items()}  # known once all were looked at
        fakes["sampled", name] = seen.pop("sampled")
        reals |= {(part, name): Role(found, digests[part], pools[part].resize) for part, found in seen.items()}
        columns |= _scores(name, seen, fakes["sampled", name])
    measurement = Measurement(metrics, reals, {name: look.facts for name, look in looks.items()})
    maker = fake.lineage.get("model_options", {}) | dict(fake.lineage)
    values, fingerprints = measurement.of_samples(fakes, {"sampled": maker})
    if train:
        of_real, made = measurement.of_reality(len(fakes["sampled", next(iter(looks))]))
        values, fingerprints = values + of_real, fingerprints | made
    values.sort(key=lambda entry: list(looks).index(entry["extractor"]))
    return {"status": "ok", "lineage": digests, "values": values, "fingerprints": fingerprints}, columns


def _scores(name: str, seen: Mapping[str, Features], fake: Features) -> dict[str, np.ndarray]:
    """The scores of every sample, as far as the real samples that they need are there; nan where undetermined."""
    columns = {}
    for score, entry in usable(SCORES):
        if entry.against in seen and entry.suits(name):
            try:
                columns[f"{score}.{name}"] = entry(seen[entry.against], fake)
            except Undefined:
                columns[f"{score}.{name}"] = np.full(len(fake), np.nan)
    return columns


# -- what is said of it ------------------------------------------------------------------------------------------------


def table(record: Mapping[str, Any], fake: str, real: str) -> str:
    """The record in words, a block for each feature space: value, 95 % interval, or why there is no value.

    Beside it stands what real data score in the samples' place, where that was measured.
    """
    sets: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {"sampled": {}, "real": {}}
    for entry in record["values"]:
        sets[entry["set"]][entry["extractor"], entry["metric"]] = entry
    lines = []
    for extractor in dict.fromkeys(space for space, _ in sets["sampled"]):
        own = [entry for (space, _), entry in sets["sampled"].items() if space == extractor]
        made = record["fingerprints"][own[0]["fingerprint"]]
        lines += [f"{extractor}: {made['n_fake']} samples of {fake} against {made['n_real']} of {real}{_facts(made)}"]
        beside = [("real data", *(_value(sets["real"].get((extractor, entry["metric"]))) for entry in own))]
        columns = [
            ("metric", *(entry["metric"] for entry in own)),
            ("better", *(METRICS[entry["metric"].split(".")[0]].better or "" for entry in own)),
            ("value", *(_value(entry) for entry in own)),
            *(beside if sets["real"] else []),
            ("95 % interval", *(_interval(entry) for entry in own)),
        ]
        lines += [f"  {line}" for line in aligned(list(zip(*columns, strict=True)))] + [""]
    if sets["real"]:
        most = max(record["fingerprints"][entry["fingerprint"]]["n_fake"] for entry in sets["real"].values())
        lines.append(f"real data: up to {most} other real samples in the place of these: what a perfect model scores")
    else:
        lines.append(
            "With --train, the real samples that the model learnt from, what a perfect one scores stands beside"
        )
    return "\n".join(lines)


def _value(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    return "undefined" if entry["value"] is None else f"{entry['value']:.6g}"


def _interval(entry: Mapping[str, Any]) -> str:
    """The interval, or the reason why there is no value."""
    return entry.get("reason") or (f"{entry['low']:.4g} to {entry['high']:.4g}" if "low" in entry else "")


def _facts(made: Mapping[str, Any]) -> str:
    """How the extractor looked, where there is something to tell."""
    facts = {key.removeprefix("extractor_"): value for key, value in made.items() if key.startswith("extractor_")}
    words = [f"{key} {value[:8] if key == 'weights' else value}" for key, value in facts.items() if value is not None]
    return f" ({', '.join(words)})" if words else ""


def csv_of(columns: Mapping[str, np.ndarray], called: list[str] | None) -> str:
    """Scores as CSV, a row for each sample; a score that a sample does not have is left empty."""
    numbers = zip(*([float(n) if np.isfinite(n) else None for n in column] for column in columns.values()), strict=True)
    rows = ([called[index] if called else index, *row] for index, row in enumerate(numbers))
    return csv_text(["sample", *columns], rows)
