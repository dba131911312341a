"""Keeping what is liked: the best, what is liked enough, or one of every K by a choice between them."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ..core import seeds
from ..core.choice import Choice, From
from .base import Pool, Selection, ShareOptions
from .ranking import best, checked, first, nothing


class RewardOptions(ShareOptions):
    """Who likes what, and how that decides."""

    rewards: tuple[Annotated[Choice, From("rewards")], ...] = Field(
        min_length=1, description="what is liked: one reward, or one of each kind of judge"
    )
    mixture: tuple[float, ...] | None = Field(
        None, description="the share of each kind of judge, which are 1 together; null: all alike"
    )
    by: Literal["top_fraction", "threshold", "choice"] = Field(
        "choice",
        description="top_fraction: the most liked; threshold: the first that are liked enough; choice: one of each "
        "group of K = 1 / share samples, by chance that grows with its reward",
    )
    temperature: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="T of a choice: with 0 in the limit the most liked always wins"
    )
    threshold: float = Field(0.0, allow_inf_nan=False, description="the least reward that is enough, by threshold")
    share: float = Field(gt=0, le=1, description="share of the samples that is kept; by choice 1 / K")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mixture is not None:
            shares = self.mixture
            if len(shares) != len(self.rewards):
                raise ValueError(f"mixture: found {len(shares)} shares, allowed is one for each of {len(self.rewards)}")
            if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
                raise ValueError(f"mixture: found {shares}, allowed are shares from 0 that are 1 together")
        return self

    @property
    def shares(self) -> np.ndarray:
        """The share of each kind of judge, (J,) float64."""
        count = len(self.rewards)
        return np.full(count, 1 / count) if self.mixture is None else np.array(self.mixture) / sum(self.mixture)


def reward(pool: Pool, options: RewardOptions, seed: int) -> Selection:
    """The samples that are liked, by one of three rules; with several kinds of judge each decides its share.

    by choice: the pool is dealt by lot into groups of K = 1 / share samples without overlap. A judge, drawn from the
    mixture, takes one sample of a group, by Bradley and Terry's model with K alternatives:

        P(k) = e^(r(x_k) / T) / sum over the group of e^(r(x_j) / T)

    (Ferbach et al. 2024, arXiv 2407.09499, eq. 2; a mixture of judges as in Zhao, Fu and Pham 2025, arXiv 2511.09002,
    or in Wei and Zhang 2025, arXiv 2505.09768, where some are malicious). It is drawn as the largest of r / T + g with
    g standard Gumbel. Where the share is not 1 / K, groups are of the two sizes around. scores: the reward by the judge
    who took it.

    by top_fraction, by threshold: a sample is worth the mean of its rewards over the mixture. The most liked are kept,
    of equally liked ones the first; or the first that are worth ``threshold`` at least, of which there may be too few.

    Raises ValueError for rewards that are no numbers.
    """
    if not len(pool):
        return nothing("reward")
    rewards = np.stack([checked(pool.scores[f"rewards.{index}"]) for index in range(len(options.rewards))])
    wanted = options.keeps(len(pool))
    if options.by == "choice":
        return _choices(rewards, options, wanted, seed)
    worth = options.shares @ rewards
    if options.by == "top_fraction":
        return best(worth, wanted, "most liked", "reward")
    return first(worth >= options.threshold, worth, wanted, "liked enough", "reward")


def _choices(rewards: np.ndarray, options: RewardOptions, wanted: int, seed: int) -> Selection:
    """One sample of each of ``wanted`` groups. rewards: (J, n), by kind of judge."""
    count = rewards.shape[1]
    if not wanted:
        return nothing("reward")
    group = np.empty(count, np.int64)
    group[seeds.generator(seed).permutation(count)] = np.arange(count) % wanted
    drawn = seeds.uniforms(seeds.seed_of(seed, None, None, "judge"), 0, wanted, 1)[:, 0]
    judges = np.minimum(np.searchsorted(np.cumsum(options.shares), drawn, side="right"), len(rewards) - 1)
    own = rewards[judges[group], np.arange(count)]
    gumbel = -np.log(-np.log(seeds.uniforms(seeds.seed_of(seed, None, None, "choice"), 0, count, 1)[:, 0]))
    order = np.lexsort((own / options.temperature + gumbel, group))
    rows = np.sort(order[np.append(group[order][1:] != group[order][:-1], True)])  # the last of each group
    reasons = tuple(f"chosen by judge {judge}" for judge in judges[group[rows]])
    return Selection(rows, own[rows], reasons, "reward")
