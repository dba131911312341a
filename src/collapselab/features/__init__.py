"""Features: what a sample looks like to a metric or a selector, as a row of numbers.

An extractor turns the data of a sample set into :class:`Features`, once; metrics then are arithmetic on them.
"""

from .base import Array, Extractor, Features, Undefined, Weights
from .lenet import LeNetOptions, lenet, train_lenet
from .plain import identity, pixels

__all__ = ["FEATURES", "Array", "Extractor", "Features", "Undefined", "Weights"]


FEATURES: dict[str, Extractor] = {
    "identity": Extractor(identity, takes=("vectors", "categories")),
    "pixels": Extractor(pixels),
    "lenet": Extractor(lenet, train_lenet, LeNetOptions, gives=("classes", "probabilities")),
}
