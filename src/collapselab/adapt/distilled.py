"""A model that learns new data while it is held to what it said before: distillation of the model as it was."""

from typing import Any

from pydantic import Field

from ..core.run import Run
from .base import Given
from .tuning import TuningOptions


class DistilledOptions(TuningOptions):
    """How strongly it is held to what it said, and of which rows."""

    strength: float = Field(1.0, ge=0, allow_inf_nan=False, description="weight of what it said beside the own loss")
    samples: int = Field(
        0,
        ge=0,
        description="own samples of the model as it was, of which it has to say the same; 0: the new rows themselves",
    )


def distilled(model: Any, given: Given, options: DistilledOptions, run: Run) -> Any:
    """The model after a training on ``given.training`` that also keeps it to the denoiser D* which it was.

    loss(y) + strength w(sigma) |D(x + sigma n) - D*(x + sigma n)|^2 / numbers of a row, with the training's weights w
    of noise levels. x: the new row y (learning without forgetting: Li and Hoiem 2016,
    https://arxiv.org/abs/1606.09282, where the old network's outputs on new inputs are the targets), or one of
    ``samples`` own samples of the model as it was, labels and all: generative replay (Shin et al. 2017,
    https://arxiv.org/abs/1705.08690) with the teacher's denoiser in the place of the sample as the target.
    """
    from .continuing import held

    return held(model, given, options, run)


def seen_images(options: DistilledOptions) -> int:
    """The rows that the loss sees: each is a new one, and beside it, where there are any, an own sample."""
    return options.images_seen * (2 if options.samples else 1)
