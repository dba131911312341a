"""DDPO: a denoiser as a policy, tuned by the gradient of its reward, without training data."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ..core.facts import Facts
from ..core.run import Run
from . import rewarding
from .base import Adapted, Given
from .rewarding import LikedOptions


class DDPOOptions(LikedOptions):
    """Rollouts, what is learnt from each of them, and how far a step may go."""

    batch: int | None = Field(
        None, ge=1, description="transitions a step; null: as many as there are rollouts; it divides all of them"
    )
    samples: int = Field(256, ge=2, description="rollouts of an iteration, shared by the classes that are tuned on")
    form: Literal["importance_sampling", "score_function"] = Field(
        "importance_sampling",
        description="several steps on the same rollouts within a clip (DDPO_IS), or one step on all of them (DDPO_SF)",
    )
    inner_epochs: int = Field(2, ge=1, description="how often each transition of an iteration is learnt from")
    clip: float = Field(
        1e-3, gt=0, lt=1, description="how far the ratio to the policy that acted counts; 1e-4 in the paper's code"
    )
    log_probability: Literal["mean", "sum"] = Field(
        "mean", description="over the numbers of a row; mean as in the paper's code, so that the ratio is no product"
    )
    advantage_clip: float = Field(10.0, gt=0, description="largest advantage, in standard deviations of its class")
    guidance: float = Field(0.0, ge=0, description="w of (1 + w) D(class) - w D(none), in rollouts and in the loss")
    kl_weight: float = Field(
        0.0,
        ge=0,
        description="weight of the KL of a step from the model before, in the unit of log_probability",
    )

    @property
    def transitions(self) -> int:
        """Of an iteration: every step of every rollout that adds noise."""
        return self.samples * (self.steps - 1)

    @property
    def rows(self) -> int:
        """Transitions a step of Adam."""
        return self.batch or (self.transitions if self.form == "score_function" else self.samples)

    @model_validator(mode="after")
    def _iterates(self) -> Self:
        if self.transitions % self.rows:
            said = f"{self.samples} rollouts of {self.steps - 1} steps with noise are {self.transitions} transitions"
            raise ValueError(f"batch: found {self.batch}; {said}: allowed is what divides them")
        if self.form == "score_function" and (self.inner_epochs != 1 or self.rows != self.transitions):
            said = f"found {self.inner_epochs} of {self.rows} transitions a step with score_function"
            cure = f"1, and batch {self.transitions} or null"
            raise ValueError(f"inner_epochs: {said}, which is right only for the policy that acted; allowed is {cure}")
        return self


def unfit(facts: Facts, of: Any, options: DDPOOptions) -> str:
    """Guidance that the model has not learnt, and classes that it has not."""
    return rewarding.unguided(of, options.guidance) or rewarding.unfit(facts, of, options)


def ddpo(model, given: Given, options: DDPOOptions, run: Run) -> Adapted:
    """The model after policy-gradient steps towards a reward (Black et al. 2023, https://arxiv.org/abs/2305.13301).

    An iteration makes ``samples`` rollouts by ``steps`` ancestral steps (:func:`policy.posterior`), gives each its
    reward at the end, standardised within its class (:func:`policy.advantages`), and learns from every transition
    ``inner_epochs`` times, in random order, by :func:`policy.clipped` or :func:`policy.score_function`. The paper's
    log-probability is a sum, its code's a mean: ``log_probability`` says which. An image seen is a transition; one
    iteration sees ``samples`` (``steps`` - 1) ``inner_epochs`` of them.

    facts: ``checks``, by name a list: ``images_seen``; the ``reward``, ``recall``, ``precision`` and
    ``frechet_distance`` of samples that the arm's sampler makes, against validation rows; and ``path_kl``, the KL of
    the paths of rollouts from the model's before. ``stopped``: why and where it ended. ``transfer``: the reward of the
    classes that were tuned on and left out, before and after.

    Raises ValueError for guidance by a model that never learnt without a class, Diverged, and Interrupted.
    """
    from .denoising import moved_by
    from .reinforcing import DDPO

    how = options.model_copy(update={"batch": options.rows})
    adapted, tuning = moved_by(
        lambda task, how, run: DDPO(task, how, run, model, given), model, given.training, how, run
    )
    return Adapted(adapted, tuning.facts())
