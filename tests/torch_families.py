"""The families of networks at the smallest size, for the tests of what the training loop promises for each of them."""

from importlib.util import find_spec
from typing import Any

import numpy as np

from collapselab.core.sets import TrainingSet
from collapselab.models import MODELS

BATCH = 16  # of the smallest options of each
# The pretrained ones are tuned by an extra; their tests are left out where that is not installed.
TRAINED = [name for name, kind in MODELS.items() if kind.uses_torch and ("pretrained" not in name or find_spec("peft"))]
FAMILIES = [name for name in TRAINED if "images" in MODELS[name].takes]
WRITERS = [name for name in TRAINED if "sequences" in MODELS[name].takes]
LOOPED = [*FAMILIES, "transformer"]  # the other writer is dear to load, and adds to it no way of being trained


def options_of(family: str, **changes: Any) -> Any:
    """The smallest options of a family for images, or for sequences, some of them changed."""
    kind = MODELS[family].Options
    return kind.model_validate(kind.smallest("sequences" if family in WRITERS else "images") | changes)


def rows_of(family: str, count: int = 40) -> TrainingSet:
    """What a family is trained on here: :func:`images`, or noise of six tokens, with weights that are not equal."""
    if family not in WRITERS:
        return images(count)
    source = np.random.default_rng(0)
    tokens = source.integers(0, 5, (count, 6), np.int32)
    return TrainingSet(tokens, None, source.uniform(0.5, 1.5, count))


def images(count: int = 40) -> TrainingSet:
    """Noise of 8 x 8 pixels in two classes, with weights that are not equal."""
    source = np.random.default_rng(0)
    data = source.integers(0, 256, (count, 1, 8, 8), np.uint8)
    return TrainingSet(data, np.arange(count) % 2, source.uniform(0.5, 1.5, count))
