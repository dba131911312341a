"""The one grammar of ``results/``: which generation of which lineage a file is of, and which verb leaves it."""

import re
from collections.abc import Mapping
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
        return CELL.format(**self._asdict())

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
