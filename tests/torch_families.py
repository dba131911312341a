"""The families of networks at the smallest size, for the tests of what the training loop promises for each of them."""

from typing import Any

import numpy as np

from collapselab.core.sets import TrainingSet
from collapselab.models import MODELS

BATCH = 16

SMALL: dict[str, dict[str, Any]] = {
    "diffusion": {
        "preset": "tiny",
        "channels": 16,
        "blocks": 1,
        "classes": 2,
        "batch": BATCH,
        "flip": True,
        "sample_batch": 8,
    },
    # Every phase, and every controller, within four steps.
    "stylegan2": {
        "preset": "tiny",
        "channel_max": 8,
        "classes": 2,
        "batch": BATCH,
        "r1_every": 2,
        "path_weight": 1.0,
        "path_every": 2,
        "style_mixing": 0.5,
        "ada_every": 3,
        "ada_images": 100,
        "sample_batch": 8,
    },
    "vae": {"network": "conv", "channels": 4, "batch": BATCH, "sample_batch": 8},
    "flow": {"transforms": 2, "hidden": 8, "bins": 4, "batch": BATCH, "sample_batch": 8},
    "gan": {"hidden": 8, "layers": 2, "batch": BATCH, "sample_batch": 8},
}
FAMILIES = [name for name in SMALL if name in MODELS]


def options_of(family: str, **changes: Any) -> Any:
    """The smallest options of a family, some of them changed."""
    return MODELS[family].Options.model_validate(SMALL[family] | changes)


def images(count: int = 40) -> TrainingSet:
    """Noise of 8 x 8 pixels in two classes, with weights that are not equal."""
    source = np.random.default_rng(0)
    data = source.integers(0, 256, (count, 1, 8, 8), np.uint8)
    return TrainingSet(data, np.arange(count) % 2, source.uniform(0.5, 1.5, count))
