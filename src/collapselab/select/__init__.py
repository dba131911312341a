"""Which samples are kept, why, and by whom: the selectors, by the names that a study uses."""

from ..core.needs import Needs
from ..core.registry import Registry
from .base import Selector, SelectorOptions, ShareOptions
from .basic import YokedOptions, nobody, random, yoked
from .quota import QuotaOptions, quota
from .richness import RichnessOptions, richness
from .tails import TailsOptions, tails
from .verified import VerifiedOptions, verified
from .verifier import VerifierOptions, verifier
from .weighted import WeightedOptions, weighted

SELECTORS: Registry[Selector] = Registry(
    "collapselab.selectors",
    {
        "nobody": Selector(SelectorOptions, nobody),
        "random": Selector(ShareOptions, random),
        "yoked": Selector(YokedOptions, yoked, Needs(twin=True), weighs=True),
        "verifier": Selector(VerifierOptions, verifier, Needs(features=("truth",))),
        "verified": Selector(VerifiedOptions, verified, takes=("vectors",)),
        "richness": Selector(RichnessOptions, richness),
        "tails": Selector(TailsOptions, tails),
        "quota": Selector(QuotaOptions, quota, Needs(train=True), reads="classes"),
        "weighted": Selector(WeightedOptions, weighted, weighs=True),
    },
    Selector,
)
