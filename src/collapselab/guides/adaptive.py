"""Guidance whose strength follows from how far the two predictions disagree."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions
from .rows import lengths, products, wide

if TYPE_CHECKING:
    import torch


class MambogOptions(Options):
    """How strongly a sample is guided, and how fast that fades with disagreement."""

    w: float = Field(9.0, ge=0, le=1000, description="weight where the predictions agree; the paper's scale less 1")
    alpha: float = Field(8.0, ge=0, le=1000, description="how fast it fades; 0: classifier-free guidance")


def mambog(
    seen: Predictions, at: Level, state: Any, draws: Draws, options: MambogOptions
) -> "tuple[torch.Tensor, Any]":
    """MAMBO-G: ``D_c + w exp(-alpha |Delta| / |D_u|) Delta`` with Delta = D_c - D_u.

    Magnitude-aware guidance (https://arxiv.org/abs/2508.03442), here on the denoised prediction, sample-wise. It moves
    a sample by at most w |D_u| / (e alpha), since r exp(-alpha r) <= 1 / (e alpha).
    """
    difference = seen.conditional - seen.unconditional
    size, far = lengths(seen.unconditional), lengths(difference)
    ratio = far / size.where(size > 0, 1.0)
    fading = (-options.alpha * ratio).exp().where((size > 0) | (options.alpha == 0), 0.0)
    return seen.conditional + options.w * wide(fading, difference) * difference, state


class AdaptiveOptions(Options):
    """How strongly a sample is guided, and until when."""

    w: float = Field(1.0, ge=0, le=1000, description="weight")
    threshold: float = Field(
        0.991, ge=-1, le=1, description="cosine of the two predicted noises from which a sample is guided no more"
    )


def adaptive(
    seen: Predictions, at: Level, state: Any, draws: Draws, options: AdaptiveOptions
) -> "tuple[torch.Tensor, Any]":
    """Classifier-free guidance until the predictions agree, then none: ``D_c + w (D_c - D_u)``, later ``D_c``.

    Castillo et al. 2023 (https://arxiv.org/abs/2312.12487): the cosine of the two predicted noises
    (x - D) / sigma rises along the path, and once it has reached the threshold a sample needs one evaluation a level.
    State: which samples are still guided, (B,) bool.
    """
    noises = [seen.noisy - one for one in (seen.conditional, seen.unconditional)]
    sizes = lengths(noises[0]) * lengths(noises[1])
    apart = products(*noises) < options.threshold * sizes
    guided = apart if state is None else apart & state
    strength = options.w * guided.to(seen.noisy.dtype)
    return seen.conditional + wide(strength, seen.noisy) * (seen.conditional - seen.unconditional), guided


def still_guided(at: Level, state: Any, options: AdaptiveOptions) -> "bool | torch.Tensor":
    """The samples that are guided still; none without a weight."""
    return options.w != 0 if state is None or not options.w else state
