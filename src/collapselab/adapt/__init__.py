"""What is done to a model between training and sampling, by the names that a study uses."""

from ..core.registry import Registry
from ..models.capabilities import Weighted
from .base import Adapter
from .ddpo import DDPOOptions, ddpo
from .neon import NeonOptions, folded, neon, own_images, unsuited
from .rewarding import ASKS, watched_rows
from .tuning import tuned_images

ADAPTERS: Registry[Adapter] = Registry(
    "collapselab.adapters",
    {
        "neon": Adapter(
            NeonOptions, neon, own_images, (Weighted,), takes=("images", "vectors"), validates=folded, fault=unsuited
        ),
        "ddpo": Adapter(DDPOOptions, ddpo, tuned_images, ASKS, takes=("images", "vectors"), validates=watched_rows),
    },
    Adapter,
)
"""What an adapter is: what is done to a model between training and sampling."""
