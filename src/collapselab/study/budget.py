"""What a study costs, counted before it is spent: images that its models see and make, and bytes on disk."""

import math
from functools import cache

from ..models import MODELS
from .study import Study
from .throughput import Work


def work(study: Study) -> dict[str, Work]:
    """The images that each model sees in training and makes, over all arms, seeds and generations.

    A closed form sees its training set once.
    """
    trained, sampled = dict.fromkeys(study.file.models, 0), dict.fromkeys(study.file.models, 0)
    for arm, _, generation in [*study.base_cells(), *(cell for cell in study.all_cells() if cell[2])]:
        lineage, budget = study.lineage(arm), study.images_seen(arm, generation)
        rows = study.sizes(lineage.name)[generation]
        trained[lineage.model] += rows if budget is None else budget
    for arm, seed, generation in study.all_cells():
        model, beside = study.lineages[arm].model, study.auxiliaries(arm, generation).values()
        trained[model] += study.images_beside(arm, generation)
        steered = [name for name in study.measured_sets(arm) if name != "released"]  # which are those that were sampled
        steered += ["marked"] if study.lineages[arm].marks == "noise" else []
        pictures = pictured(study) if study.is_own(seed) else 0
        sampled[model] += len(steered) * study.file.samples + pictures + sum(one.samples for one in beside)
    return {name: Work(trained[name], sampled[name]) for name in study.file.models}


def pictured(study: Study) -> int:
    """Samples in the picture of a generation; 0 where there are no pictures."""
    return study.file.grid if study.kind == "images" and not study.file.together else 0


def disk_bytes(study: Study) -> int:
    """What samples and models take."""
    shape = study.shape
    row = math.prod(shape) * (1 if study.kind == "images" else 8)  # bytes: uint8, or float64 and int64

    @cache
    def stored(model: str, rows: int) -> int:
        return MODELS[study.family(model)].stored_bytes(study.parsed_options(model), shape, rows)

    def kept(arm: str, rows: int) -> int:
        model = study.model_of(arm)
        return stored(model, rows * (not MODELS[study.family(model)].uses_torch))  # a network keeps no rows

    def fitted_to(arm: str, generation: int) -> int:
        return study.sizes(study.lineage(arm).name)[generation]

    cells = list(study.all_cells())
    models = [(arm, fitted_to(arm, t)) for arm, _, t in [*study.base_cells(), *(cell for cell in cells if cell[2])]]
    for arm, _, generation in cells:
        models += [(arm, fitted_to(arm, generation))] if study.lineages[arm].adapt else []
        beside = study.auxiliaries(arm, generation).values()
        models += [(arm, one.samples if one.on == "own" else fitted_to(arm, generation)) for one in beside]
    samples = sum(len(study.measured_sets(arm)) * study.file.samples for arm, _, _ in cells)
    samples += pictured(study) * len(list(study.cells()))
    return samples * row + sum(kept(arm, rows) for arm, rows in models)
