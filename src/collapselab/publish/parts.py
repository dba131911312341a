"""Which sample sets of a study are handed on, where each of them lies, and what keeps them from being handed on."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import store
from ..core.sets import SampleSet
from ..data.formats import FORMATS
from ..data.provenance import Origin
from ..store.cells import Cell
from ..study.faults import unknown
from .known import Known

COLUMN = "kept"  # beside samples among which somebody selects: whether the next generation may eat them


class Wanted(NamedTuple):
    """What is handed on of a study. arms, seeds, generations: empty for all of them. real: also the real data.

    so_far: whether sets that are not there are passed over.
    """

    form: str
    arms: Sequence[str] = ()
    seeds: Sequence[int] = ()
    generations: Sequence[int] = ()
    real: bool = False
    so_far: bool = False


class Part(NamedTuple):
    """A sample set that is handed on. folder: in the export. path: its file in the project. cell: None of real data."""

    name: str
    folder: str
    path: Path
    cell: Cell | None = None
    kept: Path | None = None

    def file(self, suffix: str) -> str:
        """What its file is called in the export: by its place, and by what is in it.

        Readers of Croissant keep what they unpack under a file's name alone: no two sets may share one.
        """
        place = f"{self.cell.study}-{self.name}" if self.cell else f"{self.path.parent.name}-{self.path.stem}"
        return f"{place}-{store.recorded_hash(self.path)[:8]}{suffix}"

    def load(self) -> SampleSet:
        """The samples, with a column ``kept`` where somebody has selected among them."""
        samples = store.read_samples(self.path)
        if self.kept is None or not self.kept.exists():
            return samples
        kept = np.zeros(len(samples), bool)
        kept[store.read_kept(self.kept).rows] = True
        return replace(samples, aux={**samples.aux, COLUMN: kept})

    def origin(self, samples: SampleSet) -> Origin:
        """Where they come from."""
        return Origin.of(str(self.path), samples.lineage)


def parts(known: Known, wanted: Wanted) -> list[Part]:
    """The sample sets that are wanted, as others see them: with their marks, and after their transforms."""
    study, found = known.study, []
    if wanted.real:
        found += [Part(f"real-{name}", f"data/real/{name}", path) for name, path in known.real_parts()]
    for arm, seed, generation in [] if study.file.together else study.cells():
        asked = ((wanted.arms, arm), (wanted.seeds, seed), (wanted.generations, generation))
        if all(not chosen or one in chosen for chosen, one in asked):
            name, folder = f"{arm}-seed{seed}-gen{generation}", f"data/{arm}/seed{seed}/gen{generation}"
            kept = Path(study.cell(arm, seed, generation, "kept.parquet")) if study.selects(arm) else None
            path = Path(study.released_file(arm, seed, generation))
            found.append(Part(name, folder, path, Cell(study.name, arm, seed, generation), kept))
    return found


def faults(known: Known, wanted: Wanted, out: Path) -> Iterator[str]:
    """What keeps sample sets from being handed on, in words; nothing if nothing does."""
    study = known.study
    if study.file.together:
        yield f"study: {study.name!r} runs its seeds together and stores no samples; allowed is collapselab dossier"
        return
    last = max(lineage.generations for lineage in study.lineages.values())
    asked = (("--arm", wanted.arms, study.lineages), ("--seed", wanted.seeds, range(study.file.seeds)))
    for option, chosen, allowed in (*asked, ("--generation", wanted.generations, range(last + 1))):
        yield from (f"{option}: {unknown(one, allowed, 'value')}" for one in chosen if one not in allowed)
    if study.kind not in FORMATS[wanted.form].takes:
        fitting = ", ".join(name for name, one in FORMATS.items() if study.kind in one.takes)
        holds = " and ".join(FORMATS[wanted.form].takes)
        yield f"--format: {wanted.form!r} holds {holds}, and these are {study.kind}; allowed with them are {fitting}"
    if out.exists():
        yield f"--out: {out} is there already; nothing is written over, choose another name"
    if wanted.real and not (known.rights.licence or known.answers.sources.licence):
        yield "--real: nobody says under which licence they are; answer sources.licence (--answers), or leave it out"
    every = parts(known, wanted)
    if not every:  # by a name of which a fault tells
        return
    absent = [one.path for one in every if not one.path.exists()]
    if absent and not wanted.so_far:
        yield f"{len(absent)} of {len(every)} sample sets are not there, such as {absent[0]}; --so-far passes them over"
    elif len(absent) == len(every):
        yield f"none of {len(every)} sample sets is there: nothing to hand on; they are not made, or gc has freed them"
