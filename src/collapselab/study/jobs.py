"""What the jobs of the workflow ask of a study: which files each reads, what it is told, and which source it hangs on.

A job reads no study file, which may have changed since the plan: whatever it depends on is an input, an argument or the
hash of its source, where a change is seen. Nothing cheap is an argument of something dear.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from shlex import quote
from typing import Any, NamedTuple

from ..compose.regimes import at
from ..data.split import EATEN
from ..store.provenance import PACKAGE, entries, source_hash
from . import layout, looking
from .study import Study
from .telling import as_json, flags


class Place(NamedTuple):
    """Where a job stands: in an arm, a replicate and a generation, or at a part or an extractor of the real data."""

    arm: str = ""
    seed: int = 0
    generation: int = 0
    extractor: str = ""
    part: str = ""

    @classmethod
    def of(cls, wildcards: Any) -> "Place":
        """The place that Snakemake's wildcards name; a part of the real data has its rows behind its name."""
        numbers = {name: int(getattr(wildcards, name, 0)) for name in ("seed", "generation")}
        extractor, part = getattr(wildcards, "extractor", ""), getattr(wildcards, "part", "").partition("-")[0]
        return cls(getattr(wildcards, "arm", ""), extractor=extractor, part=part, **numbers)

    @property
    def cell(self) -> tuple[str, int, int]:
        """Arm, replicate and generation."""
        return self.arm, self.seed, self.generation


class Job(NamedTuple):
    """A verb as the workflow runs it.

    inputs: the files that it reads. arguments: what it is told. roots: the definitions that its source consists of.
    outside: what lies outside the study and could change there, by name with its hash; the job finds it by itself.
    """

    inputs: Callable[[Study, Place], Iterable[str]]
    arguments: Callable[[Study, Place], Iterable[str]]
    roots: Callable[[Study, Place], Iterable[str]]
    outside: Callable[[Study, Place], Mapping[str, str]] = lambda study, place: {}


def inputs(study: Study, verb: str, place: Place) -> list[str]:
    """The files that a job reads, each once."""
    return list(dict.fromkeys(JOBS[verb].inputs(study, place)))


def arguments(study: Study, verb: str, place: Place) -> str:
    """What a job is told, as words of a shell."""
    return " ".join(quote(word) for word in JOBS[verb].arguments(study, place))


def roots(study: Study, verb: str, place: Place) -> tuple[str, ...]:
    """The definitions that a job calls, as :func:`provenance.source_hash` takes them."""
    return tuple(dict.fromkeys(JOBS[verb].roots(study, place)))


def identity(study: Study, verb: str, place: Place) -> str:
    """What a job depends on beside inputs and arguments: the hash of its source, and of what lies outside the study."""
    words = [source_hash(*roots(study, verb, place))]
    words += [f"{name}={digest}" for name, digest in JOBS[verb].outside(study, place).items()]
    return " ".join(words)


def every(study: Study) -> Iterator[tuple[str, Place]]:
    """All jobs of a study: verbs with their places."""
    if study.file.together:
        yield from (("replicate", Place(arm)) for arm in study.lineages)
    else:
        yield from ((layout.preparing(study), Place(part=part)) for part in layout.parts(study))
        yield from (("learn", Place(extractor=name)) for name in study.trained_extractors)
        yield from (("extract_real", Place(extractor=name)) for name in study.extractors)
        yield "baseline", Place()
        for cell in [*study.base_cells(), *(cell for cell in study.cells() if cell[2])]:
            yield from (("draw", Place(*cell)),) if study.needs_drawing(cell[0], cell[2]) else ()
            yield from (("compose", Place(*cell)), ("train", Place(*cell)))
        for cell in study.cells():
            yield from ((verb, Place(*cell)) for verb in layout.verbs_of(study, cell[0]))
    yield from (("report", Place()), ("track", Place()))


# -- words ------------------------------------------------------------------------------------------------------------


def _verb(name: str, *functions: str) -> list[str]:
    return [f"{PACKAGE}.verbs.{name}:{function}" for function in functions]


def _seeds(study: Study, place: Place) -> dict[str, int]:
    return {"study_seed": study.file.seed, "seed": place.seed, "generation": place.generation}


# -- real data --------------------------------------------------------------------------------------------------------


def _prepare_arguments(study: Study, place: Place) -> Iterator[str]:
    data, sizes = study.file.data, study.file.data.split.parts()
    rare = {str(label): share for label, share in data.rare.items()}
    # A part is told the sizes that its own place hangs on, and no others.
    before = EATEN[: EATEN.index(place.part) + 1] if place.part in EATEN else (place.part,)
    told = {part: sizes[part] for part in before if part in sizes}
    yield from flags(source=data.source, options=as_json(data.options), sizes=as_json(told), rare=as_json(rare))
    yield from flags(split_seed=data.split_seed, part=f"{place.part}={study.part_file(place.part)}")


def _dataset(study: Study, place: Place) -> dict[str, str]:
    return {"files": study.dataset.fingerprint()}


def _prepare_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("prepare", "prepare"), *entries("data:DATASETS", [study.file.data.source])]


def _populate_arguments(study: Study, place: Place) -> Iterator[str]:
    data = study.file.data
    yield from flags(population=data.population, options=as_json(data.options))
    drawn = {} if place.part == "population" else {"held_out": data.split.held_out, "split_seed": data.split_seed}
    yield from flags(**drawn, part=f"{place.part}={study.part_file(place.part)}")


def _populate_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("prepare", "populate"), *looking.truth_roots(study)]


def _learn_inputs(study: Study, place: Place) -> list[str]:
    return [study.part_file(part) for part in ("train", "held_out")]


def _learn_arguments(study: Study, place: Place) -> Iterator[str]:
    train, held_out = _learn_inputs(study, place)
    yield from flags(extractor=place.extractor, options=as_json(study.extractor_options(place.extractor)))
    yield from flags(train=train, held_out=held_out, split_seed=study.file.data.split_seed)


def _learn_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("prepare", "learn"), *entries("features:FEATURES", [place.extractor])]


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
    return [*_verb("extract", "looked_at", "extract"), *looking.seer_roots(study, [place.extractor])]


# -- compose and train ------------------------------------------------------------------------------------------------


def _draw_inputs(study: Study, place: Place) -> list[str]:
    population = looking.truth_file(study)
    return [*study.resampled(*place.cell).values(), *([population] if population else [])]


def _draw_arguments(study: Study, place: Place) -> Iterator[str]:
    models, about = study.resampled(*place.cell), {}
    for name in models:
        arm, _, generation = name.partition(":")
        own = study.lineages[arm]
        about[name] = {"stream": own.stream, "sampling_bias": at(own.sampling_bias, int(generation))}
    yield from flags(recipe=as_json(study.recipe(place.arm, place.generation)), population=looking.truth_file(study))
    yield from flags(model=[f"{name}={path}" for name, path in models.items()], about=as_json(about))
    yield from flags(study_seed=study.file.seed, seed=place.seed)


def _draw_roots(study: Study, place: Place) -> list[str]:
    arms = sorted({name.partition(":")[0] for name in study.resampled(*place.cell)})
    families = [root for arm in arms for root in looking.family_roots(study, arm)]
    return [*_verb("compose", "draw"), *families, *looking.truth_roots(study)]


def _eaten(study: Study, place: Place) -> Iterator[str]:
    """What a training set is made of: stored sample sets, and rows that are drawn for it."""
    for one in study.sources(*place.cell):
        yield from (one[key] for key in ("samples", "kept") if key in one)
    if study.needs_drawing(place.arm, place.generation):
        yield study.cell(*place.cell, "drawn.safetensors")


def _train_inputs(study: Study, place: Place) -> list[str]:
    """All that a training needs; nothing can make a generation 0 outside its base."""
    if (place.generation == 0) != (place.arm in study.bases):
        home = study.lineages[place.arm].base if place.arm in study.lineages else "its arms"
        return [f"(generation {place.generation} of {place.arm} is trained in {home})"]
    start = study.init_file(*place.cell)
    beside = [*([start] if start else []), *study.chosen_by(*place.cell).values()]
    return [*_eaten(study, place), *beside]


def _compose_arguments(study: Study, place: Place) -> Iterator[str]:
    drawn = study.needs_drawing(place.arm, place.generation)
    yield from flags(recipe=as_json(study.recipe(place.arm, place.generation)))
    yield from flags(sources=as_json(study.sources(*place.cell)))
    yield from flags(drawn=study.cell(*place.cell, "drawn.safetensors") if drawn else None)
    yield from flags(study_seed=study.file.seed, seed=place.seed)


def _train_arguments(study: Study, place: Place) -> Iterator[str]:
    model, chosen = study.model_of(place.arm), study.chosen_by(*place.cell)
    yield from flags(family=study.family(model), options=as_json(study.model_options(model)))
    yield from flags(images_seen=study.images_seen(place.arm, place.generation), init=study.init_file(*place.cell))
    yield from flags(validation=chosen.get("validation"), chosen_by=chosen.get("model"))
    yield from flags(**_seeds(study, place))


def _compose_roots(study: Study, place: Place) -> list[str]:
    return _verb("compose", "compose")


def _train_roots(study: Study, place: Place) -> list[str]:
    called = ("settle", "budget", "as_it_is", "rows_of", "whole", "training_seed", "train")
    return [*_verb("train", *called), *looking.family_roots(study, place.arm)]


# -- sample and select ------------------------------------------------------------------------------------------------


def _model_input(study: Study, place: Place) -> list[str]:
    return [study.cell(*place.cell, "model.safetensors")]


def _sampled(study: Study, place: Place, count: int, biased: bool) -> Iterator[str]:
    arm = study.lineages[place.arm]
    bias = at(arm.sampling_bias, place.generation) if biased else None
    yield from flags(model=study.cell(*place.cell, "model.safetensors"), count=count)
    yield from flags(sampling_bias=bias, stream=arm.stream, **_seeds(study, place))


def _sample_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _sampled(study, place, study.file.samples, True)


def _sample_raw_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _sampled(study, place, study.file.samples, False)


def _grid_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _sampled(study, place, study.file.grid, True)
    yield from flags(stage="grid")


def _sample_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("sample", "sample_seed", "piece_size", "sample", "joined"), *looking.family_roots(study, place.arm)]


def _select_inputs(study: Study, place: Place) -> list[str]:
    reads = study.read_by(place.arm)
    seen = [study.part_file("train"), *looking.weights(study, [reads])] if reads else []
    return [study.cell(*place.cell, "samples.safetensors"), *seen]


def _select_arguments(study: Study, place: Place) -> Iterator[str]:
    arm, reads = study.lineages[place.arm], study.read_by(place.arm)
    yield from flags(samples=study.cell(*place.cell, "samples.safetensors"), selector=arm.selector)
    yield from flags(options=as_json(arm.select_options), **_seeds(study, place))
    if reads:
        yield from looking.eyes(study, [reads])
        yield from flags(train=study.part_file("train"))


def _select_roots(study: Study, place: Place) -> list[str]:
    reads = study.read_by(place.arm)
    seen = [*_verb("select", "look"), *looking.seer_roots(study, [reads])] if reads else []
    selector = entries("select:SELECTORS", [study.lineages[place.arm].selector])
    return [*_verb("select", "select"), *selector, *seen]


# -- extract and record -----------------------------------------------------------------------------------------------


def measured(study: Study, place: Place) -> dict[str, str]:
    """The sets of samples that are measured apart, and their files."""
    nouns = {"sampled": "samples.safetensors", "raw": "raw.safetensors"}
    return {which: study.cell(*place.cell, nouns[which]) for which in study.measured_sets(place.arm)}


def _extract_inputs(study: Study, place: Place) -> list[str]:
    through = [*_model_input(study, place), *looking.real_seen(study).values()] if looking.through_model(study) else []
    return [*measured(study, place).values(), *through, *looking.weights(study, study.measured_in)]


def _extract_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from flags(samples=[f"{which}={path}" for which, path in measured(study, place).items()])
    yield from looking.eyes_with_options(study, study.measured_in, study.cell(*place.cell, "model.safetensors"))
    yield from flags(real=[f"{part}={path}" for part, path in looking.real_seen(study).items()])


def _extract_outside(study: Study, place: Place) -> dict[str, str]:
    return looking.published(study, study.measured_in)


def _extract_roots(study: Study, place: Place) -> list[str]:
    family = looking.family_roots(study, place.arm) if looking.through_model(study) else []
    return [*_verb("extract", "looked_at", "extract"), *looking.seer_roots(study, study.measured_in), *family]


def _record_inputs(study: Study, place: Place) -> list[str]:
    population = looking.truth_file(study)
    own = [study.cell(*place.cell, noun) for noun in ("features.safetensors", "training.parquet")]
    own += [study.cell(*place.cell, "kept.parquet")] if study.selects(place.arm) else []
    home = place._replace(arm=place.arm if place.generation else study.lineages[place.arm].base)
    return [*own, *looking.references(study), *([population] if population else []), *_eaten(study, home)]


def _compared(study: Study) -> Iterator[str]:
    yield from flags(
        reference=looking.references(study), population=looking.truth_file(study), against=study.file.reference
    )
    yield from flags(count=study.measured, metrics=as_json(study.metric_options()))


def _record_arguments(study: Study, place: Place) -> Iterator[str]:
    kept = study.cell(*place.cell, "kept.parquet") if study.selects(place.arm) else None
    cell = {"study": study.name, "arm": place.arm, "seed": place.seed, "generation": place.generation}
    yield from flags(features=study.cell(*place.cell, "features.safetensors"))
    yield from _compared(study)
    yield from flags(training=study.cell(*place.cell, "training.parquet"), kept=kept, cell=as_json(cell))


def _metrics(study: Study) -> list[str]:
    return [*entries("metrics:METRICS", study.metric_options()), *looking.seer_roots(study, study.measured_in)]


def _record_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("record", "role", "composition", "record"), *_metrics(study), *looking.truth_roots(study)]


def _baseline_inputs(study: Study, place: Place) -> list[str]:
    population = looking.truth_file(study)
    return [*looking.references(study), *([population] if population else [])]


def _baseline_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _compared(study)


def _baseline_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("record", "role", "baseline"), *_metrics(study), *looking.truth_roots(study)]


# -- all seeds at once, and what people read --------------------------------------------------------------------------


def _nothing(study: Study, place: Place) -> list[str]:
    return []


def _replicate_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from flags(arm=as_json(study.replicated(place.arm)))


def _replicate_roots(study: Study, place: Place) -> list[str]:
    metrics = entries("metrics:METRICS", study.metric_options(), "stacked")
    return [
        f"{PACKAGE}.together.loop:run",
        *looking.family_roots(study, place.arm),
        *looking.truth_roots(study),
        *metrics,
    ]


def _report_inputs(study: Study, place: Place) -> list[str]:
    return [*layout.records(study), *layout.grids(study), *layout.baseline(study)]


def _track_inputs(study: Study, place: Place) -> list[str]:
    models = [] if study.file.together else [study.cell(*cell, "model.safetensors") for cell in study.cells()]
    return [*layout.records(study), *models, *layout.grids(study), *layout.baseline(study)]


def _planned(study: Study, place: Place) -> Iterator[str]:
    yield from flags(planned=study.plan())


def _report_roots(study: Study, place: Place) -> list[str]:
    read = [f"{PACKAGE}.study.results:{name}" for name in ("records", "grids", "costs", "facts")]
    metrics = entries("metrics:METRICS", study.metric_options())
    roles = entries("metrics:METRICS", study.metric_options(), "roles")
    return [f"{PACKAGE}.report:build", *read, *metrics, *roles]


def _track_roots(study: Study, place: Place) -> list[str]:
    read = [f"{PACKAGE}.study.results:{name}" for name in ("records", "grids")]
    return [
        f"{PACKAGE}.report.tracking:track",
        f"{PACKAGE}.report:grid_png",
        f"{PACKAGE}.together.records:means",
        *read,
    ]


JOBS: Mapping[str, Job] = {
    "prepare": Job(_nothing, _prepare_arguments, _prepare_roots, _dataset),
    "populate": Job(_nothing, _populate_arguments, _populate_roots),
    "learn": Job(_learn_inputs, _learn_arguments, _learn_roots),
    "extract_real": Job(_extract_real_inputs, _extract_real_arguments, _extract_real_roots, _extract_real_outside),
    "draw": Job(_draw_inputs, _draw_arguments, _draw_roots),
    "compose": Job(_train_inputs, _compose_arguments, _compose_roots),
    "train": Job(_train_inputs, _train_arguments, _train_roots),
    "sample": Job(_model_input, _sample_arguments, _sample_roots),
    "sample_raw": Job(_model_input, _sample_raw_arguments, _sample_roots),
    "grid": Job(_model_input, _grid_arguments, _sample_roots),
    "select": Job(_select_inputs, _select_arguments, _select_roots),
    "extract": Job(_extract_inputs, _extract_arguments, _extract_roots, _extract_outside),
    "record": Job(_record_inputs, _record_arguments, _record_roots),
    "baseline": Job(_baseline_inputs, _baseline_arguments, _baseline_roots),
    "replicate": Job(_nothing, _replicate_arguments, _replicate_roots),
    "report": Job(_report_inputs, _planned, _report_roots),
    "track": Job(_track_inputs, _planned, _track_roots),
}
