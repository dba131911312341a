"""Outfits: five garments' features with dependence between them, 4,032 combinations, of which many never occur.

The distribution is a tree of small tables of whole numbers (Chow and Liu 1968): the top is drawn first, then eyewear,
colour and bottom given the top, then shoes given the bottom. Each row of a table is divided by its sum. A 0 is a
combination that never occurs (nobody wears shorts with a coat), so that a model can invent what does not exist.

Of 50 looks most combinations are unseen: a multinomial without smoothing calls them impossible, and Laplace's gives
every one of them the same. Naive Bayes without a class needs 28 shares, of which 28 - 5 = 23 are free; of endless data
it learns the product of the features' own distributions, whose Kullback-Leibler divergence from the truth is the total
correlation.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import Judgement
from ..models.multinomial import Multinomial
from ..models.naive_bayes import total_correlation
from ..models.options import Options

FEATURES: dict[str, tuple[str, ...]] = {
    "eyewear": ("none", "glasses", "sunglasses"),
    "colour": ("black", "white", "grey", "blue", "red", "green", "yellow", "brown"),
    "top": ("shirt", "blouse", "jumper", "coat"),
    "bottom": ("jeans", "trousers", "skirt", "shorts", "leggings", "kilt"),
    "shoes": ("trainers", "boots", "loafers", "sandals", "heels", "brogues", "wellingtons"),
}
SIZES = tuple(len(values) for values in FEATURES.values())

# Rows and columns are in the order of the words above.
TOPS = np.array([40, 20, 30, 10])
EYEWEAR_OF_TOP = np.array([[5, 3, 2], [5, 3, 2], [6, 4, 0], [7, 2, 1]])
COLOURS_OF_TOP = np.array(
    [
        [2, 8, 1, 6, 1, 1, 1, 0],
        [3, 6, 0, 2, 4, 2, 3, 0],
        [4, 1, 6, 4, 2, 3, 0, 4],
        [8, 0, 5, 3, 1, 0, 0, 3],
    ]
)
BOTTOMS_OF_TOP = np.array(
    [
        [8, 6, 2, 3, 0, 1],
        [3, 4, 8, 1, 4, 0],
        [9, 5, 3, 0, 2, 1],
        [6, 8, 4, 0, 2, 0],
    ]
)
SHOES_OF_BOTTOM = np.array(
    [
        [9, 5, 2, 1, 1, 1, 1],
        [2, 3, 6, 0, 3, 6, 0],
        [2, 4, 2, 3, 7, 0, 1],
        [7, 0, 1, 9, 0, 0, 0],
        [8, 6, 0, 1, 1, 0, 2],
        [0, 2, 0, 0, 0, 8, 0],
    ]
)


class OutfitsOptions(Options):
    """Nothing to choose: the distribution is published."""


def _entropy(probabilities: np.ndarray) -> float:
    present = probabilities[probabilities > 0]
    return float(-(present @ np.log(present)))


@dataclass(frozen=True, eq=False)
class Outfits:
    """The law of an outfit: one number 0 .. 4031 for a combination of features.

    The number counts through all combinations with the first feature as the most significant and the last as the
    fastest, as ``numpy.ravel_multi_index(values, SIZES)`` does. A sample is possible if its combination has a
    probability above 0, and each such combination is a cell.
    """

    PopulationOptions: ClassVar = OutfitsOptions
    gives: ClassVar = "categories"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: OutfitsOptions

    @classmethod
    def population(cls, options: OutfitsOptions) -> Self:
        """The published distribution."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, a number: ()."""
        return ()

    @cached_property
    def probabilities(self) -> np.ndarray:
        """The probability of each combination, (4032,) float64:

        p(top) p(eyewear | top) p(colour | top) p(bottom | top) p(shoes | bottom)
        """
        tables = (EYEWEAR_OF_TOP, COLOURS_OF_TOP, BOTTOMS_OF_TOP, SHOES_OF_BOTTOM)
        shares = [TOPS / TOPS.sum(), *(table / table.sum(axis=1, keepdims=True) for table in tables)]
        return np.einsum("t,te,tc,tb,bs->ectbs", *shares).ravel()

    @cached_property
    def _law(self) -> Multinomial:
        return Multinomial(self.options, self.probabilities)

    def marginals(self) -> list[np.ndarray]:
        """The probabilities of the values of each feature, in the order of FEATURES: five arrays, float64."""
        table = self.probabilities.reshape(SIZES)
        axes = range(len(SIZES))
        return [table.sum(axis=tuple(other for other in axes if other != axis)) for axis in axes]

    @property
    def entropy(self) -> float:
        """The entropy of the distribution, - sum p ln p in nats."""
        return _entropy(self.probabilities)

    @property
    def total_correlation(self) -> float:
        """The sum of the features' own entropies less that of all together, in nats.

        It is KL(p || product of the marginals), what naive Bayes without a class loses of endless data.
        """
        return total_correlation(self.probabilities, SIZES)

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count,) int64, combinations."""
        check_ask(ask, self)
        return self._law.sample(ask)

    @property
    def masses(self) -> np.ndarray:
        """The probability of each combination that occurs: (K,) float64."""
        return self._law.masses

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each combination occurs, and which of those that do it is.

        data: (n,) integers; those outside 0 .. 4031 are impossible.
        """
        return self._law.judge(data)
