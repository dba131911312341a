"""Diffusion-DPO: a model that is tuned by which of two samples was preferred."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from ..core.choice import Choice, FileName, From
from ..core.run import Run
from .base import Adapted, Given
from .rewarding import RewardedOptions


class DPOOptions(RewardedOptions):
    """Whose preferences are followed, and how far."""

    reward: Annotated[Choice, From("rewards")] | None = Field(
        None, description="what prefers among own samples where no people do; else it is only recorded"
    )
    ballots: FileName | None = Field(None, description="what people said: a round's export of the judging page")
    pool: FileName | None = Field(None, description="the sample set that they judged")
    samples: int = Field(1000, ge=2, description="own samples that the reward compares, where no people do")
    temperature: float = Field(
        1.0, gt=0, description="T of the chance s((r - r') / T) with which the reward prefers a sample to another"
    )
    beta: float = Field(2000.0, gt=0, description="weight of the KL from the model before, for mean squared errors")

    @model_validator(mode="after")
    def _prefers(self) -> Self:
        if (self.ballots is None) != (self.pool is None):
            said = "pool" if self.pool is None else "ballots"
            raise ValueError(f"{said}: found null; what people said and the sample set that they judged go together")
        if self.ballots is None and self.reward is None:
            raise ValueError("reward: found null, and no ballots; somebody has to prefer: say a reward, or ballots")
        return self


def dpo(model, given: Given, options: DPOOptions, run: Run) -> Adapted:
    """The model after steps of Diffusion-DPO on pairs of samples (Wallace et al. 2023, https://arxiv.org/abs/2311.12908,
    equation 14):

        -log s(-beta [w |D - y|^2 - w |D_ref - y|^2  of the preferred y  -  the same of the other]),

    :func:`policy.preference` with the fall of the denoising error against the model before in the place of
    log p / p_ref, at one noise level and with one noise for both. Errors are means over the numbers of a row, with the
    training's weights w(sigma). Pairs are of one class: of people's ballots one that more call good than bad and one
    that more call bad; else own samples of the model, between which a reward decides by chance
    (:func:`policy.preferred`). An image that is seen is a pair. facts: as of :func:`ddpo.ddpo`, and ``pairs``.

    Raises ValueError for ballots of another sample set, samples of another shape, and where there is no pair.
    """
    from .denoising import moved_by
    from .following import DPO

    adapted, tuning = moved_by(
        lambda task, how, run: DPO(task, how, run, model, given), model, given.training, options, run
    )
    return Adapted(adapted, tuning.facts())
