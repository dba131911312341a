"""What a job is, where it stands, and the words in which several are told the same."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from ...store.provenance import PACKAGE
from ..study import Study


class Place(NamedTuple):
    """Where a job stands: in an arm, a replicate and a generation, there at a further model by its role; or at a part
    or an extractor of the real data, in a folder of its own where the split varies."""

    arm: str = ""
    seed: int = 0
    generation: int = 0
    extractor: str = ""
    part: str = ""
    role: str = ""
    real: str = ""

    @classmethod
    def of(cls, wildcards: Any) -> "Place":
        """The place that Snakemake's wildcards name; a part of the real data has its rows behind its name."""
        numbers = {name: int(getattr(wildcards, name, 0)) for name in ("seed", "generation")}
        words = {name: getattr(wildcards, name, "") for name in ("arm", "extractor", "role", "real")}
        return cls(part=getattr(wildcards, "part", "").partition("-")[0], **words, **numbers)

    @property
    def cell(self) -> tuple[str, int, int]:
        """Arm, replicate and generation."""
        return self.arm, self.seed, self.generation


class Job(NamedTuple):
    """A verb as the workflow runs it.

    inputs: the files that it reads. arguments: what it is told. roots: the definitions that its source consists of.
    outside: what lies outside the study and could change there, by name with its hash; the job finds it by itself.
    decisions: the files that may end its lineage, for which it waits, and whose change is no reason to run it again.
    """

    inputs: Callable[[Study, Place], Iterable[str]]
    arguments: Callable[[Study, Place], Iterable[str]]
    roots: Callable[[Study, Place], Iterable[str]]
    outside: Callable[[Study, Place], Mapping[str, str]] = lambda study, place: {}
    decisions: Callable[[Study, Place], Iterable[str]] = lambda study, place: ()


def verb_roots(name: str, *functions: str) -> list[str]:
    """Functions of a verb's module, as definitions that a job calls."""
    return [f"{PACKAGE}.verbs.{name}:{function}" for function in functions]


def seeds(study: Study, place: Place, varied: Literal["training", "sampling"]) -> dict[str, int]:
    """The numbers from which the seed of a job in a generation follows. varied: what its random numbers count as."""
    return {"study_seed": study.file.seed, "seed": replicate(study, place, varied), "generation": place.generation}


def replicate(study: Study, place: Place, varied: Literal["training", "sampling"]) -> int:
    """The replicate whose random numbers a job takes."""
    return getattr(study.levels[place.seed], varied)


def nothing(study: Study, place: Place) -> list[str]:
    """No inputs, or no definitions."""
    return []
