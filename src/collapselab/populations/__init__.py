"""Known truths that real data is drawn from, by the names that a study uses; importing them costs no torch."""

from ..models.gaussian import Gaussian
from ..models.multinomial import Multinomial

POPULATIONS = {"gaussian": Gaussian, "multinomial": Multinomial}
