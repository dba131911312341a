"""What is done to a model between training and sampling, by the names that a study uses."""

from ..core.needs import ALL, Needs
from ..core.registry import Registry
from ..models.capabilities import Trainable, Weighted
from .base import Adapter
from .ddpo import DDPOOptions, ddpo
from .ddpo import unfit as unguided
from .direct import DirectOptions, compared_rows, direct, direct_images, not_one_pass
from .distilled import DistilledOptions, distilled, seen_images
from .dpo import DPOOptions, dpo
from .draft import DRaFTOptions, draft
from .erasing import (
    DeletionOptions,
    RetrainedOptions,
    UCEOptions,
    attacked,
    exact_deletion,
    no_images,
    retrained,
    retrained_images,
    uce,
    uce_unfit,
    unbudgeted,
    undeletable,
)
from .ewc import EwcOptions, ewc
from .ewc import unsuited as unknown_information
from .low_rank import LowRankOptions, low_rank
from .neon import NeonOptions, folded, neon, own_images, unsuited
from .rewarding import unfit as left_out
from .rewarding import watched_rows
from .reweighted import ReweightedOptions, reweighted, reweighted_images, unbudgeted_or_formula
from .rwr import RWROptions, rwr
from .rwr import unfit as too_many_rounds
from .targeted import TargetedOptions, targeted
from .targeted import calls as what_rests
from .targeted import unfit as too_few_rows
from .targets import unfit as not_there
from .tuning import ASKS, tuned_images
from .unlearning import (
    EraseDiffOptions,
    ESDOptions,
    NegGradOptions,
    SalUnOptions,
    SelectiveAmnesiaOptions,
    UnlearnOptions,
    amnesia_images,
    amnesia_unfit,
    ascent,
    erasediff,
    esd,
    esd_unfit,
    neggrad,
    salun,
    salun_images,
    salun_unfit,
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
        "ddpo": Adapter(DDPOOptions, ddpo, tuned_images, ASKS, takes=ROWS, validates=watched_rows, unfit=unguided),
        "rwr": Adapter(RWROptions, rwr, tuned_images, ASKS, takes=ROWS, validates=watched_rows, unfit=too_many_rounds),
        "draft": Adapter(DRaFTOptions, draft, tuned_images, ASKS, takes=ROWS, validates=watched_rows, unfit=left_out),
        "dpo": Adapter(DPOOptions, dpo, tuned_images, ASKS, takes=ROWS, validates=watched_rows, unfit=left_out),
        "ewc": Adapter(
            EwcOptions,
            ewc,
            tuned_images,
            needs=Needs(ancestors=ALL, earlier=True),
            takes=ROWS,
            fault=unknown_information,
            instead=True,
        ),
        "low_rank": Adapter(
            LowRankOptions,
            low_rank,
            tuned_images,
            ASKS,
            Needs(ancestors=ALL),
            ROWS,
            instead=True,
        ),
        "distilled": Adapter(
            DistilledOptions,
            distilled,
            seen_images,
            ASKS,
            takes=ROWS,
            instead=True,
        ),
        "esd": Adapter(
            ESDOptions, esd, two_batches, ASKS, takes=("images",), validates=attacked, fault=unclassed, unfit=esd_unfit
        ),
        "selective_amnesia": Adapter(
            SelectiveAmnesiaOptions,
            selective_amnesia,
            amnesia_images,
            ASKS,
            takes=ROWS,
            validates=attacked,
            fault=whole,
            unfit=amnesia_unfit,
        ),
        "salun": Adapter(
            SalUnOptions,
            salun,
            salun_images,
            ASKS,
            takes=("images",),
            validates=attacked,
            fault=whole,
            unfit=salun_unfit,
        ),
        "erasediff": Adapter(
            EraseDiffOptions,
            erasediff,
            two_batches,
            ASKS,
            takes=ROWS,
            validates=attacked,
            fault=unclassed,
            unfit=not_there,
        ),
        "ascent": Adapter(
            UnlearnOptions, ascent, two_batches, takes=ROWS, validates=attacked, fault=unsteppable, unfit=not_there
        ),
        "neggrad": Adapter(
            NegGradOptions, neggrad, two_batches, takes=ROWS, validates=attacked, fault=unsteppable, unfit=not_there
        ),
        "uce": Adapter(
            UCEOptions, uce, no_images, ASKS, takes=("images",), validates=attacked, fault=unclassed, unfit=uce_unfit
        ),
        "exact_deletion": Adapter(
            DeletionOptions, exact_deletion, no_images, validates=attacked, fault=undeletable, unfit=not_there
        ),
        "retrained": Adapter(
            RetrainedOptions,
            retrained,
            retrained_images,
            validates=attacked,
            fault=unbudgeted,
            unfit=not_there,
            gold=True,
        ),
        "direct": Adapter(
            DirectOptions, direct, direct_images, (Trainable,), takes=ROWS, validates=compared_rows, fault=not_one_pass
        ),
        "reweighted": Adapter(ReweightedOptions, reweighted, reweighted_images, fault=unbudgeted_or_formula),
        "targeted": Adapter(
            TargetedOptions, targeted, tuned_images, ASKS, takes=ROWS, unfit=too_few_rows, calls=what_rests
        ),
    },
    Adapter,
)
"""What an adapter is: what is done to a model between training and sampling."""
