"""Known truths that real data is drawn from, by the names that a study uses; importing them costs no torch."""

from ..core.registry import Registry
from ..models.gaussian import Gaussian
from ..models.multinomial import Multinomial
from .base import Population
from .decay import Decay
from .gaussians import Gaussians
from .jars import Jars
from .land import Land
from .outfits import Outfits
from .regression import Regression
from .tones import Tones
from .two_classes import TwoClasses
from .two_moons import TwoMoons

POPULATIONS: Registry[type[Population]] = Registry(
    "collapselab.populations",
    {
        "gaussian": Gaussian,
        "multinomial": Multinomial,
        "outfits": Outfits,
        "jars": Jars,
        "land": Land,
        "gaussians": Gaussians,
        "two-moons": TwoMoons,
        "decay": Decay,
        "regression": Regression,
        "two-classes": TwoClasses,
        "tones": Tones,
    },
    type[Population],
)
