"""The model families, by the names that a study uses; importing them costs no torch."""

from .diffusion import Diffusion
from .gaussian import Gaussian
from .multinomial import Multinomial
from .stylegan2 import StyleGAN2

MODELS = {"gaussian": Gaussian, "multinomial": Multinomial, "diffusion": Diffusion, "stylegan2": StyleGAN2}
