"""The jobs of the real data: read or drawn, learnt from and looked at."""

from collections.abc import Iterator, Mapping

from ...data.split import EATEN
from ...store.provenance import PACKAGE, entries
from .. import looking
from ..study import Study
from ..telling import as_json, flags
from .base import Job, Place, nothing, verb_roots


def _prepare_arguments(study: Study, place: Place) -> Iterator[str]:
    data, sizes = study.file.data, study.file.data.split.parts()
    rare = {str(label): share for label, share in data.rare.items()}
    # A part is told the sizes that its own place hangs on, and no others.
    before = EATEN[: EATEN.index(place.part) + 1] if place.part in EATEN else (place.part,)
    told = {part: sizes[part] for part in before if part in sizes}
    told |= {} if place.part in EATEN else data.split.kept_back()
    yield from flags(source=study.origin.name, options=as_json(dict(study.origin.options)))
    yield from flags(sizes=as_json(told), rare=as_json(rare))
    yield from flags(split_seed=data.split_seed, part=f"{place.part}={study.part_file(place.part)}")
    yield from flags(planted=as_json(data.planted) if data.planted else None)


def _dataset(study: Study, place: Place) -> dict[str, str]:
    return {"files": study.dataset.fingerprint()}


def _prepare_roots(study: Study, place: Place) -> list[str]:
    planted = [f"{PACKAGE}.data.planted:plant"] if study.file.data.planted else []
    return [*verb_roots("prepare", "prepare"), *entries("data:DATASETS", [study.origin.name]), *planted]


def _populate_arguments(study: Study, place: Place) -> Iterator[str]:
    data = study.file.data
    yield from flags(population=study.origin.name, options=as_json(dict(study.origin.options)))
    drawn = {} if place.part == "population" else {"held_out": data.split.held_out, "split_seed": data.split_seed}
    drawn |= {"stream": task_said(study)} if place.part != "population" and data.stream else {}
    yield from flags(**drawn, part=f"{place.part}={study.part_file(place.part)}")


def _populate_roots(study: Study, place: Place) -> list[str]:
    streamed = verb_roots("prepare", "populate_tasks") if study.file.data.stream else []
    return [*verb_roots("prepare", "populate"), *looking.truth_roots(study), *streamed]


def task_said(study: Study) -> str | None:
    """The stream, as a job is told of it; None without one."""
    return as_json(study.file.data.stream) if study.file.data.stream else None


def _task_inputs(study: Study, place: Place) -> list[str]:
    return [study.part_file(place.part)]


def _task_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from flags(samples=study.part_file(place.part), stream=task_said(study), number=place.generation)
    # A row is trained on in one task alone; what is measured on may be of several.
    yield from ["--share"] if place.part == "train" else []


def _task_roots(study: Study, place: Place) -> list[str]:
    return verb_roots("prepare", "task")


def _learn_inputs(study: Study, place: Place) -> list[str]:
    return [study.part_file(part) for part in ("train", "held_out")]


def _learn_arguments(study: Study, place: Place) -> Iterator[str]:
    train, held_out = _learn_inputs(study, place)
    yield from flags(extractor=place.extractor, options=as_json(study.extractor_options(place.extractor)))
    yield from flags(train=train, held_out=held_out, split_seed=study.file.data.split_seed)


def _learn_roots(study: Study, place: Place) -> list[str]:
    return [*verb_roots("prepare", "learn"), *entries("features:FEATURES", [place.extractor])]


def _extract_real_inputs(study: Study, place: Place) -> list[str]:
    return [*_learn_inputs(study, place), *looking.weights(study, [place.extractor])]


def _extract_real_arguments(study: Study, place: Place) -> Iterator[str]:
    sets = [f"{part}={study.part_file(part)}" for part in ("train", "held_out")]
    yield from flags(samples=sets)
    yield from looking.eyes_with_options(study, [place.extractor])
    yield "--as-reference"


def _extract_real_outside(study: Study, place: Place) -> dict[str, str]:
    return looking.published(study, [place.extractor])


def _extract_real_roots(study: Study, place: Place) -> list[str]:
    return [*verb_roots("extract", "looked_at", "extract"), *looking.seer_roots(study, [place.extractor])]


JOBS: Mapping[str, Job] = {
    "prepare": Job(nothing, _prepare_arguments, _prepare_roots, _dataset),
    "populate": Job(nothing, _populate_arguments, _populate_roots),
    "task": Job(_task_inputs, _task_arguments, _task_roots),
    "learn": Job(_learn_inputs, _learn_arguments, _learn_roots),
    "extract_real": Job(_extract_real_inputs, _extract_real_arguments, _extract_real_roots, _extract_real_outside),
}
