"""What is done to a model between training and sampling, by the names that a study uses."""

from ..core.needs import ALL, Needs
from ..core.registry import Registry
from ..models.capabilities import Denoises, Trainable, Weighted
from .base import Adapter
from .ddpo import DDPOOptions, ddpo
from .distilled import DistilledOptions, distilled, seen_images
from .dpo import DPOOptions, dpo
from .draft import DRaFTOptions, draft
from .ewc import EwcOptions, ewc
from .ewc import unsuited as unknown_information
from .low_rank import LowRankOptions, low_rank
from .neon import NeonOptions, folded, neon, own_images, unsuited
from .rewarding import ASKS, watched_rows
from .rwr import RWROptions, rwr
from .tuning import tuned_images

ADAPTERS: Registry[Adapter] = Registry(
    "collapselab.adapters",
    {
        "neon": Adapter(
            NeonOptions, neon, own_images, (Weighted,), takes=("images", "vectors"), validates=folded, fault=unsuited
        ),
        "ddpo": Adapter(DDPOOptions, ddpo, tuned_images, ASKS, takes=("images", "vectors"), validates=watched_rows),
        "rwr": Adapter(RWROptions, rwr, tuned_images, ASKS, takes=("images", "vectors"), validates=watched_rows),
        "draft": Adapter(DRaFTOptions, draft, tuned_images, ASKS, takes=("images", "vectors"), validates=watched_rows),
        "dpo": Adapter(DPOOptions, dpo, tuned_images, ASKS, takes=("images", "vectors"), validates=watched_rows),
        "ewc": Adapter(
            EwcOptions,
            ewc,
            tuned_images,
            needs=Needs(ancestors=ALL, earlier=True),
            takes=("images", "vectors"),
            fault=unknown_information,
            instead=True,
        ),
        "low_rank": Adapter(
            LowRankOptions,
            low_rank,
            tuned_images,
            (Trainable, Denoises, Weighted),
            Needs(ancestors=ALL),
            ("images", "vectors"),
            instead=True,
        ),
        "distilled": Adapter(
            DistilledOptions,
            distilled,
            seen_images,
            (Trainable, Denoises, Weighted),
            takes=("images", "vectors"),
            instead=True,
        ),
    },
    Adapter,
)
"""What an adapter is: what is done to a model between training and sampling."""
