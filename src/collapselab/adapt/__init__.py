"""What is done to a model between training and sampling, by the names that a study uses."""

from ..core.needs import ALL, Needs
from ..core.registry import Registry
from ..models.capabilities import Denoises, Trainable, Weighted
from .base import Adapter
from .distilled import DistilledOptions, distilled, seen_images
from .erasing import (
    DeletionOptions,
    RetrainedOptions,
    UCEOptions,
    exact_deletion,
    no_images,
    retrained,
    retrained_images,
    uce,
    unbudgeted,
    undeletable,
)
from .ewc import EwcOptions, ewc
from .ewc import unsuited as unknown_information
from .low_rank import LowRankOptions, low_rank
from .neon import NeonOptions, folded, neon, own_images, unsuited
from .targeted import TargetedOptions, targeted
from .tuning import tuned_images
from .unlearning import (
    ASKS,
    EraseDiffOptions,
    ESDOptions,
    NegGradOptions,
    SalUnOptions,
    SelectiveAmnesiaOptions,
    UnlearnOptions,
    amnesia_images,
    ascent,
    erasediff,
    esd,
    neggrad,
    salun,
    salun_images,
    selective_amnesia,
    two_batches,
    unclassed,
    unsteppable,
    whole,
)

ROWS = ("images", "vectors")

ADAPTERS: Registry[Adapter] = Registry(
    "collapselab.adapters",
    {
        "neon": Adapter(
            NeonOptions, neon, own_images, (Weighted,), takes=("images", "vectors"), validates=folded, fault=unsuited
        ),
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
        "targeted": Adapter(
            TargetedOptions, targeted, tuned_images, (Trainable, Denoises, Weighted), takes=("images", "vectors")
        ),
        "esd": Adapter(ESDOptions, esd, two_batches, ASKS, takes=("images",), fault=unclassed),
        "selective_amnesia": Adapter(
            SelectiveAmnesiaOptions, selective_amnesia, amnesia_images, ASKS, takes=ROWS, fault=whole
        ),
        "salun": Adapter(SalUnOptions, salun, salun_images, ASKS, takes=("images",), fault=whole),
        "erasediff": Adapter(EraseDiffOptions, erasediff, two_batches, ASKS, takes=ROWS, fault=unclassed),
        "ascent": Adapter(UnlearnOptions, ascent, two_batches, takes=ROWS, fault=unsteppable),
        "neggrad": Adapter(NegGradOptions, neggrad, two_batches, takes=ROWS, fault=unsteppable),
        "uce": Adapter(UCEOptions, uce, no_images, ASKS, takes=("images",), fault=unclassed),
        "exact_deletion": Adapter(DeletionOptions, exact_deletion, no_images, fault=undeletable),
        "retrained": Adapter(RetrainedOptions, retrained, retrained_images, fault=unbudgeted),
    },
    Adapter,
)
"""What an adapter is: what is done to a model between training and sampling."""
