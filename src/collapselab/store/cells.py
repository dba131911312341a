"""The one grammar of ``results/``: which generation of which lineage a file is of, and which verb leaves it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Self

CELL = "results/{study}/{arm}/seed{seed}/gen{generation}"
"""The folder of one generation of one lineage."""


class Noun(NamedTuple):
    """A file that a verb leaves in a generation's folder.

    keep: always, since it can be made again only at a price, or is what was found out; or until_measured: the samples'
    measures are what stays of it, where no later generation eats it.
    """

    verb: str
    keep: Literal["always", "until_measured"] = "always"


NOUNS: Mapping[str, Noun] = {
    "drawn.safetensors": Noun("draw", "until_measured"),
    "training.parquet": Noun("train"),
    "model.safetensors": Noun("train"),
    "train.cost.json": Noun("train"),
    "adapted.safetensors": Noun("adapt"),
    "adapt.cost.json": Noun("adapt"),
    "auxiliary-{role}.safetensors": Noun("auxiliary"),
    "auxiliary-{role}.cost.json": Noun("auxiliary"),
    "samples.safetensors": Noun("sample", "until_measured"),
    "sample.cost.json": Noun("sample"),
    "raw.safetensors": Noun("sample_raw", "until_measured"),
    "sample_raw.cost.json": Noun("sample_raw"),
    "marked.safetensors": Noun("sample_marked", "until_measured"),
    "sample_marked.cost.json": Noun("sample_marked"),
    "grid.safetensors": Noun("grid"),
    "released.safetensors": Noun("transform", "until_measured"),
    "transform.cost.json": Noun("transform"),
    "ballots.parquet": Noun("ballots"),
    "kept.parquet": Noun("select"),
    "select.cost.json": Noun("select"),
    "features.safetensors": Noun("extract", "until_measured"),
    "extract.cost.json": Noun("extract"),
    "metrics.json": Noun("record"),
    "record.cost.json": Noun("record"),
    "stop.json": Noun("stop"),
}
"""noun -> whose it is, in the order in which they come to be."""


def left_by(verb: str, role: str = "") -> list[str]:
    """The nouns that a verb leaves. role: of a further model, for a verb that leaves a file for each."""
    return [noun.format(role=role) for noun, whose in NOUNS.items() if whose.verb == verb]


class Cell(NamedTuple):
    """One generation of one lineage: of an arm of a study, with one seed."""

    study: str
    arm: str
    seed: int
    generation: int

    @property
    def folder(self) -> str:
        """Where its files lie."""
        return CELL.format(study=self.study, arm=self.arm, seed=self.seed, generation=self.generation)

    def path(self, noun: str) -> str:
        """The file of a noun, such as ``model.safetensors``."""
        return f"{self.folder}/{noun}"

    @classmethod
    def parse(cls, path: str) -> tuple[Self, str] | None:
        """The cell and the noun of a file's path, which may begin anywhere; None where it is no file of a cell."""
        found = _PATH.search(path)
        if found is None or _noun(found["noun"]) is None:
            return None
        where = cls(found["study"], found["arm"], int(found["seed"]), int(found["generation"]))
        return where, found["noun"]


_PATH = re.compile(
    r"(?:^|/)results/(?P<study>[^/]+)/(?P<arm>[^/]+)/seed(?P<seed>0|[1-9][0-9]*)/gen(?P<generation>0|[1-9][0-9]*)"
    r"/(?P<noun>[^/]+)$"
)


def _noun(name: str) -> Noun | None:
    if "{" in name:  # what stands for a role is none
        return None
    plain = re.sub(r"^(auxiliary-)[a-z0-9_]+(\.)", r"\1{role}\2", name)
    return NOUNS.get(plain)


class Spot(NamedTuple):
    """Where a file of results lies.

    root: the folder of the project, with a slash. place: the path from there, the same in every clone. cell: of a
    generation's file; None for real data, a report's, and those of all seeds.
    """

    root: str
    place: str
    cell: Cell | None

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Where a file lies; None for one that has no place in the grammar, which may be anybody's."""
        full = os.path.abspath(path)
        found, there = _PATH.search(full), Cell.parse(full)
        if there is None:
            found = _BESIDE.search(full)
        if found is None:
            return None
        start = found.start() + (full[found.start()] == "/")
        return cls(full[:start], full[start:], there[0] if there else None)

    @property
    def verb(self) -> str:
        """Whose file it is; with its role for one of several models, and its own name outside of cells."""
        name = self.place.rpartition("/")[2]
        noun = _noun(name) if self.cell else None
        if noun is None:
            return name
        return name.partition(".")[0] if noun.verb == "auxiliary" else noun.verb

    @property
    def notes(self) -> Path:
        """The file in which its verb notes the hash of all that it leaves here, before it does."""
        return Path(f"{self.root}{self.place}").with_name(f".{self.verb}.made")


_BESIDE = re.compile(r"(?:^|/)results/(?:real/[^/]+/[^/.][^/]*|[^/]+/report/[^/.][^/]*|[^/]+/[^/]+/replicates\.[^/]+)$")
