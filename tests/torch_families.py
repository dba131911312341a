"""The families of networks at the smallest size, for the tests of what the training loop promises for each of them."""

from importlib.util import find_spec
from typing import Any

import numpy as np

from collapselab.core.sets import TrainingSet
from collapselab.models import MODELS

BATCH = 16  # of the smallest options of each
# The pretrained one is tuned by an extra; its tests are left out where that is not installed.
FAMILIES = [name for name, kind in MODELS.items() if kind.uses_torch and (name != "pretrained" or find_spec("peft"))]


def options_of(family: str, **changes: Any) -> Any:
    """The smallest options of a family for images, some of them changed."""
    kind = MODELS[family].Options
    return kind.model_validate(kind.smallest("images") | changes)


def images(count: int = 40) -> TrainingSet:
    """Noise of 8 x 8 pixels in two classes, with weights that are not equal."""
    source = np.random.default_rng(0)
    data = source.integers(0, 256, (count, 1, 8, 8), np.uint8)
    return TrainingSet(data, np.arange(count) % 2, source.uniform(0.5, 1.5, count))
