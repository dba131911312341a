"""Known truths that real data is drawn from, by the names that a study uses; importing them costs no torch."""

from ..core.registry import Registry
from ..models.gaussian import Gaussian
from ..models.logistic_regression import LogisticRegression
from ..models.multinomial import Multinomial
from ..models.poisson import Poisson
from .base import Population
from .chirps import Chirps
from .decay import Decay
from .drums import Drums
from .gaussians import Gaussians
from .jars import Jars
from .land import Land
from .markov import Markov
from .outfits import Outfits
from .power_law_regression import PowerLawRegression
from .regression import Regression
from .tones import Tones
from .two_classes import TwoClasses
from .two_moons import TwoMoons

POPULATIONS: Registry[type[Population]] = Registry(
    "collapselab.populations",
    {
        "gaussian": Gaussian,
        "multinomial": Multinomial,
        "poisson": Poisson,
        "outfits": Outfits,
        "jars": Jars,
        "land": Land,
        "gaussians": Gaussians,
        "two-moons": TwoMoons,
        "decay": Decay,
        "regression": Regression,
        "power-law-regression": PowerLawRegression,
        "two-classes": TwoClasses,
        "markov": Markov,
        "logistic-regression": LogisticRegression,
        "tones": Tones,
        "chirps": Chirps,
        "drums": Drums,
    },
    type[Population],
)
