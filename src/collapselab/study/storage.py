"""What a study takes on disk, counted before it is there: by what its files hold, and what its ``keep`` saves of it."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.kinds import KINDS
from ..features import FEATURES
from ..models import MODELS
from . import layout, looking
from .budget import pictured
from .clearing import next_reads
from .lineages import of_labels
from .study import Study
from .thinning import keeps, kind_of

HEAD_BYTES = 700  # of a file of tensors: its header, and the hash beside it; measured
TABLE_BYTES, TABLE_ROW_BYTES = 5_000, 14  # of a table of rows as parquet; measured
NUMBER_BYTES = 900  # of a value in a record, with its fingerprint; measured
COST_BYTES = 400

NUMBERS_A_ROW: Mapping[str, int] = {
    "inception": 2048 + 1008,
    "inception-torchvision": 2048 + 1000,
    "dinov2": 1024,  # of the large networks, which are the published ones here
    "clip": 768,
    "resemblyzer": 256,
}
"""float32 numbers in a row of features of published networks, which nobody loads to count them."""
FEW_NUMBERS = 8  # float64, of what looks through a model, a mark or a truth: a column or a few


class Disk(NamedTuple):
    """What a study takes, in bytes by kind, and what of it its ``keep`` leaves out once it is finished.

    unknown: extractors of which nobody knows how wide their features are before the first are there.
    """

    bytes: Mapping[str, int]
    saved: int
    unknown: tuple[str, ...]

    @property
    def total(self) -> int:
        """All kinds."""
        return sum(self.bytes.values())


def disk(study: Study) -> Disk:
    """All files of all generations, and of the real data; of what the report is made is too little to count."""
    found: dict[str, int] = dict.fromkeys(("weights", "samples", "features", "pictures", "tables", "real data"), 0)
    widths = {name: row_bytes(study, name) for name in study.measured_in}
    unknown = tuple(name for name, width in widths.items() if width is None)
    if study.file.together:
        rows = sum(study.file.seeds * (arm.generations + 1) for arm in study.lineages.values())
        found["tables"] = rows * (2 + len(study.metric_options())) * 8
        return Disk({kind: size for kind, size in found.items() if size}, 0, ())
    stays = next_reads(study) if study.file.keep.next else set()
    size, saved = _sizes(study, {name: width or 0 for name, width in widths.items()}), 0
    for arm, seed, generation, noun in _nouns(study):
        many = size(arm, generation, noun)
        found[_kind(noun)] += many
        if not keeps(study, generation, noun) and study.cell(arm, seed, generation, noun) not in stays:
            saved += many
    found["real data"] = len(study.splits) * _real(study, widths)
    return Disk({kind: many for kind, many in found.items() if many}, saved, unknown)


def _nouns(study: Study) -> Iterator[tuple[str, int, int, str]]:
    for folder, nouns in layout.made(study):
        _, _, arm, seed, generation = folder.split("/")
        for noun in nouns:
            yield arm, int(seed.removeprefix("seed")), int(generation.removeprefix("gen")), noun


def _kind(noun: str) -> str:
    return kind_of(noun) or ("pictures" if noun == "grid.safetensors" else "tables")


def row_of(study: Study) -> int:
    """Bytes of one sample: uint8, or float64 and int64."""
    return math.prod(study.shape) * np.dtype(KINDS[study.kind].dtypes[-1]).itemsize


def row_bytes(study: Study, extractor: str) -> int | None:
    """Bytes of one sample's features; None where nobody knows.

    Of what looks at samples alone two rows are looked at; a network that is learnt here says its widths.
    """
    entry = FEATURES[extractor]
    if entry.needs.through == "nothing" and not entry.uses_torch and study.kind in entry.takes:
        found = entry.extract(np.zeros((2, *study.shape), KINDS[study.kind].dtypes[-1]))
        arrays = [np.asarray(one) for one in (found.values, found.classes, found.probabilities) if one is not None]
        return sum(array.nbytes for array in arrays) // 2
    if extractor in NUMBERS_A_ROW:
        return 4 * NUMBERS_A_ROW[extractor]
    if entry.needs.through in ("model", "truth", "mark"):
        return 8 * FEW_NUMBERS
    if entry.needs.through == "law":
        return 0  # one mean and one covariance for all samples: see _sizes
    options = study.extractor_options(extractor)
    if "features" in options:
        classes = 10 if "classes" in entry.gives else 0
        return 4 * (options["features"] + classes) + (8 if "classes" in entry.gives else 0)
    return None


def _sizes(study: Study, widths: Mapping[str, int]) -> Callable[[str, int, str], int]:
    """The bytes of a file of an arm's generation, by its noun."""
    shape, row, samples, dimension = study.shape, row_of(study), study.file.samples, math.prod(study.shape)
    values = len(study.metric_options()) * len(study.measured_in)

    drawn = of_labels(study.lineages.values())

    @cache
    def model(name: str, rows: int) -> int:
        own = () if name in drawn else shape
        return MODELS[study.family(name)].stored_bytes(study.parsed_options(name), own, rows)

    @cache
    def size(arm: str, generation: int, noun: str) -> int:
        name = study.model_of(arm)
        fitted = study.sizes(study.lineage(arm).name)[generation]
        labelled = 8 * (study.model_options(name).get("classes", 0) > 0 or name in drawn)
        if noun.endswith(".cost.json"):
            return COST_BYTES
        if noun == "metrics.json":
            return NUMBER_BYTES * values * len(study.measured_sets(arm))
        if noun == "training.parquet":
            return TABLE_BYTES + TABLE_ROW_BYTES * fitted
        if noun.endswith(".parquet"):
            return TABLE_BYTES + TABLE_ROW_BYTES * samples
        if kind_of(noun) == "weights":
            keeps_rows = not MODELS[study.family(name)].uses_torch  # a network keeps none
            return HEAD_BYTES + model(name, fitted * keeps_rows)
        if noun == "features.safetensors":
            sets, names = len(study.measured_sets(arm)), looking.measured_in(study, arm)
            laws = sum(FEATURES[one].needs.through == "law" for one in names) * 8 * dimension * (dimension + 2)
            return HEAD_BYTES * (1 + sets) + laws + sets * samples * sum(widths[one] for one in names)
        rows = {"drawn.safetensors": _drawn(study, arm, generation), "grid.safetensors": pictured(study)}
        return HEAD_BYTES + rows.get(noun, samples) * (row + labelled)

    return size


def _drawn(study: Study, arm: str, generation: int) -> int:
    """The rows that are made for a training set."""
    recipe, is_drawn = study.recipe(arm, generation), study.population_name is not None
    return sum(draw.count for draw in recipe.draws if (is_drawn if draw.is_real else recipe.resamples))


def _real(study: Study, widths: Mapping[str, int | None]) -> int:
    """The parts of the real data, and the features of two of them, with what every comparison would compute again."""
    split, row = study.file.data.split, row_of(study)
    parts = {part: split.parts().get(part, split.held_out) for part in layout.parts(study) if part != "population"}
    looked = sum(parts.get(part, 0) for part in ("train", "held_out"))
    references = len(looking.references(study))
    width = sum(widths[name] or 0 for name in study.measured_in)
    return sum(parts.values()) * row + looked * (width + references * 8 * 16)


def written(study: Study, root: Path = Path()) -> dict[str, int]:
    """What is on disk of the files that :func:`disk` counts, in bytes by kind, hashes counted."""
    found: dict[str, int] = {}
    for arm, seed, generation, noun in _nouns(study):
        path = root / study.cell(arm, seed, generation, noun)
        for file in (path, Path(f"{path}.sha256")):
            if file.exists():
                found[_kind(noun)] = found.get(_kind(noun), 0) + file.stat().st_size
    return found
