"""The jobs that make samples: drawn, released, judged and kept."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...compose.regimes import at
from ...marks import MARKS
from ...select import SELECTORS
from ...store import hash_path, recorded_hash
from ...store.provenance import entries
from ...transforms import TRANSFORMS
from .. import looking
from ..study import Study
from ..telling import as_json, flags
from .base import Job, Place, nothing, seeds, verb_roots
from .models import guide_roots, guide_said, others

# -- sample ------------------------------------------------------------------------------------------------------------


def _sample_inputs(study: Study, place: Place) -> list[str]:
    return [study.model_file(*place.cell), *others(study, place).values()]


def raw_input(study: Study, place: Place) -> list[str]:
    """The generation's model alone, which nothing steers."""
    return [study.model_file(*place.cell)]


def _sampled(study: Study, place: Place, count: int, steered: bool) -> Iterator[str]:
    arm = study.lineages[place.arm]
    bias = at(arm.sampling_bias, place.generation) if steered else None
    yield from flags(model=study.model_file(*place.cell), count=count)
    yield from flags(sampling_bias=bias, stream=arm.stream, **seeds(study, place, "sampling"))
    if steered and arm.guide:
        further = [f"{role}={path}" for role, path in others(study, place).items()]
        yield from flags(guide=as_json(guide_said(study, place)), auxiliary=further)


def _sample_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _sampled(study, place, study.file.samples, True)


def _sample_raw_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _sampled(study, place, study.file.samples, False)


def _sample_marked_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _sampled(study, place, study.file.samples, True)
    yield from flags(mark=as_json(mark_said(study, place.arm)))


def _grid_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _sampled(study, place, study.file.grid, True)
    yield from flags(stage="grid")


def _raw_roots(study: Study, place: Place) -> list[str]:
    return [
        *verb_roots("sample", "sample_seed", "piece_size", "sample", "joined"),
        *looking.family_roots(study, place.arm),
    ]


def _sample_roots(study: Study, place: Place) -> list[str]:
    return [*_raw_roots(study, place), *guide_roots(study, place.arm)]


def _sample_marked_roots(study: Study, place: Place) -> list[str]:
    return [*_sample_roots(study, place), *mark_roots(study, place.arm), *verb_roots("sample", "marking")]


def mark_said(study: Study, arm: str) -> dict[str, Any]:
    """The mark of an arm, as a job is told of it."""
    mark = study.lineages[arm].mark
    return {mark.name: study.parsed(MARKS, mark).model_dump(mode="json")} if mark else {}


def key_words(study: Study, place: Place) -> dict[str, int]:
    """The words from which the key of a lineage follows (``verbs.transform.key_of``)."""
    numbers = seeds(study, place, "sampling")
    return {name: numbers[name] for name in ("study_seed", "seed")} | {"stream": study.lineages[place.arm].stream}


def mark_roots(study: Study, arm: str) -> list[str]:
    """The source of an arm's mark, and of its key."""
    return [*entries("marks:MARKS", [study.lineages[arm].mark.name]), *verb_roots("transform", "key_of")]


# -- release and select ------------------------------------------------------------------------------------------------


def _transform_inputs(study: Study, place: Place) -> list[str]:
    return [_made(study, place)]


def _made(study: Study, place: Place) -> str:
    """The samples that transforms change: those that are marked, where the noise of an arm is."""
    return study.cell(*place.cell, f"{'marked' if study.marks(place.arm) == 'noise' else 'samples'}.safetensors")


def _transform_arguments(study: Study, place: Place) -> Iterator[str]:
    arm = study.lineages[place.arm]
    said = [{one.name: study.parsed(TRANSFORMS, one).model_dump(mode="json")} for one in arm.transform]
    yield from flags(samples=_made(study, place), transforms=as_json(said))
    yield from flags(mark=as_json(mark_said(study, place.arm)) if study.marks(place.arm) == "pixels" else None)
    yield from flags(stream=arm.stream, **seeds(study, place, "sampling"))


def _transform_roots(study: Study, place: Place) -> list[str]:
    names = [choice.name for choice in study.lineages[place.arm].transform]
    marks = study.marks(place.arm) == "pixels"
    marked = [*mark_roots(study, place.arm), *verb_roots("transform", "marking")] if marks else []
    return [*verb_roots("transform", "transform", "key_of"), *entries("transforms:TRANSFORMS", names), *marked]


def _closed(study: Study, place: Place) -> Path:
    """Where the export of a closed round lies: beside the results, since nobody can compute it again."""
    return Path("ballots", study.name, place.arm, f"seed{place.seed}", f"gen{place.generation}.parquet")


def _ballots_inputs(study: Study, place: Place) -> list[str]:
    return [study.released_file(*place.cell)]


def _ballots_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from flags(pool=study.released_file(*place.cell), closed=str(_closed(study, place)))


def _ballots_outside(study: Study, place: Place) -> dict[str, str]:
    path = _closed(study, place)
    return {"closed": recorded_hash(path) if path.exists() and hash_path(path).exists() else "open"}


def _select_inputs(study: Study, place: Place) -> list[str]:
    needs, reads = SELECTORS[study.lineages[place.arm].select.name].needs, study.read_by(place.arm)
    seen = [study.part_file("train"), *looking.weights(study, reads)] if reads else []
    model = [study.model_file(*place.cell)] if needs.model else []
    ballots = [study.cell(*place.cell, "ballots.parquet")] if needs.ballots else []
    return [study.released_file(*place.cell), *seen, *model, *ballots]


def _select_arguments(study: Study, place: Place) -> Iterator[str]:
    select, reads = study.lineages[place.arm].select, study.read_by(place.arm)
    needs = SELECTORS[select.name].needs
    yield from flags(samples=study.released_file(*place.cell), selector=select.name)
    yield from flags(
        options=as_json(study.parsed(SELECTORS, select)),
        study=study.name,
        arm=place.arm,
        **seeds(study, place, "sampling"),
    )
    yield from looking.beside(study, reads)
    yield from flags(model=study.model_file(*place.cell) if needs.model else None)
    yield from flags(ballots=study.cell(*place.cell, "ballots.parquet") if needs.ballots else None)


def _select_outside(study: Study, place: Place) -> dict[str, str]:
    return looking.published(study, study.read_by(place.arm))


def _select_roots(study: Study, place: Place) -> list[str]:
    select, reads = study.lineages[place.arm].select, study.read_by(place.arm)
    seen = looking.seer_roots(study, reads)
    family = looking.family_roots(study, place.arm) if SELECTORS[select.name].needs.model else []
    chosen = [*entries("select:SELECTORS", [select.name]), *looking.reward_roots(study, SELECTORS, select)]
    return [*verb_roots("select", "select", "pool_of"), *chosen, *seen, *family]


JOBS: Mapping[str, Job] = {
    "sample": Job(_sample_inputs, _sample_arguments, _sample_roots),
    "sample_raw": Job(raw_input, _sample_raw_arguments, _raw_roots),
    "sample_marked": Job(_sample_inputs, _sample_marked_arguments, _sample_marked_roots),
    "grid": Job(_sample_inputs, _grid_arguments, _sample_roots),
    "transform": Job(_transform_inputs, _transform_arguments, _transform_roots),
    "ballots": Job(_ballots_inputs, _ballots_arguments, nothing, _ballots_outside),
    "select": Job(_select_inputs, _select_arguments, _select_roots, _select_outside),
}
