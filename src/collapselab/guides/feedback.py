"""Guidance whose strength follows from what a sample has become: feedback guidance, and dynamic negative guidance."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions
from .posterior import cut, followed, grown

if TYPE_CHECKING:
    import torch


class FeedbackOptions(Options):
    """How well the model is held to have learnt its condition, and how a path is judged."""

    pi: float = Field(
        0.999, gt=0, le=1, description="share of the condition in what the model has learnt for it; 1: no guidance"
    )
    tau: float = Field(1.0, gt=0, le=1000, description="how strongly each step counts; 1 is exact")
    delta: float = Field(0.0, ge=-100, le=100, description="what is added to the log-ratio in each step; 0 is exact")
    most: float = Field(10.0, gt=1, description="largest guidance scale, 1 + w")
    ceiling: float | None = Field(3.0, description="largest log-ratio that is remembered; None: any")

    @property
    def floor(self) -> float | None:
        """The log-ratio at which the scale is ``most``; None without guidance."""
        return math.log((1 - self.pi) * self.most / (self.most - 1)) if self.pi < 1 else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if None not in (self.ceiling, self.floor) and self.ceiling < self.floor:
            said = f"found {self.ceiling:g}, allowed are numbers from {self.floor:.3g} on"
            raise ValueError(f"ceiling: {said}: so large is the log-ratio where the scale is most = {self.most:g}")
        return self


def feedback(
    seen: Predictions, at: Level, state: Any, draws: Draws, options: FeedbackOptions
) -> "tuple[torch.Tensor, Any]":
    """``D_u + s (D_c - D_u)`` with ``s = R / (R - (1 - pi))``, R = p(x | c) / p(x) as the path tells it.

    Koulischer et al. 2025 (https://arxiv.org/abs/2506.06085): if the model has learnt
    pi p(x | c) + (1 - pi) p(x) for p(x | c), then with R the ratio of what it has learnt this is the denoiser of
    p(x | c), exactly. So who has come to look like its condition is guided no more. R is followed along the path
    (:func:`posterior.followed`); s is at most ``most``. State: the path.
    """
    path = followed(seen.noisy, seen.conditional, seen.unconditional, at, state, options.tau, options.delta)
    path = cut(path, options.floor, options.ceiling)
    more = 1 / (1 - (1 - options.pi) * (-path.ratio).exp()) - 1
    return seen.conditional + grown(more, seen.conditional - seen.unconditional), path


def judged(at: Level, state: Any, options: FeedbackOptions) -> bool:
    """Wherever the model is held to have learnt anything but its condition."""
    return options.pi < 1


class DynamicNegativeOptions(Options):
    """Which class samples are kept from, and how likely it is held to be."""

    negative: int = Field(ge=0, description="the class that samples are kept from")
    prior: float = Field(0.1, ge=0, lt=1, description="share of it among the samples, if they were not kept from it")
    tau: float = Field(1.0, gt=0, le=1000, description="how strongly each step counts; 1 is exact")
    delta: float = Field(0.0, ge=-100, le=100, description="what is added to the log-ratio in each step; 0 is exact")
    most: float = Field(10.0, gt=0, description="largest weight of the negative prediction")


def dynamic_negative(
    seen: Predictions, at: Level, state: Any, draws: Draws, options: DynamicNegativeOptions
) -> "tuple[torch.Tensor, Any]":
    """``D - l (D_n - D)`` with ``l = q / (1 - q)``, q the share of the negative class n at x as the path tells it.

    Koulischer et al. 2024 (https://arxiv.org/abs/2410.14398): q = prior p(x | n) / p(x). With the exact
    q this is the denoiser of what is left of p where n is taken out of it, (p - prior p(. | n)) / (1 - prior), exactly.
    D is the prediction with the sample's own condition; samples whose own class is n stay as they are. l is at most
    ``most``. State: the path.
    """
    if not options.prior:
        return seen.conditional, state
    highest = math.log(options.most / (1 + options.most) / options.prior)
    negative = seen.told["negative"]
    path = followed(seen.noisy, negative, seen.conditional, at, state, options.tau, options.delta)
    path = cut(path, None, highest)
    share = options.prior * path.ratio.exp()
    return seen.conditional - grown(share / (1 - share), negative - seen.conditional), path


def asked_as_negative(options: DynamicNegativeOptions, model: Mapping[str, Any]) -> str:
    """Samples that are asked for as the class: their own prediction is that with the class."""
    if not options.prior or not (classes := model.get("classes", 0)):
        return ""
    asked = f"the samples that are asked for as the class {options.negative}, one in {classes}"
    return f"{asked}; a model is kept from making a class when asked for it by an adapter (docs/unlearning.md)"


def negative_of(options: Any) -> Mapping[str, int]:
    """The class that samples are kept from."""
    return {"negative": options.negative}
