"""Which samples are kept, why, and by whom: the selectors, by the names that a study uses."""

from ..core.needs import Needs
from ..core.registry import Registry
from .base import Selector, SelectorOptions, ShareOptions
from .basic import YokedOptions, nobody, random, yoked
from .unmarked import UnmarkedOptions, unmarked
from .verifier import VerifierOptions, verifier

SELECTORS: Registry[Selector] = Registry(
    "collapselab.selectors",
    {
        "nobody": Selector(SelectorOptions, nobody),
        "random": Selector(ShareOptions, random),
        "yoked": Selector(YokedOptions, yoked, Needs(twin=True), weighs=True),
        "verifier": Selector(VerifierOptions, verifier, Needs(features=("truth",))),
        "unmarked": Selector(UnmarkedOptions, unmarked, Needs(mark=True)),
    },
    Selector,
)
