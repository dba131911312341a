"""Generators of one pass, moved by the gradient of a reward through them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ..core.choice import Choice, From, Options
from ..core.run import Run
from ..features.base import ExtractorName
from ..models.flow import Flow
from ..models.gan import GAN
from ..models.stylegan2 import StyleGAN2
from ..rewards import REWARDS
from ..rewards.gradients import DIFFERENTIABLE
from .base import Adapted, Given

FAMILIES = {"flow": Flow, "gan": GAN, "stylegan2": StyleGAN2}
"""Families whose samples are one differentiable pass of a network."""


class DirectOptions(Options):
    """What is liked, how fast the generator follows it, what holds it back, and how its price is watched."""

    reward: Annotated[Choice, From("rewards")] = Field(description="what is liked")
    images_seen: int = Field(ge=1, description="budget, in samples that the loss sees")
    batch: int | None = Field(None, ge=1, description="samples a step; null: as many images as in the model's training")
    learning_rate: float = Field(1e-4, gt=0, allow_inf_nan=False, description="of Adam, the same all the time")
    gradient_norm: float = Field(1.0, gt=0, description="largest norm of a step's gradient: a longer one is shortened")
    pull: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="weight of half the squared way of each sample from where the same noise led before; 0: free",
    )
    extractor: ExtractorName | None = Field(
        None, description="through which samples are compared with validation rows as the reward rises; null: not"
    )
    k: int = Field(5, ge=1, description="neighbours of precision and recall")
    checks: int = Field(10, ge=1, description="how often all that is measured on the way, beside the start")
    stop: Literal["budget", "knee"] = Field(
        "budget",
        description="when it ends: where the budget does, or at the first check at which recall on the validation rows "
        "is below its start r by 2 sqrt(r (1 - r) / n), with the model of the check before",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.reward.name not in DIFFERENTIABLE:
            allowed = ", ".join(DIFFERENTIABLE)
            said = f"found {self.reward.name!r}, whose gradient nobody knows; allowed: {allowed}; reweighted takes any"
            raise ValueError(f"reward: {said}")
        if self.stop == "knee" and self.extractor is None:
            raise ValueError("stop: found knee; recall is seen on validation rows through an extractor: say which")
        return self


def direct(model: Any, given: Given, options: DirectOptions, run: Run) -> Adapted:
    """The generator G after steps along the gradient of E r(G(z)) - (pull / 2) E |G(z) - G_before(z)|^2.

    What DRaFT is to a denoiser (Clark et al. 2023, https://arxiv.org/abs/2309.17400, equation 2) for a generator of one
    pass: z -> x is differentiable as a whole. Rows are in the reward's units: images in [-1, 1], vectors in their own.
    The pull bounds half the squared Wasserstein distance of order 2 between the laws from above; a generator that can
    do everything comes to x + grad r / pull, for a reward beta x_j a shift by beta / pull. The discriminator of an
    adversarial network stays as it was, and takes no part; so does the mean of w of a StyleGAN2, to which a sampling
    bias leads.

    facts: as of :func:`ddpo.ddpo`, with ``way``, the root of the mean squared way of a sample, in the place of the KL.
    """
    from ..models.tuning import tuned
    from .passing import Through

    liked = REWARDS[options.reward.name].Options.model_validate(dict(options.reward.options))
    made: list[Any] = []

    def changed(task: Any) -> Any:
        made.append(Through(task, options, run, model, given, liked))
        return made[-1]

    return Adapted(tuned(model, given.training, run, changed, options.batch), made[-1].facts())


def direct_images(options: DirectOptions) -> int:
    """The samples that the loss sees."""
    return options.images_seen


def not_one_pass(family: type, options: DirectOptions) -> str:
    """A family whose samples are no single pass that torch can differentiate."""
    if family in FAMILIES.values():
        return ""
    return f"reward: its family makes no sample in one differentiable pass; those that do: {', '.join(FAMILIES)}"


def compared_rows(options: DirectOptions) -> int:
    """Validation rows by which it is watched: as many as have a neighbourhood, where there is an extractor."""
    return options.k + 1 if options.extractor else 0
