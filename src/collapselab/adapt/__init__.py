"""What is done to a model between training and sampling, by the names that a study uses."""

from ..core.registry import Registry
from ..models.capabilities import Weighted
from .base import Adapter
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
from .neon import NeonOptions, folded, neon, own_images, unsuited
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
