"""Which samples are kept, why, and by whom: the selectors, by the names that a study uses."""

from .base import Selector
from .basic import NoOptions, RandomOptions, nobody, random
from .verifier import VerifierOptions, verifier

SELECTORS: dict[str, Selector] = {
    "nobody": Selector(NoOptions, nobody),
    "random": Selector(RandomOptions, random),
    "verifier": Selector(VerifierOptions, verifier, reads="truth"),
}
