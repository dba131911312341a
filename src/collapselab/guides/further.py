"""Guidance by a worse model: a weaker one of the same data, or one that has learnt from own samples."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions
from .base import Auxiliary

if TYPE_CHECKING:
    import torch


class WeakModel(Options):
    """How the weaker model is trained, on the training set of the model's own generation."""

    images_seen: int | None = Field(None, ge=1, description="its budget; None: `share` of the arm's")
    share: float = Field(0.125, gt=0, le=1, description="its budget as a share of the arm's")
    options: dict[str, Any] = Field(
        default_factory=dict, description="options of its family that are others than the model's, such as channels"
    )


class AutoguidanceOptions(Options):
    """How far a sample is led away from the weaker model."""

    w: float = Field(1.0, ge=0, le=1000, description="weight")
    auxiliary: WeakModel = Field(default_factory=WeakModel, description="the weaker model")


def autoguidance(
    seen: Predictions, at: Level, state: Any, draws: Draws, options: AutoguidanceOptions
) -> "tuple[torch.Tensor, Any]":
    """``D + w (D - D_0)``, with D_0 of a smaller or shorter trained model under the same condition.

    Karras et al. 2024 (https://arxiv.org/abs/2406.02507), whose weight is 1 + w. Of Gaussians with the variances
    v + d_1 and v + d_0 it makes the variance v with w = ln((v + d_1) / v) / ln((v + d_0) / (v + d_1)).
    """
    return seen.conditional + options.w * (seen.conditional - seen.others["weak"]), state


def weak(options: AutoguidanceOptions, images_seen: int) -> Mapping[str, Auxiliary]:
    """The weaker model."""
    asked = options.auxiliary
    budget = asked.images_seen or max(1, round(asked.share * images_seen))
    return {"weak": Auxiliary("training", budget, changed=dict(asked.options) or None)}


class OwnSamples(Options):
    """How the model is trained on with its own samples."""

    images_seen: int = Field(10_000, ge=1, description="its budget")
    samples: int = Field(1_000, ge=1, description="own samples that it is trained on")


class SIMSOptions(Options):
    """How far a sample is led away from what own samples teach."""

    w: float = Field(0.5, ge=0, le=1000, description="weight")
    auxiliary: OwnSamples = Field(default_factory=OwnSamples, description="the model that has learnt from own samples")


def sims(seen: Predictions, at: Level, state: Any, draws: Draws, options: SIMSOptions) -> "tuple[torch.Tensor, Any]":
    """SIMS: ``(1 + w) D - w D_s``, with D_s of the model after training on its own samples.

    Alemohammad et al. 2024 (https://arxiv.org/abs/2408.16333). Where a training multiplies a variance by
    some factor, whichever, w = 1 takes it back.
    """
    return seen.conditional + options.w * (seen.conditional - seen.others["own"]), state


def own(options: SIMSOptions, images_seen: int) -> Mapping[str, Auxiliary]:
    """The model after training on its own samples."""
    return {"own": Auxiliary("own", options.auxiliary.images_seen, options.auxiliary.samples)}
