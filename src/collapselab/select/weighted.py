"""Everything is kept, and counts as much as somebody trusts it."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ..core.choice import Choice, From
from ..core.distances import on_host
from ..core.facts import Facts
from ..features.base import ExtractorName
from .base import Pool, Selection, SelectorOptions
from .tails import attribute_fault, column_of


class WeightedOptions(SelectorOptions):
    """By which score samples count, and how steeply."""

    reward: Annotated[Choice, From("rewards")] | None = Field(None, description="the reward that scores them")
    extractor: ExtractorName | None = Field(None, description="the extractor one of whose numbers scores them")
    attribute: str = Field(
        "0", description="which number of the extractor: its name where it has names, else which one, from 0"
    )
    by: Literal["proportional", "exponential"] = Field(
        "exponential",
        description="proportional: to the score, which is a probability; exponential: to e^(strength score)",
    )
    strength: float = Field(1.0, ge=0, allow_inf_nan=False, description="how steeply the weight rises with the score")

    @model_validator(mode="after")
    def _one_score(self) -> Self:
        if (self.reward is None) == (self.extractor is None):
            found = "none" if self.reward is None else "both"
            raise ValueError(f"reward, extractor: found {found}, allowed is one of them, which scores the samples")
        return self


def weighted(pool: Pool, options: WeightedOptions, seed: int) -> Selection:
    """Every sample, with a weight in training: s^strength or e^(strength s) of its score s, over the mean of all.

    As samples are taken again by how surely a detector holds them for human work (Drayson et al. 2025, arXiv
    2502.15654), without the noise of drawing. The weights have the mean 1, so that samples and real rows count
    as the regime says. weights, and scores: (n,) float64.

    Raises ValueError for scores that are not finite, for such as should be probabilities and are not above 0, and where
    a weight is too small for a number.
    """
    count = len(pool)
    if not count:
        return Selection(np.arange(0), np.empty(0), (), "weighted", np.empty(0))
    if options.reward is not None:
        scores, name = pool.scores["reward"], options.reward.name
    else:
        seen, name = pool.seen[options.extractor], options.extractor
        scores = on_host(seen.samples.values)[:, column_of(seen, options.attribute)].astype(np.float64)
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{name}: {np.count_nonzero(~np.isfinite(scores))} of {count} scores are not finite, allowed are numbers; "
            "where these are texts that are impossible by the truth, take another extractor, such as reference, or a "
            "model without smoothing (an ngram with alpha: 0), which makes fewer of them or none"
        )
    if options.by == "proportional":
        if scores.min() <= 0:
            raise ValueError(f"by: found scores down to {scores.min():g}, proportional weights are of numbers above 0")
        weights = scores**options.strength
    else:
        weights = np.exp(options.strength * (scores - scores.max()))
    if not weights.min() / weights.mean() > 0:
        found = f"scores from {scores.min():g} to {scores.max():g}"
        raise ValueError(
            f"strength: found {options.strength:g}, by which some of {found} weigh nothing; less is allowed"
        )
    return Selection(np.arange(count), scores, ("weighted",) * count, name, weights / weights.mean())


def fault(facts: Facts, options: WeightedOptions) -> str:
    """An attribute that the extractor has not."""
    return attribute_fault(facts, options.extractor, options.attribute) if options.extractor else ""
