"""Policy gradients of a chain of normal steps: pure functions of means, standard deviations, actions and rewards.

A sampler that adds noise is a policy: the state is a noisy row x at a noise level, the action the next row x', drawn
from N(mu(x), s^2), and the reward is that of the row at the end (Black et al. 2023, https://arxiv.org/abs/2305.13301,
section 4.2). Everything here is differentiable in ``means`` alone.
"""

from collections.abc import Callable
from typing import Literal

import torch

Over = Literal["mean", "sum"]
FEWEST = 1e-8  # of a standard deviation: rewards that are all the same tell nothing


def posterior(
    x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, following: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the next row at a noise level ``following`` below ``sigma``, both as x.

        x' = k x + (1 - k) D + s z,    k = sigma'^2 / sigma^2,    s^2 = (sigma^2 - sigma'^2) k

    for x = y + sigma n, DDPM's posterior given y = D (Ho et al. 2020, arXiv 2006.11239, equation 7; DDIM with
    eta 1). sigma, following: (B,), or without axes.
    """
    kept = (following / sigma) ** 2
    sd = following * (1 - kept).sqrt()
    kept, sd = (one.reshape(-1, *[1] * (x.dim() - 1)) for one in (kept, sd))
    return kept * x + (1 - kept) * denoised, sd


def log_probability(actions: torch.Tensor, means: torch.Tensor, sd: torch.Tensor, over: Over = "mean") -> torch.Tensor:
    """log N(x'; mu, s^2) of each row, averaged over its numbers or summed, without the constants of s: (B,).

    The sum is the log-density. Black et al.'s code takes the mean, so that the gradient is 1 / D of the policy
    gradient, and the ratio of two policies is no product over dimensions: its clip of 1e-4 is meant for that.
    """
    squares = ((actions - means) / sd).square().flatten(1)
    return -(squares.mean(1) if over == "mean" else squares.sum(1)) / 2


def path_divergence(means: torch.Tensor, others: torch.Tensor, sd: torch.Tensor, over: Over = "sum") -> torch.Tensor:
    """KL of N(mu, s^2) from N(mu_0, s^2), |mu - mu_0|^2 / (2 s^2), of each row: (B,) nats.

    Summed over the steps of a path it is the KL of the laws of paths, an upper bound of that of their ends.
    """
    return -log_probability(means, others, sd, over)


def advantages(rewards: torch.Tensor, groups: torch.Tensor, most: float) -> torch.Tensor:
    """Rewards less the mean of their group, over its standard deviation (divisor n), within +-``most``: (n,).

    rewards: (n,). groups: (n,) int64, such as classes: a prompt that is easily liked teaches no more than another. In a
    group whose rewards are all the same nothing is better than anything else: 0.
    """
    found = torch.zeros_like(rewards)
    for group in groups.unique().tolist():
        own = groups == group
        off = rewards[own] - rewards[own].mean()
        sd = off.square().mean().sqrt()
        found[own] = off / sd if sd > FEWEST else 0.0
    return found.clamp(-most, most)


def score_function(log_probabilities: torch.Tensor, worth: torch.Tensor) -> torch.Tensor:
    """-log p A of each step, (B,): its gradient is minus that of E A, as long as the actions are the policy's own.

    Williams 1992 (REINFORCE); DDPO_SF of Black et al. 2023, equation 3.
    """
    return -log_probabilities * worth


def clipped(
    log_probabilities: torch.Tensor, earlier: torch.Tensor, worth: torch.Tensor, clip: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """-min(rho A, clip(rho, 1 - e, 1 + e) A) of each step, (B,), with rho = p / p_earlier, and which rho are clipped.

    DDPO_IS of Black et al. 2023, equation 4, with the bound of Schulman et al. 2017
    (https://arxiv.org/abs/1707.06347, equation 7).
    """
    ratio = (log_probabilities - earlier).exp()
    within = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * worth, within * worth), ratio.detach() != within.detach()


def through_last(
    step: Callable[[int, torch.Tensor], torch.Tensor], x: torch.Tensor, steps: int, last: int
) -> torch.Tensor:
    """The end of a chain x <- step(i, x), i = 0 .. steps - 1, whose gradient goes through the last steps alone.

    DRaFT-K of Clark et al. 2023 (https://arxiv.org/abs/2309.17400, section 3.2): steps before the last K are run
    without a gradient.
    """
    with torch.no_grad():
        for index in range(steps - last):
            x = step(index, x)
    for index in range(steps - last, steps):
        x = step(index, x)
    return x


# -- what else follows a reward ----------------------------------------------------------------------------------------


def reward_weights(rewards: torch.Tensor, groups: torch.Tensor, temperature: float) -> torch.Tensor:
    """e^(r / T) over its mean in the sample's group, (n,): of mean 1, so that no group weighs more than it did.

    Of reward-weighted regression (Peters and Schaal 2007; the baseline RWR of Black et al. 2023, section 4.1): a law
    that is fitted to own samples with these weights is p e^(r / T) / Z.
    """
    found = torch.empty_like(rewards)
    for group in groups.unique().tolist():
        own = groups == group
        found[own] = torch.softmax(rewards[own] / temperature, 0) * own.sum()
    return found


def preference(chosen: torch.Tensor, rejected: torch.Tensor, beta: float) -> torch.Tensor:
    """-log s(beta (l_chosen - l_rejected)) of each pair, (B,), with s the logistic function.

    chosen, rejected: log p / p_ref of the two, or what stands for it. DPO (Rafailov et al. 2023,
    https://arxiv.org/abs/2305.18290, equation 7): with preferences by Bradley and Terry's law of a reward r its least
    is at p_ref e^(r / beta) / Z.
    """
    return -torch.nn.functional.logsigmoid(beta * (chosen - rejected))


def preferred(rewards: torch.Tensor, others: torch.Tensor, temperature: float) -> torch.Tensor:
    """The chance that the first of two is preferred, s((r - r') / T), as the rewards (Bradley and Terry 1952)."""
    return torch.sigmoid((rewards - others) / temperature)
