"""Clips of recorded sound: a folder of WAV files, cut into pieces of one length that are loud enough."""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ..core import sound
from ..core.kinds import KindName
from ..core.sets import SampleSet
from ..store.outside import Budget, bytes_on_disk
from .base import Dataset
from .wav import Heading, heading

NAMED = 20  # files that a message names
LARGEST_BYTES = 500_000_000  # of one file: two and a half hours of a disc's sound
LOUDEST = 4.0  # of floating-point files, which may pass full scale by some decibels
EXPANSION = 24  # bytes in memory for one in a file, while it is read: numbers of eight bytes, three times
Stamps = tuple[tuple[str, int, int], ...]


class Cut(NamedTuple):
    """What a folder was cut into: pieces (n, samples) float32, the file of each, and what was left out."""

    clips: np.ndarray
    files: np.ndarray
    quiet: int
    rests: int
    faults: tuple[str, ...]


class Clips(Dataset):
    """WAV files of any rate, cut into clips of one length; those that are too quiet are left out, and counted.

    Several channels become their mean, and other rates become 8 kHz (``scipy.signal.resample_poly``).
    """

    citation: ClassVar[str] = "Your own recordings."
    gives: ClassVar[KindName] = "audio"

    source: Literal["clips"] = "clips"
    path: Path = Field(description="folder of WAV files, with or without sub-folders")
    frames: int = Field(32, ge=4, le=256, description="frames of a clip, 16 milliseconds each: 32 are .512 seconds")
    bands: int = Field(32, ge=16, le=64, description="mel bands of its picture")
    rms: float = Field(
        0.02, ge=0, le=1, description="least root mean square of a clip, 1 at full scale; quieter ones are left out"
    )
    labels: Literal["none", "folder"] = Field(
        "none", description="folder: each sub-folder of the path is a class, in the order of their names"
    )
    resolution: None = Field(None, description="of images alone")
    resize: Literal["area"] = Field("area", description="of images alone")

    def check(self) -> list[str]:
        """What keeps the clips from being read: all files at once that are no WAV files, by their headers.

        What is wrong with the sound itself, or too quiet, is found where it is read.
        """
        if not self.path.is_dir():
            return [f"path: there is no folder {str(self.path)!r}"]
        if not (files := self.files()):
            return [f"path: the folder {str(self.path)!r} has no WAV files"]
        if self.labels == "folder" and (loose := [file.name for file in files if file.parent == self.path]):
            return [f"labels: found files beside the folders of classes: {_listed(loose)}; allowed is 'none'"]
        found = self._headings()
        if faults := [f"{file} ({said})" for file, said in found.items() if isinstance(said, str)]:
            return [_unreadable(faults, len(files))]
        if not self._longest():
            length = self.frames * sound.HOP / sound.RATE
            return [f"path: no file of {str(self.path)!r} is as long as a clip of {length:.3g} s; say fewer frames"]
        return []

    def _headings(self) -> dict[Path, Heading | str]:
        """What the header of each file says, or what keeps it from being read."""
        return _headings_of(str(self.path), self._stamps())

    def _longest(self) -> int:
        """How many clips there are where none is too quiet, by the headers."""
        told = [one for one in self._headings().values() if isinstance(one, Heading)]
        return sum(-(-one.samples * sound.RATE // one.rate) // (self.frames * sound.HOP) for one in told)

    def count(self) -> int:
        self.require()
        return len(self._heard().clips)

    def at_most(self) -> int:
        """How many clips the headers tell of; those that are too quiet are found where the sound is read."""
        self.require()
        return self._longest()

    def stored_shape(self) -> tuple[int, int, int]:
        return 1, self.bands, self.frames

    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """The shape of a clip's picture, (bands, frames)."""
        return self.bands, self.frames

    def labelled(self) -> int:
        self.require()
        return len(self._classes()) if self.labels == "folder" else 0

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The log-mel pictures, (N, bands, frames) float32, and the number of each one's folder, or None."""
        cut, files = self._heard(), self.files()
        labels = None
        if self.labels == "folder":
            names = self._classes()
            of_file = np.array([names.index(file.relative_to(self.path).parts[0]) for file in files], np.int64)
            labels = of_file[cut.files]
        return sound.pictures_of(cut.clips, self.bands), labels

    def load(self) -> SampleSet:
        """The log-mel pictures, (N, bands, frames) float32, with labels (N,) int64 or None, and in the lineage source,
        options, and what was left out.

        Raises ValueError for anything that ``check`` lists.
        """
        self.require()
        pictures, labels = self.read()
        lineage = {"source": self.source, "options": self.model_dump(mode="json"), "cut": self.said()}
        lineage["log_mel"] = sound.told(self.shape())
        return SampleSet(pictures, labels, {"file": self.cut().files}, lineage)

    def files(self) -> list[Path]:
        """The WAV files, in order; hidden ones are left out."""
        return [file for file in self._seen() if file.suffix.lower() == ".wav"]

    def _seen(self) -> list[Path]:
        """All files, in order, but those that are hidden or in a hidden folder."""
        return sorted(
            file
            for file in self.path.rglob("*")
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(self.path).parts)
        )

    def said(self) -> str:
        """What the folder was cut into, in words."""
        cut = self.cut()
        found = (
            f"{len(cut.clips):,} clips of {self.frames * sound.HOP / sound.RATE:.3g} s in {len(self.files()):,} files"
        )
        others = len(self._seen()) - len(self.files())
        left_out = f"{cut.quiet:,} quieter than rms {self.rms:g}, {cut.rests:,} rests that are shorter"
        return f"{found}; left out: {left_out}, {others:,} files that are no WAV files"

    def summary(self) -> str:
        """What the folder was cut into, and which files had other rates."""
        rates = Counter(one.rate for one in self._headings().values() if isinstance(one, Heading))
        others = ", ".join(f"{many:,} at {rate:,} Hz" for rate, many in sorted(rates.items()) if rate != sound.RATE)
        return self.said() + (f"; brought to {sound.RATE:,} Hz: {others}" if others else "")

    def cut(self) -> Cut:
        """The folder's sound, cut; read once as long as its files are the same."""
        return _cut(str(self.path), self._stamps(), self.frames * sound.HOP, self.rms)

    def _stamps(self) -> Stamps:
        """What tells whether a file is still the same: its name, its size, and when it was written."""
        return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files())

    def _heard(self) -> Cut:
        """The same. Raises ValueError that names all files that cannot be read, and where every clip is too quiet."""
        cut = self.cut()
        if cut.faults:
            raise ValueError(_unreadable(cut.faults, len(self.files())))
        if not len(cut.clips):
            raise ValueError(f"rms: found {self.rms:g}, by which no clip of {self.path} is left ({self.said()})")
        return cut

    def _classes(self) -> list[str]:
        return sorted({file.relative_to(self.path).parts[0] for file in self.files()})


@lru_cache(maxsize=2)
def _headings_of(folder: str, stamps: Stamps) -> dict[Path, Heading | str]:
    found: dict[Path, Heading | str] = {}
    budget = Budget(f"path: {folder!r}")
    for file in (Path(name) for name, _, _ in stamps):
        try:
            with held(budget, file):
                found[file.relative_to(folder)] = heading(file)
        except ValueError as error:
            found[file.relative_to(folder)] = str(error)
    return found


@lru_cache(maxsize=2)
def _cut(folder: str, stamps: Stamps, length: int, rms: float) -> Cut:
    clips, files, faults, quiet, rests, budget = [], [], [], 0, 0, Budget(f"path: {folder!r}")
    for number, (name, _, _) in enumerate(stamps):
        file = Path(name)
        try:
            with held(budget, file):
                whole = heard_of(file)
        except ValueError as error:
            faults.append(f"{file.relative_to(folder)} ({error})")
            continue
        pieces = whole[: len(whole) // length * length].reshape(-1, length)
        loud = np.sqrt(np.square(pieces, dtype=np.float64).mean(axis=1)) >= rms
        clips.append(pieces[loud])
        files.append(np.full(np.count_nonzero(loud), number, np.int64))
        quiet += np.count_nonzero(~loud)
        rests += len(whole) % length > 0
    cut = np.concatenate(clips) if clips else np.empty((0, length), np.float32)
    return Cut(cut, np.concatenate(files) if files else np.empty(0, np.int64), quiet, rests, tuple(faults))


@contextmanager
def held(budget: Budget, file: Path) -> Iterator[None]:
    """While a file's sound lies in memory. Raises ValueError for a file of holes, and for one that is too large."""
    if file.stat().st_size > LARGEST_BYTES:
        raise ValueError(f"has {file.stat().st_size:,} bytes, allowed are {LARGEST_BYTES:,}")
    taken = budget.take(EXPANSION * file.stat().st_size, bytes_on_disk(file), file.name)
    try:
        yield
    finally:
        budget.give(taken)


def heard_of(file: Path) -> np.ndarray:
    """The sound of a WAV file at sound.RATE, the mean of its channels: (samples,) float32, 1 at full scale.

    Raises ValueError for a file that is none, or has no sound.
    """
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of chunks that are no sound, such as the names of songs
            rate, data = wavfile.read(file)
    except Exception as error:  # what it raises for damaged files is of many kinds
        raise ValueError(f"is no WAV file that can be read: {error}") from None
    if not data.size or rate < 1:
        raise ValueError("has no sound")
    numbers = np.asarray(data, np.float64)
    if data.dtype.kind == "u":  # 8 bits have their silence at 128
        numbers = (numbers - 128) / 128
    elif data.dtype.kind == "i":
        numbers = numbers / 2.0 ** (8 * data.dtype.itemsize - 1)
    if not np.isfinite(numbers).all():
        raise ValueError("has numbers that are not finite")
    if data.dtype.kind == "f" and np.abs(numbers).max() > LOUDEST:
        raise ValueError(f"has numbers up to {np.abs(numbers).max():.3g}, where 1 is full scale")
    mono = numbers.reshape(len(numbers), -1).mean(axis=1)
    if rate != sound.RATE:
        shared = np.gcd(rate, sound.RATE)
        mono = resample_poly(mono, sound.RATE // shared, rate // shared)
    return mono.astype(np.float32)


def _unreadable(faults: Sequence[str], files: int) -> str:
    return f"path: {len(faults)} of {files} files cannot be read: {_listed(faults)}"


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
