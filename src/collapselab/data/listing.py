"""Which files of a folder or a zip are its pictures, how they are labelled, and what is passed over."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

SUFFIXES = (".png", ".jpg", ".jpeg")
# What systems leave beside pictures: Synology and QNAP, macOS, Windows, ext4.
JUNK = {"@eaDir", "@Recycle", "#recycle", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
LABEL_BYTES, LABEL_SIGNS = 2**11, 2**7  # of an image in dataset.json: a long name and 25 numbers, with commas, brackets
SPARE_BYTES = 2**20  # for what else stands there
TOLD_KINDS = 6


class Listing(NamedTuple):
    """The pictures of a place, in order.

    names: of the files. labels: one an image, or None. classes: the folder of each label, where folders are classes.
    skipped: why -> how many files were passed over.
    """

    names: Sequence[str]
    labels: Sequence[int] | None
    classes: Sequence[str] = ()
    skipped: Mapping[str, int] = {}

    @property
    def passed(self) -> str:
        """What was passed over and why, in words; empty where nothing was."""
        most = sorted(self.skipped.items(), key=lambda one: (-one[1], one[0]))
        told = [f"{count} {why}" for why, count in most[:TOLD_KINDS]]
        rest = sum(count for _, count in most[TOLD_KINDS:])
        return ", ".join([*told, *([f"{rest} others"] if rest else [])])

    @property
    def said(self) -> str:
        """What is read and what is passed over, in a line."""
        many = len(self.names)
        of = f" in {len(self.classes)} folders, which are their labels" if self.classes else ""
        labelled = " with labels" if self.labels is not None and not self.classes else ""
        return f"{many} image{'s' if many != 1 else ''}{of}{labelled}; passed over: {self.passed or 'nothing'}"


def natural(name: str) -> tuple[list[str | int], str]:
    """By which names are ordered as people count: ``2`` before ``10``; without numbers, letter by letter."""
    parts = re.split("([0-9]+)", name)  # letters and numbers take turns
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def is_junk(name: str) -> bool:
    """Whether a file or folder is what a system leaves beside those of people."""
    return name in JUNK or name.startswith("._")


class Skipped(Counter[str]):
    """Why files are passed over, and how many."""

    def file(self, name: str) -> None:
        """A file of another type, or one that nobody is to see."""
        last = PurePosixPath(name).name
        if last.startswith("."):
            self["hidden"] += 1
        elif last != "dataset.json":
            self[PurePosixPath(last).suffix.lower() or "without a suffix"] += 1


def labels_of(names: Sequence[str], text: bytes, where: str) -> list[int] | None:
    """The labels of the named images from the text of a ``dataset.json``: one integer an image, or None.

    Names may be written as Windows does, or begin with ``./``. Raises ValueError for anything else, and for a text that
    is longer than so many labels need: text takes many times its length in memory.
    """
    content = _json(text, len(names), where)
    pairs = content.get("labels") if isinstance(content, dict) else None
    if pairs is None:
        return None
    try:
        labels = {_as_written(name): label for name, label in dict(pairs).items()}
    except (TypeError, ValueError):
        raise ValueError(f"{where}: labels must be null or a list of [name, label]") from None
    if len(labels) < len(pairs):
        raise ValueError(f"{where}: has two labels for one image")
    if strangers := sorted(labels.keys() - set(names), key=str):  # keys may be of any type
        raise ValueError(f"{where}: has a label for {strangers[0]!r}, which is not among the images")
    remedy = "to read the images without them, set labels: ignore"
    if lacking := [name for name in names if name not in labels]:
        raise ValueError(f"{where}: has no label for {lacking[0]!r}, {len(lacking)} of {len(names)} images; {remedy}")
    for name in names:
        if type(labels[name]) is not int or not 0 <= labels[name] < 2**63:
            found = f"{labels[name]!r:.60}"
            raise ValueError(f"{where}: found the label {found} of {name!r}, allowed are integers from 0; {remedy}")
    return [labels[name] for name in names]


def _json(text: bytes, count: int, where: str) -> Any:
    signs = sum(text.count(sign) for sign in (b"[", b"{", b","))
    if len(text) > SPARE_BYTES + count * LABEL_BYTES or signs > SPARE_BYTES // 16 + count * LABEL_SIGNS:
        raise ValueError(f"{where}: has {len(text)} bytes and {signs} entries, too many for labels of {count} images")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: is not JSON: {error}") from None


def _as_written(name: Any) -> Any:
    return "/".join(steps(name)) if isinstance(name, str) else name


def steps(name: str) -> Iterator[str]:
    """The folders and the file that a name in an archive consists of, however it is written."""
    return (step for step in name.replace("\\", "/").split("/") if step not in ("", "."))
