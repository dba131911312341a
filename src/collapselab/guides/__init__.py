"""What steers a sampler beside the model itself, by the names that a study uses: none in this version.

Classifier-free guidance of a diffusion model's own labels is an arm's ``sampling_bias``.
"""

from ..core.registry import Registry
from .base import Guide

GUIDES: Registry[Guide] = Registry("collapselab.guides", {}, Guide)
