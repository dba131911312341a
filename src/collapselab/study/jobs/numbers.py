"""The jobs that measure, and those that make what people read."""

from collections.abc import Iterator, Mapping

from ...features import FEATURES
from ...metrics import METRICS
from ...store.provenance import PACKAGE, entries
from ...together.folded import folded
from .. import layout, looking, selected, stopping
from ..streams import task_file
from ..study import Study
from ..telling import as_json, flags, plain
from ..thinning import keeps
from .base import Job, Place, nothing, verb_roots
from .models import eaten, home
from .samples import key_words, mark_roots, mark_said, raw_input

# -- extract and record ------------------------------------------------------------------------------------------------


SETS = {"sampled": "samples", "raw": "raw"}
"""set -> noun, of the sets that have the same one in every arm."""


def measured(study: Study, place: Place) -> dict[str, str]:
    """The sets of samples that are measured apart, and their files."""
    own = {which: study.cell(*place.cell, f"{noun}.safetensors") for which, noun in SETS.items()}
    there = own | {"released": study.released_file(*place.cell)}
    return {which: there[which] for which in study.measured_sets(place.arm)}


def _extract_inputs(study: Study, place: Place) -> list[str]:
    names = looking.measured_in(study, place.arm)
    model = raw_input(study, place) if looking.through_model(study, place.arm) else []
    real = looking.real_seen(study, names).values()
    return [*measured(study, place).values(), *model, *real, *looking.weights(study, names)]


def _extract_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from flags(samples=[f"{which}={path}" for which, path in measured(study, place).items()])
    names = looking.measured_in(study, place.arm)
    yield from looking.eyes_with_options(study, names, study.model_file(*place.cell), study.lineages[place.arm].marks)
    yield from flags(real=[f"{part}={path}" for part, path in looking.real_seen(study, names).items()])
    if any(FEATURES[name].needs.through == "mark" for name in names):
        yield from flags(mark=as_json(mark_said(study, place.arm)), **key_words(study, place))


def _extract_outside(study: Study, place: Place) -> dict[str, str]:
    return looking.published(study, looking.measured_in(study, place.arm))


def _extract_roots(study: Study, place: Place) -> list[str]:
    names = looking.measured_in(study, place.arm)
    family = looking.family_roots(study, place.arm) if looking.through_model(study, place.arm) else []
    marked = any(FEATURES[name].needs.through == "mark" for name in names)
    detector = [*verb_roots("extract", "detector", "calibrates"), *looking.asked_roots(study, place.arm)]
    mark = [*mark_roots(study, place.arm), *detector] if marked else []
    return [*verb_roots("extract", "looked_at", "extract"), *looking.seer_roots(study, names), *family, *mark]


def _record_inputs(study: Study, place: Place) -> list[str]:
    population = _compared_with(study)
    own = [study.cell(*place.cell, noun) for noun in ("features.safetensors", "training.parquet")]
    own += [study.cell(*place.cell, "kept.parquet")] if study.selects(place.arm) else []
    own += [*_task_tables(study), *([_sampled(study, place)] if study.file.data.stream else [])]
    rows = eaten(study, home(study, place))
    files = [*own, *looking.references(study), *([population] if population else []), *rows]
    return [*files, *(path for path in _labelled(study, place).values() if path not in files)]


def _labelled(study: Study, place: Place) -> dict[str, str]:
    """The samples of a cell, and the real ones, whose labels metrics read; none where no metric does."""
    real = _labelled_real(study)
    return measured(study, place) | real if real else {}


def _labelled_real(study: Study) -> dict[str, str]:
    reads = any(METRICS[name].labelled for name in study.metric_options())
    return {part: study.part_file(part) for part in ("held_out", "train")} if reads else {}


def _label_roots(study: Study, *functions: str) -> list[str]:
    return verb_roots("record", *functions) if _labelled_real(study) else []


def _task_tables(study: Study) -> list[str]:
    """The held-out rows of each task of a stream."""
    return [task_file(study, part, task) for part, task in layout.tasks(study) if part == "held_out"]


def _sampled(study: Study, place: Place) -> str:
    return study.cell(*place.cell, "samples.safetensors")


def _compared_with(study: Study) -> str | None:
    """The file of the known truth whose moments are the reference; none of a stream, which has one for each task."""
    return None if study.file.data.stream else looking.truth_file(study)


def _compared(study: Study) -> Iterator[str]:
    yield from flags(
        reference=looking.references(study), population=_compared_with(study), against=study.file.reference
    )
    yield from flags(count=study.measured, metrics=as_json(study.metric_options()))


def _record_arguments(study: Study, place: Place) -> Iterator[str]:
    kept = study.cell(*place.cell, "kept.parquet") if study.selects(place.arm) else None
    cell = {"study": study.name, "arm": place.arm, "seed": place.seed, "generation": place.generation}
    yield from flags(features=study.cell(*place.cell, "features.safetensors"))
    yield from _compared(study)
    yield from flags(training=study.cell(*place.cell, "training.parquet"), kept=kept, cell=as_json(cell))
    if study.file.data.stream is not None:
        yield from flags(task=_task_tables(study), of_tasks=as_json(study.file.primary.model_dump()))
        yield from flags(samples=_sampled(study, place))  # whose labels, where it has some, say of which task they are
    yield from flags(labelled=[f"{which}={path}" for which, path in _labelled(study, place).items()])


def _metrics(study: Study) -> list[str]:
    return [*entries("metrics:METRICS", study.metric_options()), *looking.seer_roots(study, study.measured_in)]


def _record_roots(study: Study, place: Place) -> list[str]:
    called = ["role", "composition", "record", *(["by_task"] if study.file.data.stream else [])]
    labels = _label_roots(study, "labelled", "with_labels")
    return [*verb_roots("record", *called), *_metrics(study), *looking.truth_roots(study), *labels]


def _stop_inputs(study: Study, place: Place) -> list[str]:
    seen = stopping.looked_at(study, *place.cell)
    return [*seen["record"], *([seen["before"]] if "before" in seen else [])]


def _stop_arguments(study: Study, place: Place) -> Iterator[str]:
    rules = [rule._asdict() for rule in stopping.rules(study, place.arm)]
    after = study.cell(place.arm, place.seed, place.generation + 1, "training.parquet")
    yield from flags(rules=as_json(rules), **stopping.looked_at(study, *place.cell), next=after)


def _stop_roots(study: Study, place: Place) -> list[str]:
    return verb_roots("stop", "decide")


def _baseline_inputs(study: Study, place: Place) -> list[str]:
    population = _compared_with(study)
    return [*looking.references(study), *([population] if population else []), *_labelled_real(study).values()]


def _baseline_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _compared(study)
    yield from flags(labelled=[f"{part}={path}" for part, path in _labelled_real(study).items()])


def _baseline_roots(study: Study, place: Place) -> list[str]:
    labels = _label_roots(study, "labelled")
    return [*verb_roots("record", "role", "baseline"), *_metrics(study), *looking.truth_roots(study), *labels]


# -- all seeds at once, and what people read ---------------------------------------------------------------------------


def _replicate_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from flags(arm=as_json(folded(study.replicated(place.arm), study.lineages[place.arm].regime)))


def _replicate_roots(study: Study, place: Place) -> list[str]:
    metrics = entries("metrics:METRICS", study.metric_options(), "stacked")
    return [
        f"{PACKAGE}.together.loop:run",
        *looking.family_roots(study, place.arm),
        *looking.truth_roots(study),
        *metrics,
    ]


def _report_inputs(study: Study, place: Place) -> list[str]:
    decisions = [study.cell(*cell, "stop.json") for cell in study.all_cells() if stopping.decides(study, *cell)]
    return [*layout.records(study), *layout.grids(study), *layout.baseline(study), *selected.files(study), *decisions]


def _report_outside(study: Study, place: Place) -> dict[str, str]:
    return selected.survey_hash(study)


MODEL = "model.safetensors"


def _track_inputs(study: Study, place: Place) -> list[str]:
    cells = [] if study.file.together else study.cells()
    models = [study.cell(*cell, MODEL) for cell in cells if keeps(study, cell[2], MODEL)]
    report = study.report_file("report.html")  # which is attached
    return [*layout.records(study), *models, *layout.grids(study), *layout.baseline(study), report]


def _track_arguments(study: Study, place: Place) -> Iterator[str]:
    yield from _planned(study, place)
    yield from flags(attempt=layout.attempt_due(study) or None)


def _planned(study: Study, place: Place) -> Iterator[str]:
    yield from flags(planned=plain(study.plan()))


def _report_roots(study: Study, place: Place) -> list[str]:
    read = [f"{PACKAGE}.study.results:{name}" for name in ("records", "grids", "costs", "facts")]
    read += [f"{PACKAGE}.study.results:{name}" for name in ("clips", "real_clips")] if study.kind == "audio" else []
    metrics = entries("metrics:METRICS", study.metric_options())
    roles = entries("metrics:METRICS", study.metric_options(), "roles")
    drawn = [f"{PACKAGE}.report:{name}" for name in ("build", "glance")]
    drawn += [f"{PACKAGE}.report.made:made", f"{PACKAGE}.study.results:real_pictures"]
    drawn += (
        [f"{PACKAGE}.study.results:{name}" for name in ("texts", "real_texts")] if study.kind == "sequences" else []
    )
    return [*drawn, *read, f"{PACKAGE}.study.selected:selecting", *metrics, *roles]


def _track_roots(study: Study, place: Place) -> list[str]:
    read = [f"{PACKAGE}.study.results:{name}" for name in ("records", "grids", "costs")]
    return [
        f"{PACKAGE}.report.tracking:track",
        f"{PACKAGE}.report:grid_png",
        f"{PACKAGE}.report.colours:colours_of",
        f"{PACKAGE}.together.records:means",
        *read,
    ]


JOBS: Mapping[str, Job] = {
    "extract": Job(_extract_inputs, _extract_arguments, _extract_roots, _extract_outside),
    "record": Job(_record_inputs, _record_arguments, _record_roots),
    "stop": Job(_stop_inputs, _stop_arguments, _stop_roots),
    "baseline": Job(_baseline_inputs, _baseline_arguments, _baseline_roots),
    "replicate": Job(nothing, _replicate_arguments, _replicate_roots),
    "report": Job(_report_inputs, _planned, _report_roots, _report_outside),
    "track": Job(_track_inputs, _track_arguments, _track_roots),
}
