"""A study of somebody's own pictures: model, numbers and feature spaces that fit them, and what to expect of it."""

import json
from collections.abc import Iterator
from typing import NamedTuple

from ..data.enlarging import enlarged, unlike
from ..data.pictures import Pictures
from ..data.survey import Surveyed
from .beginning import MODELINE
from .faults import Fault
from .study import Study

GENERATIONS = 3
FEWEST = 24  # pictures, below which the neighbours that metrics look for are most of what there is
LOOKED_AT = 1_000  # pictures, at most, whose sizes are read when a study is checked
FEW_OF_A_CLASS = 20  # below so many an extractor learns little of a class
CLASSES_MAX = 100
HELD_OUT_MAX, VALIDATION_MAX = 10_000, 1_000


class Fit(NamedTuple):
    """What a preset of the family ``diffusion`` is for.

    sides: of the pictures that it takes, in pixels, in rising order. options: what is said beside the preset.
    images_seen: of one training. tried: training images of its source. rows: most that a training set has here, since
    so many are sampled in each generation. on_gpu: whether a training takes too long without one. hours: whether a
    study takes hours without one.
    """

    sides: tuple[int, ...]
    images_seen: int
    tried: int
    rows: int
    options: str = ""
    on_gpu: bool = False
    hours: bool = False


FITS = {
    "tiny": Fit(tuple(range(8, 16)), 128_000, 800, 2_000),
    "digits28": Fit((16, 20, 24, 28), 40_000, 2_500, 2_500, hours=True),
    # A tenth of what the preset says, and less of what goes with it: a loop trains dozens of them.
    "small32": Fit((32,), 2_000_000, 50_000, 10_000, "warmup_images: 50000, ema_half_life: 20000", True),
    "faces64": Fit((64,), 4_000_000, 70_000, 10_000, "warmup_images: 100000, ema_half_life: 40000", True),
}
"""preset -> what it is for, the smallest pictures first."""


class Rows(NamedTuple):
    """How many pictures go where."""

    train: int
    held_out: int
    fresh: int  # in each generation
    validation: int


def side_of(pictures: Surveyed, on_gpu: bool) -> int:
    """The side, in pixels, that pictures are shrunk to: the largest that a preset takes on such a machine."""
    return max(side for side in sides(on_gpu) if side <= pictures.side)


def sides(on_gpu: bool = True) -> list[int]:
    """The sides that presets take; without a GPU those that a CPU trains in minutes."""
    return [side for fit in FITS.values() if on_gpu or not fit.on_gpu for side in fit.sides]


def faults(pictures: Surveyed, side: int | None) -> Iterator[str]:
    """What keeps pictures from being studied. side: as it was asked for."""
    if pictures.count < FEWEST:
        passed = f" (passed over: {pictures.passed})" if pictures.passed else ""
        yield (
            f"found {pictures.count} pictures{passed}; a study needs {FEWEST} at least, and several hundred to say "
            "something"
        )
    if pictures.side < sides()[0]:
        yield f"found a side of {pictures.side} pixels; allowed are sides of at least {sides()[0]}"
    elif side is not None and (side not in sides() or side > pictures.side):
        fitting = [one for one in sides() if one <= pictures.side]
        most = f"pictures have sides of {pictures.side} pixels at least, and are not enlarged"
        yield f"resolution: found {side}; allowed are {', '.join(map(str, fitting))}: {most}"


def rows(count: int, most: int) -> Rows:
    """How so many pictures are shared out: a third is held out, some are never seen before their generation."""
    held_out = min(count // 3, HELD_OUT_MAX)
    validation = min(count // 10, VALIDATION_MAX) if count >= 1_000 else 0
    rest = count - held_out - validation
    fresh = rest // 20 if count >= 200 else 0
    train = min(rest - GENERATIONS * fresh, most)
    return Rows(train, held_out, min(fresh, train // 4), validation)


def classes(pictures: Surveyed) -> int:
    """The classes that a study can tell apart; 0 where there are none, or too many, or too few pictures of one."""
    many = len(pictures.labels)
    return many if 1 < many <= CLASSES_MAX and min(pictures.labels) >= FEW_OF_A_CLASS else 0


def preset_of(side: int) -> str:
    """The preset that takes pictures of such a side."""
    return next(preset for preset, fit in FITS.items() if side in fit.sides)


def notes(pictures: Surveyed, side: int, on_gpu: bool) -> Iterator[str]:
    """What somebody should know of a study before it runs, a sentence each."""
    preset = preset_of(side)
    fit, split = FITS[preset], rows(pictures.count, FITS[preset].rows)
    if split.train < fit.tried:
        yield (
            f"{split.train} pictures are few to train on: the preset {preset} was tried on {fit.tried:,}. The model "
            "may not learn what they look like, or learn them by heart, which copies_of_training says"
        )
    if len(pictures.labels) > 1 and not classes(pictures):
        least, many = min(pictures.labels), len(pictures.labels)
        told = f"more than {CLASSES_MAX} classes" if many > CLASSES_MAX else f"a class of {least} pictures"
        yield f"labels are not used: there is {told}, of which no feature space can be learnt"
    if pictures.copies:
        yield (
            f"{pictures.copies} pictures are copies of others: a held-out one may be trained on, which makes a model "
            "look better than it is"
        )
    if side < pictures.side:
        larger = [one for one in sides() if side < one <= pictures.side]
        more = f"; with a GPU: --resolution {larger[-1]}" if larger and not on_gpu else ""
        yield f"pictures are shrunk to {side} x {side} pixels{more}"
    if fit.hours and not on_gpu:
        yield (
            "without a GPU this takes hours: collapselab plan says how many. For a first look, "
            f"--resolution {FITS['tiny'].sides[-1]} takes about a fifteenth of that"
        )
    if fit.on_gpu and not on_gpu:
        yield f"the preset {preset} needs a GPU, and here is none"


def text(name: str, pictures: Surveyed, source: str, path: str, side: int) -> str:
    """The study's file.

    source: ``folder`` or ``zip``. path: of the pictures, as it was said. side: what they are shrunk to, in pixels.
    """
    preset, many = preset_of(side), classes(pictures)
    fit = FITS[preset]
    split = rows(pictures.count, fit.rows)
    options = {"path": path, "channels": pictures.channels}
    options |= {} if pictures.square and side == pictures.side else {"resolution": side}
    options |= {} if pictures.square else {"crop": "centre"}
    options |= {"labels": "ignore"} if pictures.ignored or (pictures.labels and not many) else {}
    said = ", ".join(f"{key}: {json.dumps(one, ensure_ascii=False)}" for key, one in options.items())
    parts = {"train": split.train, "held_out": split.held_out, "fresh": split.fresh * GENERATIONS}
    parts |= {"validation": split.validation}
    shared = ", ".join(f"{part}: {rows}" for part, rows in parts.items() if rows)
    shown = f"classes: {many}" + (f", {fit.options}" if fit.options else "")
    of_classes = "class_histogram, class_entropy, " if many else ""
    space = "lenet" if many else "random-conv"
    about = "learnt on the training pictures and their labels" if many else "needs no labels"
    return f"""{MODELINE}\
# A study of {pictures.count:,} pictures, as collapselab new --from wrote it. Every number may be changed; collapselab
# validate {name} says what is wrong with it, collapselab plan {name} how long it takes.
name: {name}
question: What happens to a model of these pictures when it is trained on its own output, and what slows it?

seed: 1        # every random number of the study follows from it
seeds: 3       # replicates of every arm; below three there is no verdict
generations: {GENERATIONS} # after generation 0, which is trained on real pictures only and shared by the arms

data:
  source: {{{source}: {{{said}}}}}
  split: {{{shared}}} # once, for the whole study

models:
  model: {{diffusion: {{preset: {preset}, {shown}}}}}

initial: {{real: {split.train}}} # pictures that generation 0 is trained on
samples: {split.train}         # drawn from each model at each generation
train: {{images_seen: {fit.images_seen}}} # of every training, repeats counted: more take longer, and learn better

extractors: [{space}, pixels] # {space}: {about}
metrics: [frechet_distance, precision, recall, density, coverage, variance_ratio, {of_classes}copies_of_training]
primary: {{metric: recall, extractor: {space}}} # what the verdict is about

arms:
  fully_synthetic:
    model: model
    regime: fully_synthetic
    about: only the last model's samples
  half_real:
    model: model
    regime: {{synthetic_augmentation: {{fixed: {split.train // 2}}}}}
    about: half of the training set stays real
{_fresh(split)}"""


def _fresh(split: Rows) -> str:
    """The arm that sees new pictures in each generation, where there are enough."""
    if not split.fresh:
        return ""
    return f"""\
  fresh_data:
    model: model
    regime: {{fresh_data: {{fresh: {split.fresh}}}}}
    about: some pictures in each generation that no model has seen
"""


def size_faults(study: Study) -> Iterator[Fault]:
    """Pictures that differ in size, or are no squares, where the study does not say how they are made alike."""
    pictures = None if study.population_name else study.dataset
    if not isinstance(pictures, Pictures) or pictures.check():
        return
    names = pictures.listing().names
    if found := unlike(pictures, names[:: -(-len(names) // LOOKED_AT)]):
        yield Fault(("data", "source", study.origin.name), found)


def remarks(study: Study) -> Iterator[str]:
    """What whoever checks a study of pictures has to know: those that it enlarges, of a thousand of them."""
    pictures = None if study.population_name else study.dataset
    if not isinstance(pictures, Pictures) or pictures.resolution is None or pictures.check():
        return
    names = pictures.listing().names
    found = enlarged(pictures, names[:: -(-len(names) // LOOKED_AT)], pictures.resolution)
    if found is not None:
        yield (
            f"{found} that were looked at are smaller than {pictures.resolution} x {pictures.resolution} pixels and "
            f"are enlarged, which adds no detail that a model could learn; resolution: {found.least} enlarges none"
        )
