"""The variational autoencoder."""

from .family import VAE as VAE
from .options import VAEOptions as VAEOptions
