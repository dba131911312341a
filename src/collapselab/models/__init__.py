"""The model families, by the names that a study uses; importing them costs no torch."""

from .diffusion import Diffusion
from .gaussian import Gaussian
from .multinomial import Multinomial

MODELS = {"gaussian": Gaussian, "multinomial": Multinomial, "diffusion": Diffusion}

# Families that can also be a known truth: ``POPULATIONS[name].population(options)`` draws the real data of a study.
POPULATIONS = {"gaussian": Gaussian, "multinomial": Multinomial}
