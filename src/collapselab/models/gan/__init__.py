"""The small generative adversarial network."""

from .family import GAN as GAN
from .options import GANOptions as GANOptions
