"""A model of any family that learns from its own samples, the liked ones more: reward-weighted regression."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ..core.choice import Choice, From, Options
from ..core.run import Run
from ..core.sets import TrainingSet
from ..models.capabilities import Trainable
from ..models.tuning import settled, tuned
from .base import Adapted, Given


class ReweightedOptions(Options):
    """What is liked, how much more it counts, and of how many own samples."""

    reward: Annotated[Choice, From("rewards")] = Field(description="what is liked")
    samples: int = Field(1000, ge=2, description="own samples that are learnt")
    temperature: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="T of the weights e^(r / T); large: all count alike"
    )
    unit: Literal["deviation", "reward"] = Field(
        "reward", description="of T: the standard deviation of the rewards of a class, or the reward's own"
    )
    images_seen: int = Field(0, ge=0, description="budget of a network, in images; 0 for a family fitted by a formula")


def reweighted(model: Any, given: Given, options: ReweightedOptions, run: Run) -> Adapted:
    """The model after a training on its own samples with weights e^(r / T), by its own family's loss or formula.

    With an exact fit it is p e^(r / T) / Z, and k of them one after the other are p e^(k r / T) / Z
    (``theory.regularised_shares`` with beta = T / k): several rounds are as many steps of a list of adapters. One
    round of RWR (Peters and Schaal 2007; the baseline of Black et al. 2023, https://arxiv.org/abs/2305.13301, section
    4.1) for families that are no denoisers: by a likelihood, by a formula, or, of an adversarial network, by the
    weights of what its discriminator holds to be real. A network goes on from its weights; a formula begins anew.

    facts: ``reward``, the mean over own samples before and after, and ``effective``, (sum w)^2 / sum w^2 of the
    weights. Raises ValueError for rewards that are no numbers.
    """
    own = given.own(options.samples)
    liked = np.asarray(given.rewards["reward"](own), np.float64)
    weights = weights_of(liked, own.labels, options.temperature, options.unit)
    training = TrainingSet(own.data, own.labels, weights)
    if isinstance(model, Trainable):
        found = tuned(model, training, replace(run, images_seen=options.images_seen))
    else:
        found = type(model).fit(training, settled(model), run)
    after = np.asarray(given.rewards["reward"](given.own(options.samples, options.samples, found)), np.float64)
    told = {"before": float(liked.mean()), "after": float(after.mean())}
    return Adapted(found, {"reward": told, "effective": float(weights.sum() ** 2 / np.square(weights).sum())})


def weights_of(rewards: np.ndarray, labels: np.ndarray | None, temperature: float, unit: str) -> np.ndarray:
    """e^(r / T) over its mean in the sample's class, (n,) float64: of mean 1, so that no class weighs more than it did.

    rewards: (n,). labels: (n,), or None where all are of one class. unit: as in :class:`ReweightedOptions`; rewards of
    a class that are all alike have no deviation, and all its samples count alike. Raises ValueError for rewards that
    are no numbers.
    """
    if not np.isfinite(rewards).all():
        raise ValueError(
            f"reward: {int((~np.isfinite(rewards)).sum())} of {len(rewards)} samples have none that is a number"
        )
    groups = np.zeros(len(rewards), np.int64) if labels is None else np.asarray(labels)
    found = np.empty(len(rewards))
    for group in np.unique(groups):
        own = groups == group
        spread = rewards[own].std() if unit == "deviation" else 1.0
        logs = (rewards[own] - rewards[own].max()) / (temperature * (spread or 1.0))
        found[own] = np.exp(logs) / np.exp(logs).mean()
    return found


def reweighted_images(options: ReweightedOptions) -> int:
    """The images that a network sees."""
    return options.images_seen


def unbudgeted_or_formula(family: type, options: ReweightedOptions) -> str:
    """A budget for a formula, and none for a network."""
    if issubclass(family, Trainable) and not options.images_seen:
        return "images_seen: found 0; a network learns its own samples in steps: say how many images it sees"
    if not issubclass(family, Trainable) and options.images_seen:
        return f"images_seen: found {options.images_seen}; its family is fitted by a formula, which has no budget: 0"
    return ""
