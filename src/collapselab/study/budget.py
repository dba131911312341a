"""What a study costs, counted before it is spent: images that its models see and make, and bytes on disk."""

import math
from functools import cache

from ..compose.regimes import size
from ..models import MODELS
from .study import Study
from .throughput import Work


def work(study: Study) -> dict[str, Work]:
    """The images that each model sees in training and makes, over all arms, seeds and generations.

    A closed form sees its training set once.
    """
    trained, sampled = dict.fromkeys(study.file.models, 0), dict.fromkeys(study.file.models, 0)
    for arm, _, generation in [*study.base_cells(), *(cell for cell in study.cells() if cell[2])]:
        lineage, budget = study.lineage(arm), study.images_seen(arm, generation)
        rows = size(lineage.regime, lineage.name, generation)
        trained[lineage.model] += rows if budget is None else budget
    for arm, _, generation in study.cells():
        trained[study.lineages[arm].model] += study.images_beside(arm, generation)
        number = len(study.measured_sets(arm)) * study.file.samples + (0 if study.file.together else study.file.grid)
        sampled[study.lineages[arm].model] += number
    return {name: Work(trained[name], sampled[name]) for name in study.file.models}


def disk_bytes(study: Study, trained: list[tuple[str, int, int]], samples: int) -> int:
    """What samples and models take."""
    shape = study.shape
    row = math.prod(shape) * (1 if study.kind == "images" else 8)  # bytes: uint8, or float64 and int64

    @cache
    def stored(model: str, rows: int) -> int:
        return MODELS[study.family(model)].stored_bytes(study.parsed_options(model), shape, rows)

    models = 0
    for arm, _, generation in trained:
        lineage = study.lineage(arm)
        keeps_rows = not MODELS[study.family(lineage.model)].uses_torch  # a network is not outlined for each number
        models += stored(lineage.model, keeps_rows * size(lineage.regime, lineage.name, generation))
    return samples * row + models
