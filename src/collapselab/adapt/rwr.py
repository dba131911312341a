"""Reward-weighted regression: a model that learns from its own samples, the liked ones more."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ..core.facts import Facts
from ..core.run import Run
from . import rewarding
from .base import Adapted, Given
from .rewarding import LikedOptions


class RWROptions(LikedOptions):
    """Rounds of own samples, and how much more a liked one counts."""

    samples: int = Field(256, ge=2, description="rollouts of a round, shared by the classes that are tuned on")
    rounds: int = Field(5, ge=1, description="how often new rollouts are made, by the model as it is then")
    temperature: float = Field(1.0, gt=0, description="T of the weights e^(r / T); large: all count alike")
    unit: Literal["deviation", "reward"] = Field(
        "deviation", description="of T: the standard deviation of the rewards of a class in the round, or the reward's"
    )

    @model_validator(mode="after")
    def _rounds(self) -> Self:
        if self.images_seen < self.rounds:
            raise ValueError(f"rounds: found {self.rounds}, allowed are at most {self.images_seen}, the images_seen")
        return self


def unfit(facts: Facts, of: Any, options: RWROptions) -> str:
    """Rounds without a step, and classes that the model has not."""
    return rewarding.without_a_step(of, options, options.rounds) or rewarding.unfit(facts, of, options)


def rwr(model, given: Given, options: RWROptions, run: Run) -> Adapted:
    """The model after rounds of denoising its own rollouts with weights e^(r / T) (:func:`policy.reward_weights`).

    Each round is as long as the others. With exact fits k rounds at T are p_0 e^(k r / T) / Z
    (``theory.regularised_shares`` with beta = T / k): it is a loop that is curated, and ends where that ends. The
    baseline RWR of Black et al. 2023 (https://arxiv.org/abs/2305.13301, section 4.1). facts: as of :func:`ddpo.ddpo`.

    Raises ValueError for more rounds than there are steps.
    """
    from .denoising import moved_by
    from .following import RWR

    adapted, tuning = moved_by(
        lambda task, how, run: RWR(task, how, run, model, given), model, given.training, options, run
    )
    return Adapted(adapted, tuning.facts())
