"""What the jobs of the workflow ask of a study: which files each reads, what it is told, and which source it hangs on.

A job reads no study file, which may have changed since the plan: whatever it depends on is an input, an argument or the
hash of its source, where a change is seen. Nothing cheap is an argument of something dear.
"""

from collections.abc import Iterator, Mapping

from ...store.provenance import source_hash
from .. import layout, looking
from ..stopping import decides
from ..study import Study
from ..telling import shell
from . import models, numbers, real, samples
from .base import Job as Job
from .base import Place as Place

JOBS: Mapping[str, Job] = {**real.JOBS, **models.JOBS, **samples.JOBS, **numbers.JOBS}
"""verb -> its job, in the order in which they run."""


def _there(study: Study, place: Place) -> Study:
    """The study with the split of its data that a job sees."""
    return study if len(study.splits) == 1 else study.with_split(place.seed, place.real)


def inputs(study: Study, verb: str, place: Place) -> list[str]:
    """The files that a job reads, each once."""
    return list(dict.fromkeys(JOBS[verb].inputs(_there(study, place), place)))


def decisions(study: Study, verb: str, place: Place) -> list[str]:
    """The decisions that a job waits for."""
    return list(JOBS[verb].decisions(_there(study, place), place))


def arguments(study: Study, verb: str, place: Place) -> str:
    """What a job is told, as words of a shell: by a file, which is then there, where they would be too long for it."""
    return shell(list(JOBS[verb].arguments(_there(study, place), place)))


def roots(study: Study, verb: str, place: Place) -> tuple[str, ...]:
    """The definitions that a job calls, as :func:`provenance.source_hash` takes them."""
    return tuple(dict.fromkeys(JOBS[verb].roots(_there(study, place), place)))


def identity(study: Study, verb: str, place: Place) -> str:
    """What a job depends on beside inputs and arguments: the hash of its source, and of what lies outside the study."""
    words = [source_hash(*roots(study, verb, place))]
    words += [f"{name}={digest}" for name, digest in JOBS[verb].outside(_there(study, place), place).items()]
    return " ".join(words)


def every(study: Study) -> Iterator[tuple[str, Place]]:
    """All jobs of a study: verbs with their places."""
    if study.file.together:
        yield from (("replicate", Place(arm)) for arm in study.lineages)
    else:
        for real in (one.real for one in study.splits):
            yield from ((layout.preparing(study), Place(part=part, real=real)) for part in layout.parts(study))
            yield from (("task", Place(part=part, generation=t, real=real)) for part, t in layout.tasks(study))
            yield from (("learn", Place(extractor=name, real=real)) for name in study.trained_extractors)
            yield from (("extract_real", Place(extractor=name, real=real)) for name in looking.referenced(study))
        yield "baseline", Place()
        for cell in [*study.base_cells(), *(cell for cell in study.all_cells() if cell[2])]:
            yield from (("draw", Place(*cell)),) if study.needs_drawing(cell[0], cell[2]) else ()
            yield from (("compose", Place(*cell)), ("train", Place(*cell)))
        for cell in study.all_cells():
            yield from ((verb, Place(*cell)) for verb in layout.verbs_of(study, *cell))
            yield from (("stop", Place(*cell)),) if decides(study, *cell) else ()
            roles = study.auxiliaries(cell[0], cell[2])
            yield from (("auxiliary", Place(*cell, role=role)) for role in roles)
    yield from (("report", Place()), ("track", Place()))
