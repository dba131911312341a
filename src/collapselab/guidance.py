"""How sampling is steered by something else than the model itself: the contract of guides.

Classifier-free guidance is not here: it is a property of one conditional model, and the diffusion family's own
``sampling_bias``. A guide may hold a second model (negative guidance, autoguidance, SIMS).
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .models.base import Model


class Guide(Protocol):
    """Steers a sampler.

    auxiliary: the second model of two-model guidance, or None.
    """

    auxiliary: Model | None

    def __call__(self, denoise: Callable[..., Any], x: Any, sigma: Any, labels: Any) -> Any:
        """The denoised estimate that the sampler goes on with, in place of ``denoise(x, sigma, labels)``."""
        ...


GUIDES: Mapping[str, Callable[..., Guide]] = {}
"""name -> a function that makes a guide from its options."""
