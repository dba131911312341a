"""The model families, by the names that a study uses; importing them costs no torch."""

from .diffusion import Diffusion
from .gaussian import Gaussian
from .multinomial import Multinomial
from .stylegan2 import StyleGAN2

MODELS = {"gaussian": Gaussian, "multinomial": Multinomial, "diffusion": Diffusion, "stylegan2": StyleGAN2}

# Families that can also be a known truth: ``POPULATIONS[name].population(options)`` draws the real data of a study.
POPULATIONS = {"gaussian": Gaussian, "multinomial": Multinomial}
