"""The pretrained family: text-to-image pipelines of diffusers in a folder of the user's, tuned by a LoRA adapter."""

from .family import Pretrained

__all__ = ["Pretrained"]
