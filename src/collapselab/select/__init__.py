"""Which samples are kept, why, and by whom: the selectors, by the names that a study uses."""

from ..core.registry import Registry
from .base import Selector
from .basic import NoOptions, RandomOptions, nobody, random
from .verifier import VerifierOptions, verifier

SELECTORS: Registry[Selector] = Registry(
    "collapselab.selectors",
    {
        "nobody": Selector(NoOptions, nobody),
        "random": Selector(RandomOptions, random),
        "verifier": Selector(VerifierOptions, verifier, reads="truth"),
    },
)
