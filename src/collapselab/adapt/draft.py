"""DRaFT: a model that is tuned by the gradient of a reward through its sampler."""

from typing import Self

from pydantic import Field, model_validator

from ..core.run import Run
from ..rewards import REWARDS
from ..rewards.gradients import DIFFERENTIABLE
from .base import Adapted, Given
from .rewarding import LikedOptions


class DRaFTOptions(LikedOptions):
    """Through how many of the last steps the gradient goes."""

    last: int = Field(1, ge=1, description="K: steps through which the gradient goes, the last of a rollout")

    @model_validator(mode="after")
    def _differentiable(self) -> Self:
        if self.reward.name not in DIFFERENTIABLE:
            allowed = ", ".join(DIFFERENTIABLE)
            said = f"found {self.reward.name!r}, whose gradient nobody knows; allowed: {allowed}; ddpo takes any"
            raise ValueError(f"reward: {said}")
        if self.last > self.steps:
            raise ValueError(f"last: found {self.last}, allowed are 1 to {self.steps}, the steps of a rollout")
        return self


def draft(model, given: Given, options: DRaFTOptions, run: Run) -> Adapted:
    """The model after steps along the gradient of its reward through the last K steps of rollouts.

    DRaFT-K (Clark et al. 2023, https://arxiv.org/abs/2309.17400, section 3.2), by ancestral steps: every image that is
    seen is a rollout, the steps before the last K are run without a gradient (:func:`policy.through_last`). The reward
    is one whose gradient is known (``rewards.gradients``). facts: as of :func:`ddpo.ddpo`.
    """
    from .denoising import moved_by
    from .following import DRaFT

    liked = REWARDS[options.reward.name].Options.model_validate(dict(options.reward.options))
    adapted, tuning = moved_by(
        lambda task, how, run: DRaFT(task, how, run, model, given, liked), model, given.training, options, run
    )
    return Adapted(adapted, tuning.facts())
