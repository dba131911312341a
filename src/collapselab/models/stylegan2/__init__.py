"""The StyleGAN2 family."""

from .family import StyleGAN2 as StyleGAN2
from .options import PRESETS as PRESETS
from .options import StyleGAN2Options as StyleGAN2Options
