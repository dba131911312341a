"""What the jobs of the workflow ask of a study: which files each reads, what it is told, and which source it hangs on.

A job reads no study file, which may have changed since the plan: whatever it depends on is an input, an argument or the
hash of its source, where a change is seen. Nothing cheap is an argument of something dear.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from shlex import quote
from typing import Any, NamedTuple

from .compose.regimes import at
from .config import Study
from .features import FEATURES
from .store.provenance import PACKAGE, entries, source_hash


class Place(NamedTuple):
    """Where a job stands: in an arm, a replicate and a generation, or at an extractor of the real data."""

    arm: str = ""
    seed: int = 0
    generation: int = 0
    extractor: str = ""

    @classmethod
    def of(cls, wildcards: Any) -> "Place":
        """The place that Snakemake's wildcards name."""
        numbers = {name: int(getattr(wildcards, name, 0)) for name in ("seed", "generation")}
        return cls(getattr(wildcards, "arm", ""), extractor=getattr(wildcards, "extractor", ""), **numbers)

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
        yield preparing(study), Place()
        yield from (("learn", Place(extractor=name)) for name in study.trained_extractors)
        yield from (("extract_real", Place(extractor=name)) for name in study.extractors)
        yield "baseline", Place()
        for cell in [*study.base_cells(), *(cell for cell in study.cells() if cell[2])]:
            yield from (("draw", Place(*cell)),) if study.needs_drawing(cell[0], cell[2]) else ()
            yield from (("compose", Place(*cell)), ("train", Place(*cell)))
        for cell in study.cells():
            yield from ((verb, Place(*cell)) for verb in _verbs_of(study, cell[0]))
    yield from (("report", Place()), ("track", Place()))


def _verbs_of(study: Study, arm: str) -> list[str]:
    """What is done with a trained model of an arm, in order."""
    verbs = ["sample", *(["sample_raw"] if "raw" in study.measured_sets(arm) else [])]
    verbs += ["grid"] if study.kind == "images" else []
    return [*verbs, *(["select"] if study.selects(arm) else []), "extract", "record"]


# -- words ------------------------------------------------------------------------------------------------------------


def _json(value: Any) -> str:
    return value.model_dump_json() if hasattr(value, "model_dump_json") else json.dumps(value, sort_keys=True)


def _flags(**flags: Any) -> Iterator[str]:
    """``--name value`` of everything that is said; a list says it several times."""
    for name, value in flags.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one != "":
                yield from (f"--{name.replace('_', '-')}", one if isinstance(one, str) else str(one))


def _verb(name: str, *functions: str) -> list[str]:
    return [f"{PACKAGE}.verbs.{name}:{function}" for function in functions]


def _seeds(study: Study, place: Place) -> dict[str, int]:
    return {"study_seed": study.file.seed, "seed": place.seed, "generation": place.generation}


# -- what looks through what ------------------------------------------------------------------------------------------


def _population(study: Study) -> str | None:
    """The file of the known truth, if there is one."""
    return study.real_file("population.safetensors") if study.file.data.population else None


def _truth(study: Study) -> list[str]:
    name = study.file.data.population
    return entries("populations:POPULATIONS", [name] if name else [])


def _family(study: Study, arm: str) -> list[str]:
    return entries("models:MODELS", [study.family(study.model_of(arm))])


def _looks_with(study: Study, name: str, model: str) -> str | None:
    """The file that an extractor looks with; what describes laws looks at the known truth where there is no model."""
    extractor = FEATURES[name]
    if extractor.of_population or (extractor.of_law and not model):
        return _population(study)
    return model if extractor.of_model or extractor.of_law else study.weights(name) or None


def _sees_truth(names: Iterable[str]) -> bool:
    return any(FEATURES[name].of_population or FEATURES[name].of_law for name in names)


def _eyes(study: Study, names: Iterable[str], model: str = "") -> Iterator[str]:
    """Extractors as arguments, with their weights, or the model or the known truth that some look through."""
    for name in names:
        path = _looks_with(study, name, model)
        yield from ("--extractor", f"{name}={path}" if path else name)


def _looking(study: Study, names: list[str], model: str = "") -> Iterator[str]:
    """The same with their options."""
    options = {name: said for name in names if (said := study.extractor_options(name))}
    yield from _eyes(study, names, model)
    yield from _flags(options=_json(options))


def _published(study: Study, names: Iterable[str]) -> dict[str, str]:
    """The hashes of published weights."""
    return {name: study.published_weights(name) for name in names if FEATURES[name].published}


def _weights(study: Study, names: Iterable[str]) -> list[str]:
    """The files that extractors look with and that the workflow makes."""
    learnt = [study.weights(name) for name in names if name in study.trained_extractors]
    return [*learnt, *([_population(study)] if _sees_truth(names) else [])]


def _seers(study: Study, names: Iterable[str]) -> list[str]:
    return [*entries("features:FEATURES", names), *(_truth(study) if _sees_truth(names) else [])]


def _through_model(study: Study) -> list[str]:
    """The extractors that look through the generation's own model."""
    return [name for name in study.measured_in if FEATURES[name].of_model or FEATURES[name].of_law]


def _real_seen(study: Study) -> dict[str, str]:
    """The real data that some extractors see through the generation's own model."""
    if not any(FEATURES[name].of_model for name in study.measured_in):
        return {}
    return {part: study.real_file(f"{part}.safetensors") for part in ("held_out", "train")}


def references(study: Study) -> list[str]:
    """The features of the real data that every record is compared with."""
    return [study.extractor_file("features", name) for name in study.measured_in if not FEATURES[name].of_model]


def needs_gpu(study: Study, names: Iterable[str]) -> bool:
    """Whether extractors look with a network, their own or the arm's model."""
    return any(FEATURES[name].uses_torch or (FEATURES[name].of_model and study.kind == "images") for name in names)


def preparing(study: Study) -> str:
    """The verb that makes the study's real data."""
    return "populate" if study.file.data.population else "prepare"


def parts(study: Study) -> list[str]:
    """The files that it makes."""
    known, data = ("population", "held_out", "train"), study.file.data
    return [study.real_file(f"{part}.safetensors") for part in (known if data.population else data.split.parts())]


# -- real data --------------------------------------------------------------------------------------------------------


def _prepare_arguments(study: Study, place: Place) -> Iterator[str]:
    data = study.file.data
    rare = {str(label): share for label, share in data.rare.items()}
    yield from _flags(source=data.source, options=_json(data.options), sizes=_json(data.split.parts()))
    yield from _flags(rare=_json(rare), split_seed=data.split_seed, out=study.real_file(""))


def _dataset(study: Study, place: Place) -> dict[str, str]:
    return {"files": study.dataset.fingerprint()}


def _prepare_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("prepare", "prepare"), *entries("data:DATASETS", [study.file.data.source])]


def _populate_arguments(study: Study, place: Place) -> Iterator[str]:
    data = study.file.data
    yield from _flags(population=data.population, options=_json(data.options))
    yield from _flags(held_out=data.split.held_out, split_seed=data.split_seed, out=study.real_file(""))


def _populate_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("prepare", "populate"), *_truth(study)]


def _learn_inputs(study: Study, place: Place) -> list[str]:
    return [study.real_file(f"{part}.safetensors") for part in ("train", "held_out")]


def _learn_arguments(study: Study, place: Place) -> Iterator[str]:
    train, held_out = _learn_inputs(study, place)
    yield from _flags(extractor=place.extractor, options=_json(study.extractor_options(place.extractor)))
    yield from _flags(train=train, held_out=held_out, split_seed=study.file.data.split_seed)


def _learn_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("prepare", "learn"), *entries("features:FEATURES", [place.extractor])]


def _extract_real_inputs(study: Study, place: Place) -> list[str]:
    return [*_learn_inputs(study, place), *_weights(study, [place.extractor])]


def _extract_real_arguments(study: Study, place: Place) -> Iterator[str]:
    sets = [f"{part}={study.real_file(f'{part}.safetensors')}" for part in ("train", "held_out")]
    yield from _flags(samples=sets)
    yield from _looking(study, [place.extractor])
    yield "--as-reference"


def _extract_real_outside(study: Study, place: Place) -> dict[str, str]:
    return _published(study, [place.extractor])


def _extract_real_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("extract", "looked_at", "extract"), *_seers(study, [place.extractor])]


# -- compose and train ------------------------------------------------------------------------------------------------


def _draw_inputs(study: Study, place: Place) -> list[str]:
    population = _population(study)
    return [*study.resampled(*place.cell).values(), *([population] if population else [])]


def _draw_arguments(study: Study, place: Place) -> Iterator[str]:
    models, about = study.resampled(*place.cell), {}
    for name in models:
        arm, _, generation = name.partition(":")
        own = study.lineages[arm]
        about[name] = {"stream": own.stream, "sampling_bias": at(own.sampling_bias, int(generation))}
    yield from _flags(recipe=_json(study.recipe(place.arm, place.generation)), population=_population(study))
    yield from _flags(model=[f"{name}={path}" for name, path in models.items()], about=_json(about))
    yield from _flags(study_seed=study.file.seed, seed=place.seed)


def _draw_roots(study: Study, place: Place) -> list[str]:
    arms = sorted({name.partition(":")[0] for name in study.resampled(*place.cell)})
    families = [root for arm in arms for root in _family(study, arm)]
    return [*_verb("compose", "draw"), *families, *_truth(study)]


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
    yield from _flags(recipe=_json(study.recipe(place.arm, place.generation)))
    yield from _flags(sources=_json(study.sources(*place.cell)))
    yield from _flags(drawn=study.cell(*place.cell, "drawn.safetensors") if drawn else None)
    yield from _flags(study_seed=study.file.seed, seed=place.seed)


def _train_arguments(study: Study, place: Place) -> Iterator[str]:
    model, chosen = study.model_of(place.arm), study.chosen_by(*place.cell)
    yield from _flags(family=study.family(model), options=_json(study.model_options(model)))
    yield from _flags(images_seen=study.images_seen(place.arm, place.generation), init=study.init_file(*place.cell))
    yield from _flags(validation=chosen.get("validation"), chosen_by=chosen.get("model"))
    yield from _flags(**_seeds(study, place))


def _compose_roots(study: Study, place: Place) -> list[str]:
    return _verb("compose", "compose")


def _train_roots(study: Study, place: Place) -> list[str]:
    called = ("settle", "budget", "as_it_is", "rows_of", "whole", "training_seed", "train")
    return [*_verb("train", *called), *_family(study, place.arm)]


# -- sample and select ------------------------------------------------------------------------------------------------


def _model_input(study: Study, place: Place) -> list[str]:
    return [study.cell(*place.cell, "model.safetensors")]


def _sampled(study: Study, place: Place, count: int, biased: bool) -> Iterator[str]:
    arm = study.lineages[place.arm]
    bias = at(arm.sampling_bias, place.generation) if biased else None
    yield from _flags(model=study.cell(*place.cell, "model.safetensors"), count=count)
    yield from _flags(sampling_bias=bias, stream=arm.stream, **_seeds(study, place))


def _sample_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _sampled(study, place, study.file.samples, True)


def _sample_raw_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _sampled(study, place, study.file.samples, False)


def _grid_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _sampled(study, place, study.file.grid, True)
    yield from _flags(stage="grid")


def _sample_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("sample", "sample_seed", "piece_size", "sample", "joined"), *_family(study, place.arm)]


def _select_inputs(study: Study, place: Place) -> list[str]:
    reads = study.read_by(place.arm)
    seen = [study.real_file("train.safetensors"), *_weights(study, [reads])] if reads else []
    return [study.cell(*place.cell, "samples.safetensors"), *seen]


def _select_arguments(study: Study, place: Place) -> Iterator[str]:
    arm, reads = study.lineages[place.arm], study.read_by(place.arm)
    yield from _flags(samples=study.cell(*place.cell, "samples.safetensors"), selector=arm.selector)
    yield from _flags(options=_json(arm.select_options), **_seeds(study, place))
    if reads:
        yield from _eyes(study, [reads])
        yield from _flags(train=study.real_file("train.safetensors"))


def _select_roots(study: Study, place: Place) -> list[str]:
    reads = study.read_by(place.arm)
    seen = [*_verb("select", "look"), *_seers(study, [reads])] if reads else []
    selector = entries("select:SELECTORS", [study.lineages[place.arm].selector])
    return [*_verb("select", "select"), *selector, *seen]


# -- extract and record -----------------------------------------------------------------------------------------------


def measured(study: Study, place: Place) -> dict[str, str]:
    """The sets of samples that are measured apart, and their files."""
    nouns = {"sampled": "samples.safetensors", "raw": "raw.safetensors"}
    return {which: study.cell(*place.cell, nouns[which]) for which in study.measured_sets(place.arm)}


def _extract_inputs(study: Study, place: Place) -> list[str]:
    through = [*_model_input(study, place), *_real_seen(study).values()] if _through_model(study) else []
    return [*measured(study, place).values(), *through, *_weights(study, study.measured_in)]


def _extract_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _flags(samples=[f"{which}={path}" for which, path in measured(study, place).items()])
    yield from _looking(study, study.measured_in, study.cell(*place.cell, "model.safetensors"))
    yield from _flags(real=[f"{part}={path}" for part, path in _real_seen(study).items()])


def _extract_outside(study: Study, place: Place) -> dict[str, str]:
    return _published(study, study.measured_in)


def _extract_roots(study: Study, place: Place) -> list[str]:
    family = _family(study, place.arm) if _through_model(study) else []
    return [*_verb("extract", "looked_at", "extract"), *_seers(study, study.measured_in), *family]


def _record_inputs(study: Study, place: Place) -> list[str]:
    population = _population(study)
    own = [study.cell(*place.cell, noun) for noun in ("features.safetensors", "training.parquet")]
    own += [study.cell(*place.cell, "kept.parquet")] if study.selects(place.arm) else []
    home = place._replace(arm=place.arm if place.generation else study.lineages[place.arm].base)
    return [*own, *references(study), *([population] if population else []), *_eaten(study, home)]


def _compared(study: Study) -> Iterator[str]:
    yield from _flags(reference=references(study), population=_population(study), against=study.file.reference)
    yield from _flags(count=study.measured, metrics=_json(study.metric_options()))


def _record_arguments(study: Study, place: Place) -> Iterator[str]:
    kept = study.cell(*place.cell, "kept.parquet") if study.selects(place.arm) else None
    cell = {"study": study.name, "arm": place.arm, "seed": place.seed, "generation": place.generation}
    yield from _flags(features=study.cell(*place.cell, "features.safetensors"))
    yield from _compared(study)
    yield from _flags(training=study.cell(*place.cell, "training.parquet"), kept=kept, cell=_json(cell))


def _metrics(study: Study) -> list[str]:
    return [*entries("metrics:METRICS", study.metric_options()), *_seers(study, study.measured_in)]


def _record_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("record", "role", "composition", "record"), *_metrics(study), *_truth(study)]


def _baseline_inputs(study: Study, place: Place) -> list[str]:
    population = _population(study)
    return [*references(study), *([population] if population else [])]


def _baseline_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _compared(study)


def _baseline_roots(study: Study, place: Place) -> list[str]:
    return [*_verb("record", "role", "baseline"), *_metrics(study), *_truth(study)]


def whole(study: Study) -> list[str]:
    """All files of all generations: asked for one by one, since a file that is missing in the middle is no reason to
    Snakemake to make it again, as long as what was made from it is there.
    """
    if study.file.together:
        return records(study)
    return list(dict.fromkeys(file for cell in study.cells() for file in _whole(study, Place(*cell))))


def _whole(study: Study, place: Place) -> list[str]:
    drawn = ["draw"] if study.needs_drawing(place.arm, place.generation) else []
    verbs = [*drawn, "train", *_verbs_of(study, place.arm)]
    return [study.cell(*place.cell, noun) for verb in verbs for noun in NOUNS[verb]]


def real(study: Study) -> list[str]:
    """The files of the real data, and what extractors make of them."""
    learnt = [study.weights(name) for name in study.trained_extractors]
    return [] if study.file.together else [*parts(study), *learnt, *references(study)]


# -- all seeds at once, and what people read --------------------------------------------------------------------------


def _nothing(study: Study, place: Place) -> list[str]:
    return []


def _replicate_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _flags(arm=_json(study.replicated(place.arm)))


def _replicate_roots(study: Study, place: Place) -> list[str]:
    metrics = entries("metrics:METRICS", study.metric_options())
    return [f"{PACKAGE}.together.loop:run", *_family(study, place.arm), *_truth(study), *metrics]


def records(study: Study) -> list[str]:
    """The files of numbers that the report is drawn from."""
    if study.file.together:
        return [study.table(arm, noun) for noun in ("parquet", "cost.json") for arm in study.lineages]
    return [study.cell(*cell, "metrics.json") for cell in study.cells()]


def grids(study: Study) -> list[str]:
    """The pictures of all generations; vectors and categories have none."""
    has_pictures = study.kind == "images" and not study.file.together
    return [study.cell(*cell, "grid.safetensors") for cell in study.cells()] if has_pictures else []


WRITTEN = ("report.html", "metrics.csv", "summary.csv", "curves.csv", "primary.csv", "summary.json", "verdicts.json")


def reported(study: Study) -> list[str]:
    """The files of the report, of the line that a perfect model would reach, and of the mirror."""
    return [*baseline(study), *(study.report_file(name) for name in (*WRITTEN, "tracked.json"))]


def baseline(study: Study) -> list[str]:
    """What a perfect model would score."""
    return [] if study.file.together else [study.report_file("baseline.json")]


def _report_inputs(study: Study, place: Place) -> list[str]:
    return [*records(study), *grids(study), *baseline(study)]


def _track_inputs(study: Study, place: Place) -> list[str]:
    models = [] if study.file.together else [study.cell(*cell, "model.safetensors") for cell in study.cells()]
    return [*records(study), *models, *grids(study), *baseline(study)]


def _planned(study: Study, place: Place) -> Iterator[str]:
    yield from _flags(planned=study.plan())


def _report_roots(study: Study, place: Place) -> list[str]:
    read = [f"{PACKAGE}.results:{name}" for name in ("records", "grids", "costs", "facts")]
    return [f"{PACKAGE}.report:build", *read, *entries("metrics:METRICS", study.metric_options())]


def _track_roots(study: Study, place: Place) -> list[str]:
    read = [f"{PACKAGE}.results:{name}" for name in ("records", "grids")]
    return [
        f"{PACKAGE}.report.tracking:track",
        f"{PACKAGE}.report:grid_png",
        f"{PACKAGE}.together.records:means",
        *read,
    ]


NOUNS: Mapping[str, tuple[str, ...]] = {
    "draw": ("drawn.safetensors",),
    "train": ("training.parquet", "model.safetensors", "train.cost.json"),
    "sample": ("samples.safetensors", "sample.cost.json"),
    "sample_raw": ("raw.safetensors", "sample_raw.cost.json"),
    "grid": ("grid.safetensors",),
    "select": ("kept.parquet", "select.cost.json"),
    "extract": ("features.safetensors", "extract.cost.json"),
    "record": ("metrics.json", "record.cost.json"),
}
"""What a verb leaves in a generation's folder."""

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
