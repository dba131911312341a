"""What is done to a model between training and sampling, by the names that a study uses."""

from ..core.registry import Registry
from ..models.capabilities import Denoises, Trainable, Weighted
from .base import Adapter
from .neon import NeonOptions, folded, neon, own_images, unsuited
from .targeted import TargetedOptions, targeted
from .tuning import tuned_images

ADAPTERS: Registry[Adapter] = Registry(
    "collapselab.adapters",
    {
        "neon": Adapter(
            NeonOptions, neon, own_images, (Weighted,), takes=("images", "vectors"), validates=folded, fault=unsuited
        ),
        "targeted": Adapter(
            TargetedOptions, targeted, tuned_images, (Trainable, Denoises, Weighted), takes=("images", "vectors")
        ),
    },
    Adapter,
)
"""What an adapter is: what is done to a model between training and sampling."""
