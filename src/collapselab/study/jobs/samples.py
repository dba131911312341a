"""The jobs that make samples: drawn, released, judged and kept."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...compose.regimes import at
from ...core.choice import Choice
from ...marks import MARKS
from ...select import SELECTORS
from ...store import hash_path, recorded_hash
from ...store.provenance import entries
from ...transforms import TRANSFORMS
from .. import looking, sampled
from ..judged import closed_round
from ..study import Study
from ..telling import as_json, flags
from .base import Job, Place, nothing, seeds, verb_roots
from .models import guide_roots, guide_said, others, sampler_roots

# -- sample ------------------------------------------------------------------------------------------------------------


def _sample_inputs(study: Study, place: Place) -> list[str]:
    return [study.model_file(*place.cell), *others(study, place).values(), *_painter(study, place)]


def _painter(study: Study, place: Place) -> list[str]:
    """The model that makes a sample of each label, where the arm's own is of labels alone."""
    by = study.lineages[place.arm].drawn_by
    return [study.model_file(by, place.seed, place.generation)] if by else []


def _sample_raw_inputs(study: Study, place: Place) -> list[str]:
    return [*raw_input(study, place), *_painter(study, place)]


def raw_input(study: Study, place: Place) -> list[str]:
    """The generation's model alone, which nothing steers."""
    return [study.model_file(*place.cell)]


def _sampled(study: Study, place: Place, count: int, steered: bool) -> Iterator[str]:
    arm = study.lineages[place.arm]
    bias = at(arm.sampling_bias, place.generation) if steered else None
    yield from flags(model=study.model_file(*place.cell), count=count)
    yield from flags(sampling_bias=bias, stream=arm.stream, **seeds(study, place, "sampling"))
    yield from flags(sampler=as_json(said) if (said := sampled.said_of(study, place.arm, place.generation)) else None)
    yield from flags(drawn_by=next(iter(_painter(study, place)), None))
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
        *sampler_roots(study, place.arm),
        *drawn_roots(study, place.arm),
    ]


def drawn_roots(study: Study, arm: str) -> list[str]:
    """The source of the model that makes a sample of each label, where an arm's own is of labels alone."""
    by = study.lineages[arm].drawn_by
    return [*looking.family_roots(study, by), *verb_roots("sample", "Drawn")] if by else []


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


def _said(study: Study, registry: Mapping[str, Any], choices: Iterable[Choice]) -> str:
    """Choices with all their options, as JSON."""
    return as_json([{one.name: study.parsed(registry, one).model_dump(mode="json")} for one in choices])


def _transform_inputs(study: Study, place: Place) -> list[str]:
    reads = study.changed_by(place.arm)
    return [_made(study, place), *looking.seen_files(study, reads, study.transforming(place.arm, "train"))]


def _made(study: Study, place: Place) -> str:
    """The samples that transforms change."""
    return study.cell(*place.cell, f"{study.lineages[place.arm].made}.safetensors")


def _transform_arguments(study: Study, place: Place) -> Iterator[str]:
    arm, reads = study.lineages[place.arm], study.changed_by(place.arm)
    said = _said(study, TRANSFORMS, arm.transform)
    yield from flags(samples=_made(study, place), transforms=said)
    yield from flags(mark=as_json(mark_said(study, place.arm)) if study.lineages[place.arm].marks == "pixels" else None)
    yield from flags(stream=arm.stream, **seeds(study, place, "sampling"))
    yield from looking.beside(study, reads, study.transforming(place.arm, "train"))


def _transform_outside(study: Study, place: Place) -> dict[str, str]:
    return looking.published(study, study.changed_by(place.arm))


def _transform_roots(study: Study, place: Place) -> list[str]:
    names = [choice.name for choice in study.lineages[place.arm].transform]
    seen = looking.seer_roots(study, study.changed_by(place.arm))
    marks = study.lineages[place.arm].marks == "pixels"
    marked = [*mark_roots(study, place.arm), *verb_roots("transform", "marking")] if marks else []
    return [*verb_roots("transform", "transform", "key_of"), *entries("transforms:TRANSFORMS", names), *seen, *marked]


def _ballots_inputs(study: Study, place: Place) -> list[str]:
    return [study.released_file(*place.cell)]


def _ballots_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from flags(pool=study.released_file(*place.cell), closed=str(closed_round(study, *place.cell)))


def _ballots_outside(study: Study, place: Place) -> dict[str, str]:
    path = closed_round(study, *place.cell)
    return {"closed": recorded_hash(path) if path.exists() and hash_path(path).exists() else "open"}


def _select_inputs(study: Study, place: Place) -> list[str]:
    reads = study.read_by(place.arm)
    seen = looking.seen_files(study, reads, study.selecting(place.arm, "train"))
    return [study.released_file(*place.cell), *seen, *_beside(study, place).values()]


def _beside(study: Study, place: Place) -> dict[str, str]:
    """What selectors are handed beside the samples and what they look through, by the flag that names it."""
    found, arm = {}, place.arm
    if study.selecting(arm, "model"):
        found["model"] = study.model_file(*place.cell)
    if study.selecting(arm, "ballots"):
        found["ballots"] = study.cell(*place.cell, "ballots.parquet")
    if study.selecting(arm, "mark") and study.lineages[arm].marks == "noise":
        found["mark_model"] = study.model_file(*place.cell)
    if twin := study.lineages[arm].yoked_to:
        there = twin, place.seed, place.generation
        found |= {"twin": study.cell(*there, "kept.parquet"), "twin_samples": study.released_file(*there)}
    return found


def _select_arguments(study: Study, place: Place) -> Iterator[str]:
    said = _said(study, SELECTORS, study.lineages[place.arm].select)
    yield from flags(samples=study.released_file(*place.cell), selectors=said, too_few=study.file.too_few)
    yield from flags(study=study.name, arm=place.arm, **seeds(study, place, "sampling"))
    yield from looking.beside(study, study.read_by(place.arm), study.selecting(place.arm, "train"))
    yield from flags(**_beside(study, place))
    if study.selecting(place.arm, "mark"):
        yield from flags(mark=as_json(mark_said(study, place.arm)), stream=study.lineages[place.arm].stream)


def _select_outside(study: Study, place: Place) -> dict[str, str]:
    own = looking.files(study, SELECTORS, study.lineages[place.arm].select)
    return looking.published(study, study.read_by(place.arm)) | own


def _select_roots(study: Study, place: Place) -> list[str]:
    selectors, seen = study.lineages[place.arm].select, looking.seer_roots(study, study.read_by(place.arm))
    marked, noise = study.selecting(place.arm, "mark"), study.lineages[place.arm].marks == "noise"
    asked = study.selecting(place.arm, "model") or (marked and noise)
    family = looking.family_roots(study, place.arm) if asked else []
    family += looking.asked_roots(study, place.arm)
    family += sampler_roots(study, place.arm) if study.selecting(place.arm, "ask") else []
    seen += [*mark_roots(study, place.arm), *verb_roots("extract", "detector", "calibrates")] if marked else []
    called = verb_roots("select", "select", "pool_of", *["asked_for"] * study.selecting(place.arm, "ask"))
    chosen = entries("select:SELECTORS", [one.name for one in selectors])
    rewards = [root for one in selectors for root in looking.reward_roots(study, SELECTORS, one)]
    return [*called, *chosen, *dict.fromkeys(rewards), *seen, *family]


JOBS: Mapping[str, Job] = {
    "sample": Job(_sample_inputs, _sample_arguments, _sample_roots),
    "sample_raw": Job(_sample_raw_inputs, _sample_raw_arguments, _raw_roots),
    "sample_marked": Job(_sample_inputs, _sample_marked_arguments, _sample_marked_roots),
    "grid": Job(_sample_inputs, _grid_arguments, _sample_roots),
    "transform": Job(_transform_inputs, _transform_arguments, _transform_roots, _transform_outside),
    "ballots": Job(_ballots_inputs, _ballots_arguments, nothing, _ballots_outside),
    "select": Job(_select_inputs, _select_arguments, _select_roots, _select_outside),
}
