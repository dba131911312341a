"""The diffusion family: a denoiser of images or of vectors."""

from .family import Diffusion as Diffusion
from .options import PRESETS as PRESETS
from .options import DiffusionOptions as DiffusionOptions
