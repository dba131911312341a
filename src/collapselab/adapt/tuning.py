"""How far and how fast adapters move a network, whatever their loss."""

from pydantic import Field

from ..core.choice import Options
from ..models.capabilities import Denoises, Trainable, Weighted

ASKS = (Trainable, Denoises, Weighted)
"""What a model has to be that adapters train on by a loss of their own."""

NONE = -1
"""The label of a row that is told no class."""


class TuningOptions(Options):
    """Of adapters that train a network on."""

    images_seen: int = Field(ge=1, description="budget, in images that the loss sees")
    batch: int | None = Field(None, ge=1, description="images a step; null: as many as in the model's training")
    learning_rate: float = Field(1e-4, gt=0, allow_inf_nan=False, description="of Adam, the same all the time")
    rank: int = Field(
        0, ge=0, description="rank of the updates of the network's matrices (LoRA); 0: all of its weights move"
    )


def tuned_images(options: TuningOptions) -> int:
    """The images that the loss sees."""
    return options.images_seen
